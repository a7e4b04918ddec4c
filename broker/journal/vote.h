/* SPDX-License-Identifier: MPL-2.0 */
/* Term and vote of this broker, on disk before anybody hears of them (file `vote`).
 * Written whole by rename, never in place: a checksum that does not match is damage,
 * not a write cut short, and a broker that has forgotten its vote must not start. */
#ifndef BROKER_JOURNAL_VOTE_H
#define BROKER_JOURNAL_VOTE_H

#include <stdint.h>

#include "common/error.h"

typedef struct vote {
    uint64_t term;
    uint64_t voted_for; /* id of a broker, 0: nobody in this term */
} vote_t;

/* 1 when there is one in DIR, 0 when there is none, DFS_EDAMAGED. */
int vote_load (const char *dir, vote_t *vote, dfs_error_t *err);
/* Durable on return. */
int vote_save (const char *dir, const vote_t *vote, dfs_error_t *err);

#endif
