/* SPDX-License-Identifier: MPL-2.0 */
/* What a put reads: a file that can be read anywhere and again, or a stream that comes
 * once and in order; and how it is cut into chunks. A source is used by one thread at a
 * time, but for source_read of a file that can be read anywhere. */
#ifndef CLIENT_LIB_SPLIT_H
#define CLIENT_LIB_SPLIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "common/error.h"

#define CHUNK_SIZE_MIN (64ULL * 1024)
#define CHUNK_SIZE_MAX (64ULL * 1024 * 1024)

typedef struct source {
    int fd;        /* -1: closed */
    bool own;      /* ours to close */
    bool stream;   /* comes once, in order; its size is not known */
    bool sparse;   /* has holes worth looking for */
    uint64_t base; /* where it starts in the file behind fd */
    uint64_t size;
    uint32_t mode;     /* permission bits; 0644 for a stream */
    uint64_t mtime_ns; /* UINT64_MAX: not known */
    uint64_t ctime_ns;
    uint64_t inode;
} source_t;

/* PATH, or FD (borrowed) when PATH is NULL. A file whose size says 0 and that has bytes
 * (/proc) is a stream. */
int source_open (source_t *self, const char *path, int fd, dfs_error_t *err);
/* PATH again, to read once more; DFS_ECHANGED when it is another file now. */
int source_reopen (source_t *self, const char *path, dfs_error_t *err);
void source_close (source_t *self);
/* Reads LEN bytes at OFFSET. A file that is shorter now is DFS_ECHANGED. Of a stream
 * OFFSET is ignored and fewer bytes mean its end; *CANCEL ends the wait for more.
 * Returns the bytes read. */
ssize_t source_read (const source_t *self, void *buf, size_t len, uint64_t offset,
                     const atomic_bool *cancel, dfs_error_t *err);
/* After everything was read: DFS_ECHANGED when size or times are others now. */
int source_unchanged (const source_t *self, dfs_error_t *err);

enum split_kind { SPLIT_END, SPLIT_CHUNK, SPLIT_HOLE };
/* The next run at OFFSET: a chunk of at most CHUNK_SIZE (which all chunks but the last
 * have), or a hole made of whole chunks. A stream only ever gives full chunks. */
enum split_kind split_next (const source_t *source, uint64_t offset,
                            uint64_t chunk_size, uint64_t *length);

#endif
