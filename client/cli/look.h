/* SPDX-License-Identifier: MPL-2.0 */
/* Asks for the state of the cluster again and again, in a thread of its own: who draws
 * and reads keys never waits for a broker. */
#ifndef CLI_LOOK_H
#define CLI_LOOK_H

#include <stdbool.h>
#include <stdint.h>

#include "client/lib/dfs.h"
#include "common/error.h"

typedef struct look look_t;

typedef struct look_news {
    uint64_t answers, failures; /* so far */
    uint64_t at, wall;          /* of the last answer: monotonic, wall clock; 0: none */
    uint64_t asked;             /* monotonic: unanswered since; 0: nothing is */
    dfs_error_t err; /* of the last question; code DFS_OK: it was answered, or is the
                        first one */
} look_news_t;

/* One look every INTERVAL_NS. TIMEOUT_MS: for a broker that leads to answer, before any
 * other one is asked (0: the library's own). */
look_t *look_new (uint64_t interval_ns, uint32_t timeout_ms);
/* False when the thread is caught in a question: it is left behind, and the program
 * should end by _exit. */
bool look_destroy (look_t **self_p);
/* What is known. True: *STATUS is an answer not taken before, to be cleared. */
bool look_take (look_t *self, dfs_status_t *status, look_news_t *news);
/* Readable when there may be news; look_take reads it. */
int look_fd (const look_t *self);

#endif
