/* SPDX-License-Identifier: MPL-2.0 */
/* Verify: asks every worker that has a copy of some chunks to re-hash it, and collects
 * what they find. A copy that an entry of the log takes away meanwhile is not missing:
 * it is left out. Damage itself is reported by the workers' change sequences. */
#ifndef BROKER_CORE_VERIFY_H
#define BROKER_CORE_VERIFY_H

#include "broker/core/members.h"

typedef struct verify verify_t;

verify_t *verify_new (void);
void verify_destroy (verify_t **self_p);
void verify_event (core_t *core, const event_verify_t *event);
/* True when the order was one of ours. */
bool verify_result (core_t *core, const event_order_t *event);
void verify_timer (core_t *core, uint64_t id);
/* An entry says that the copy of KEY on WORKER goes, or has gone. */
void verify_dropped (core_t *core, const copykey_t *key, uint32_t worker);
void verify_worker_down (core_t *core, const worker_t *worker);

#endif
