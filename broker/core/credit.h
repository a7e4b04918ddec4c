/* SPDX-License-Identifier: MPL-2.0 */
/* Credit: how many bytes of a worker's ingest window a grant may fill. Windows are
 * shared fairly between the sessions that upload, with parts kept for small chunks and
 * for repair; what is given out never exceeds the window. */
#ifndef BROKER_CORE_CREDIT_H
#define BROKER_CORE_CREDIT_H

#include "broker/core/members.h"
#include "broker/core/sessions.h"

/* Lane of a client's chunk. */
enum lane credit_lane (const core_t *core, uint64_t length);
/* Bytes that one chunk of LENGTH gets while ACTIVE sessions upload. */
uint64_t credit_share (const core_t *core, uint64_t length, size_t active);
/* Most that a session may have out at once (one chunk is always possible). */
uint64_t credit_session_cap (const core_t *core, size_t active);
/* BYTES more fit into WORKER's window in LANE. */
bool credit_fits (const core_t *core, const worker_t *worker, enum lane lane,
                  uint64_t bytes);
void credit_take (worker_t *worker, uint64_t bytes);
void credit_give (worker_t *worker, uint64_t bytes);

#endif
