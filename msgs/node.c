/* SPDX-License-Identifier: MPL-2.0 */
#include <stddef.h>

#include "node.h"

static const char *pick (const char *const *names, size_t n, int i)
{
    return i >= 0 && (size_t)i < n ? names[i] : "unknown";
}

const char *worker_state_name (int state)
{
    static const char *const names[] = {"joining", "up",       "suspect",
                                        "dead",    "draining", "removed"};
    return pick (names, sizeof names / sizeof names[0], state);
}

const char *worker_condition_name (int condition)
{
    static const char *const names[] = {"ok", "full", "read-only", "failing"};
    return pick (names, sizeof names / sizeof names[0], condition);
}
