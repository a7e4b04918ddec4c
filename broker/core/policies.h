/* SPDX-License-Identifier: MPL-2.0 */
/* Policies as the log has them, and the rule how many copies are enough. */
#ifndef BROKER_CORE_POLICIES_H
#define BROKER_CORE_POLICIES_H

#include "broker/core/state.h"

#define POLICY_DEFAULT 1

typedef struct policies policies_t;

policies_t *policies_new (void);
void policies_destroy (policies_t **self_p);
void policies_set (core_t *core, const core_policy_t *policy);
/* ID 0 is the default. Returns borrowed, NULL when there is none. */
const core_policy_t *policies_find (const core_t *core, uint32_t id);
size_t policies_count (const core_t *core);
/* COPIES will do now: all, or fewer (never below the least) while as many workers are
 * dead as copies are missing. */
bool policy_enough (const core_t *core, const core_policy_t *policy, uint32_t copies);

#endif
