/* SPDX-License-Identifier: MPL-2.0 */
/* Where fetched bytes go: a file that gets its name when it is whole, a descriptor that
 * takes them in order, or memory. A target is used by one thread at a time, but for
 * target_write, which may be called by several. */
#ifndef CLIENT_LIB_VERIFY_WRITE_H
#define CLIENT_LIB_VERIFY_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

enum target_kind {
    TARGET_FILE,   /* PATH, which changes when all is there */
    TARGET_STREAM, /* in order: a given descriptor, or a PATH that is no regular file */
    TARGET_MEMORY,
};

typedef struct target {
    enum target_kind kind;
    const char *path; /* borrowed, or REAL */
    char *real;       /* owned: what PATH links to, when it is a symlink */
    bool no_unnamed;  /* for tests: as where every file must have a name */
    bool unnamed;     /* TARGET_FILE that has no name while it is written */
    char *temp;       /* of TARGET_FILE while it exists, or is to be renamed */
    uint32_t mode;    /* of TARGET_FILE, when nobody says another */
    int fd;           /* -1: not open */
    bool own;         /* fd is ours to close */
    uint8_t *memory;  /* borrowed */
} target_t;

/* Looks what kind of thing PATH is (or FD, when PATH is NULL); opens what is a stream.
 * A symlink stays: what it names is written. Before target_drop in any case. */
int target_init (target_t *self, const char *path, int fd, dfs_error_t *err);
/* TARGET_FILE: makes a file without a name on the file system of PATH, or, where there
 * are none of these, ".NAME.dfs-XXXXXXXX" beside it. */
int target_open (target_t *self, dfs_error_t *err);
/* Writes at OFFSET (a stream: behind what was written before). */
int target_write (target_t *self, const void *data, size_t len, uint64_t offset,
                  dfs_error_t *err);
/* LEN zeros: written to a stream, left as a hole in a file. */
int target_zeros (target_t *self, uint64_t len, uint64_t offset, dfs_error_t *err);
/* Everything is written: size, MODE (UINT32_MAX: that of the file that is replaced,
 * else as umask has it; only permissions are taken: set-user-ID means nothing where
 * owners do not come along) and MTIME_NS (UINT64_MAX: now), fsync when SYNC, then the
 * file appears under its name. Until then nobody else can read it. */
int target_finish (target_t *self, uint64_t size, uint32_t mode, uint64_t mtime_ns,
                   bool sync, dfs_error_t *err);
/* Closes; what has no name yet is gone. */
void target_drop (target_t *self);

#endif
