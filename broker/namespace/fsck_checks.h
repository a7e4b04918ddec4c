/* SPDX-License-Identifier: MPL-2.0 */
/* The parts of fsck. */
#ifndef BROKER_NAMESPACE_FSCK_CHECKS_H
#define BROKER_NAMESPACE_FSCK_CHECKS_H

#include "broker/namespace/state.h"
#include "broker/namespace/tally.h"

enum tally_kind {
    TALLY_LINK,     /* names of an inode */
    TALLY_PAGE,     /* references of a page */
    TALLY_CHUNK,    /* copy key, policy */
    TALLY_INLINE,   /* digest */
    TALLY_DIR,      /* directories reached */
    TALLY_PAST,     /* past records the log names */
    TALLY_DETACHED, /* directories a job removes */
};

typedef struct fsck {
    view_t view;
    arena_t *arena;   /* the record at hand */
    arena_t *scratch; /* what is looked up beside it */
    digest_t *digest;
    tally_map_t *map;
    uint64_t applied;
    uint64_t counters[C_COUNT]; /* as kept */
    uint64_t counted[C_COUNT];  /* as found */
    uint64_t counted_refs;
    uint64_t found_free;   /* chunks without references */
    uint64_t counted_free; /* rows of free and condemned */
    struct dirs *stack;
    int faults;
    void (*report) (const char *text, void *arg);
    void *arg;
    dfs_error_t *err;
} fsck_t;

typedef void fsck_check_f (fsck_t *f, const uint8_t *key, size_t len, void *rec);

void fsck_fault (fsck_t *f, const char *fmt, ...)
    __attribute__ ((format (printf, 2, 3)));
/* CHECK for each record of TABLE, unpacked (TYPE NULL: not). */
int fsck_each (fsck_t *f, enum table table, const ProtobufCMessageDescriptor *type,
               fsck_check_f *check);
int fsck_tally_all (fsck_t *f);
int fsck_compare_all (fsck_t *f);
/* Every directory hangs below the root, or below one that a job removes. */
int fsck_reach (fsck_t *f);

#endif
