/* SPDX-License-Identifier: MPL-2.0 */
/* A store in a temporary directory for tests: marks, chunks made from a seed, a ledger
 * of what was acknowledged. */
#ifndef T_LIB_STORETEST_H
#define T_LIB_STORETEST_H

#include <pthread.h>
#include <stdbool.h>

#include "worker/store/store.h"

#define STORETEST_DISKS 4

typedef struct storetest {
    char root[256];
    char dirs[STORETEST_DISKS][256];
    const char *dir_list[STORETEST_DISKS];
    store_config_t config;
    store_t *store;

    pthread_mutex_t lock;
    pthread_cond_t cond;
    uint64_t asked; /* appends that will be answered */
    uint64_t answered;
    int *codes; /* per cookie: 1 while open, then the code */
    size_t n_codes;
    store_change_t *changes; /* all that came, of all disks */
    uint32_t *change_disk;
    size_t n_changes;
} storetest_t;

/* Makes the directories and marks; does not open. */
void storetest_init (storetest_t *self, size_t n_disks);
/* Opens with self->config; asserts success. */
void storetest_open (storetest_t *self);
void storetest_close (storetest_t *self);
/* Removes everything. */
void storetest_end (storetest_t *self);

/* A chunk of LEN bytes made from SEED; returns owned, *KEY and CRCS (owned, may be NULL
 * pointers) filled. */
void *storetest_chunk (uint64_t seed, size_t len, copykey_t *key, uint32_t **crcs);
/* Puts it with birth BIRTH; returns the cookie, or a negative code. Large ones go in
 * frames of 1 MiB through store_begin. */
int64_t storetest_put (storetest_t *self, uint64_t seed, size_t len, uint64_t birth);
/* For a test's own appends: a cookie, and that it will not be answered (returns CODE).
 */
int64_t storetest_cookie (storetest_t *self);
int64_t storetest_void (storetest_t *self, uint64_t cookie, int code);
/* Waits for a cookie's answer. */
int storetest_wait (storetest_t *self, int64_t cookie);
void storetest_wait_all (storetest_t *self);
int storetest_put_wait (storetest_t *self, uint64_t seed, size_t len, uint64_t birth);
/* Reads it back and compares every byte: DFS_OK, or the code. */
int storetest_check (storetest_t *self, uint64_t seed, size_t len);
/* Number of changes of KIND that came. */
size_t storetest_count (storetest_t *self, int kind);
/* Waits until N changes of KIND have come (10 s). */
void storetest_wait_changes (storetest_t *self, int kind, size_t n);
/* Logs nothing unless DFS_TEST_LOG is set. */
void storetest_quiet (void);
/* Runs nothing but system calls: removes a tree. */
void storetest_remove_tree (const char *path);

#endif
