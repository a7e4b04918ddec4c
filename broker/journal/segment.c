/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/rng.h"

#include "segment.h"

#define FILL (1024 * 1024)
/* Zeros go to the disk in pieces, so that the writer's own small syncs do not have to
 * wait for 64 MiB. */
#define FILL_SYNC (8 * FILL)

void segment_path (const char *dir, uint64_t seq, char *out, size_t cap)
{
    snprintf (out, cap, "%s/%016" PRIx64 ".wal", dir, seq);
}

uint64_t segment_seq (const char *name)
{
    uint64_t seq;
    char end[5];
    if (strlen (name) != 20 || strspn (name, "0123456789abcdef") != 16)
        return 0;
    if (sscanf (name, "%16" SCNx64 "%4s", &seq, end) != 2 || strcmp (end, ".wal") != 0)
        return 0;
    return seq;
}

static segment_t *segment_new (int fd, const segment_header_t *header)
{
    segment_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->fd = fd;
    self->header = *header;
    return self;
}

static int fill (int fd, const segment_header_t *header, dfs_error_t *err)
{
    if (io_fallocate (fd, 0, header->size, err))
        return err ? err->code : DFS_ENOSPC;
    uint8_t *block = calloc (1, FILL);
    if (!block)
        abort ();
    int rc = DFS_OK;
    uint64_t unsynced = 0;
    for (uint64_t at = 0; rc == DFS_OK && at < header->size;) {
        uint64_t n = header->size - at < FILL ? header->size - at : FILL;
        if (at == 0)
            segment_header_encode (header, block);
        rc = io_pwrite (fd, block, n, at, err);
        if (at == 0)
            memset (block, 0, SEGMENT_HEADER);
        at += n;
        unsynced += n;
        if (rc == DFS_OK && unsynced >= FILL_SYNC) {
            rc = io_fdatasync (fd, err);
            unsynced = 0;
        }
    }
    if (rc == DFS_OK)
        rc = io_fsync (fd, err);
    free (block);
    return rc;
}

segment_t *segment_create (const char *dir, uint64_t seq, uint64_t size,
                           dfs_error_t *err)
{
    char temporary[PATH_MAX], path[PATH_MAX];
    snprintf (temporary, sizeof temporary, "%s/" SEGMENT_TEMPORARY, dir);
    segment_path (dir, seq, path, sizeof path);
    segment_header_t header = {.seq = seq, .size = size};
    rng_secret (&header.salt, sizeof header.salt);

    dfs_error_t local;
    int fd = io_open (temporary, O_RDWR | O_CREAT | O_TRUNC, 0600, &local);
    if (fd < 0)
        goto failed;
    if (fill (fd, &header, &local) || io_rename (temporary, path, &local)) {
        io_close (fd);
        io_unlink (temporary, NULL);
        goto failed;
    }
    if (io_sync_dir (dir, &local)) {
        io_close (fd);
        io_unlink (path, NULL);
        goto failed;
    }
    return segment_new (fd, &header);

failed:
    fail (err, local.code, "prepare journal segment %s: %s", path, local.text);
    return NULL;
}

segment_t *segment_open (const char *dir, uint64_t seq, dfs_error_t *err)
{
    char path[PATH_MAX];
    segment_path (dir, seq, path, sizeof path);
    int fd = io_open (path, O_RDWR, 0, err);
    if (fd < 0)
        return NULL;
    uint8_t block[SEGMENT_HEADER];
    segment_header_t header;
    uint64_t size;
    if (io_size (fd, &size, err))
        goto failed;
    if (size < sizeof block) {
        fail (err, DFS_EDAMAGED, "cut to %" PRIu64 " bytes", size);
        goto failed;
    }
    if (io_pread (fd, block, sizeof block, 0, err) ||
        segment_header_decode (block, &header, err))
        goto failed;
    if (header.seq != seq || header.size != size || size > UINT32_MAX) {
        fail (err, DFS_EDAMAGED,
              "header says segment %016" PRIx64 " of %" PRIu64 " bytes, the file has "
              "%" PRIu64,
              header.seq, header.size, size);
        goto failed;
    }
    return segment_new (fd, &header);

failed:
    wrap (err, "journal segment %s", path);
    io_close (fd);
    return NULL;
}

void segment_close (segment_t **self_p)
{
    segment_t *self = *self_p;
    if (!self)
        return;
    int saved = errno;
    io_close (self->fd);
    free (self);
    *self_p = NULL;
    errno = saved;
}
