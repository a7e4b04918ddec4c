/* SPDX-License-Identifier: MPL-2.0 */
#include "client/lib/split.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/filetime.h"

#define CANCEL_MS 100 /* how often a waiting read looks at *CANCEL */

static int take_stat (source_t *self, dfs_error_t *err)
{
    struct stat st;
    char byte;

    if (fstat (self->fd, &st) != 0)
        return fail_errno (err, "stat");
    if (S_ISDIR (st.st_mode))
        return fail (err, DFS_EISDIR, "is a directory");
    self->stream = !S_ISREG (st.st_mode);
    self->mode = 0644;
    self->mtime_ns = UINT64_MAX;
    if (self->stream)
        return 0;
    self->mode = st.st_mode & 07777;
    self->mtime_ns = filetime_pack (st.st_mtim);
    self->ctime_ns = filetime_pack (st.st_ctim);
    self->inode = st.st_ino;
    self->size = (uint64_t)st.st_size;
    self->sparse = (uint64_t)st.st_blocks * 512 < self->size;
    if (self->size == 0 && pread (self->fd, &byte, 1, 0) == 1)
        self->stream = true;
    return 0;
}

int source_open (source_t *self, const char *path, int fd, dfs_error_t *err)
{
    memset (self, 0, sizeof *self);
    self->fd = fd;
    if (path) {
        /* a FIFO without a writer must not hold a thread that others need */
        self->fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (self->fd < 0)
            return fail_errno (err, "open %s", path);
        self->own = true;
    }
    int rc = take_stat (self, err);
    if (rc < 0) {
        source_close (self);
        return path ? wrap (err, "%s", path) : rc;
    }
    if (!path && !self->stream) {
        off_t at = lseek (fd, 0, SEEK_CUR);
        self->base = at > 0 ? (uint64_t)at : 0;
        self->size = self->size > self->base ? self->size - self->base : 0;
    }
    return 0;
}

int source_reopen (source_t *self, const char *path, dfs_error_t *err)
{
    source_t now;
    int rc = source_open (&now, path, -1, err);

    if (rc < 0)
        return rc;
    if (now.stream || now.inode != self->inode || now.size != self->size ||
        now.mtime_ns != self->mtime_ns) {
        source_close (&now);
        return fail (err, DFS_ECHANGED, "changed while it was read");
    }
    *self = now;
    return 0;
}

void source_close (source_t *self)
{
    if (self->own && self->fd >= 0)
        close (self->fd);
    self->fd = -1;
}

/* Waits for bytes of a stream; false when cancelled. */
static bool wait_input (int fd, const atomic_bool *cancel)
{
    for (;;) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        int n = poll (&item, 1, CANCEL_MS);
        if (n > 0 || (n < 0 && errno != EINTR))
            return true;
        if (cancel && atomic_load (cancel))
            return false;
    }
}

ssize_t source_read (const source_t *self, void *buf, size_t len, uint64_t offset,
                     const atomic_bool *cancel, dfs_error_t *err)
{
    uint8_t *out = buf;
    size_t got = 0;

    while (got < len) {
        ssize_t n;
        if (self->stream) {
            if (!wait_input (self->fd, cancel))
                return fail (err, DFS_ECANCELED, "canceled");
            n = read (self->fd, out + got, len - got);
        } else
            n = pread (self->fd, out + got, len - got,
                       (off_t)(self->base + offset + got));
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
            continue;
        if (n < 0)
            return fail_errno (err, "read");
        if (n == 0)
            break;
        got += (size_t)n;
    }
    if (got < len && !self->stream)
        return fail (err, DFS_ECHANGED, "became shorter while it was read");
    return (ssize_t)got;
}

int source_unchanged (const source_t *self, dfs_error_t *err)
{
    struct stat st;

    if (self->stream || self->fd < 0)
        return 0;
    if (fstat (self->fd, &st) != 0)
        return fail_errno (err, "stat");
    if ((uint64_t)st.st_size != self->base + self->size ||
        filetime_pack (st.st_mtim) != self->mtime_ns)
        return fail (err, DFS_ECHANGED, "changed while it was read");
    return 0;
}

enum split_kind split_next (const source_t *source, uint64_t offset,
                            uint64_t chunk_size, uint64_t *length)
{
    *length = chunk_size;
    if (source->stream)
        return SPLIT_CHUNK;
    uint64_t left = source->size - offset;
    if (offset >= source->size)
        return SPLIT_END;
    if (source->sparse) {
        off_t at = lseek (source->fd, (off_t)(source->base + offset), SEEK_DATA);
        uint64_t data = left;
        if (at >= 0)
            data = (uint64_t)at - source->base - offset;
        else if (errno != ENXIO)
            data = 0; /* the file system cannot tell */
        if (data >= left) {
            *length = left;
            return SPLIT_HOLE;
        }
        if (data >= chunk_size) {
            *length = data / chunk_size * chunk_size;
            return SPLIT_HOLE;
        }
    }
    if (*length > left)
        *length = left;
    return SPLIT_CHUNK;
}
