/* SPDX-License-Identifier: MPL-2.0 */
/* What the parts of the rig share: set-up, the broker, the client. */
#ifndef T_UNIT_WORKER_RIG_PRIVATE_H
#define T_UNIT_WORKER_RIG_PRIVATE_H

#include "t/unit/worker_rig.h"

/* cmocka's fail_msg clashes with our fail. */
#define give_up(...)                                                                   \
    do {                                                                               \
        print_error (__VA_ARGS__);                                                     \
        print_error ("\n");                                                            \
        assert_true (false);                                                           \
    } while (0)

/* Ends the test with the text of ERR when RC is negative. */
void rig_must (int rc, const dfs_error_t *err);
/* Greets worker I and says who is there. */
void rig_welcome (rig_t *self, int i);

#endif
