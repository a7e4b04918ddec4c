/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io.h"

static io_hook_t hook;

void io_set_hook (const io_hook_t *h)
{
    hook = h ? *h : (io_hook_t){0};
}

/* 0 to go on, or -1 with errno: the test wants a failure here. */
static int enter (enum io_op op, int fd, const char *path, const char *path2,
                  uint64_t offset, uint64_t len, const struct iovec *iov, int n)
{
    if (!hook.before)
        return 0;
    int rc = hook.before (op, fd, path, path2, offset, len, iov, n, hook.arg);
    if (rc == 0)
        return 0;
    errno = rc;
    return -1;
}

static void leave (enum io_op op, int fd, const char *path, uint64_t offset,
                   uint64_t len, int result)
{
    if (hook.after)
        hook.after (op, fd, path, offset, len, result, hook.arg);
}

int io_open (const char *path, int flags, mode_t mode, dfs_error_t *err)
{
    if (enter (IO_OPEN, -1, path, NULL, 0, (uint64_t)flags, NULL, 0))
        return fail_errno (err, "open %s", path);
    int fd;
    do
        fd = open (path, flags | O_CLOEXEC, mode);
    while (fd < 0 && errno == EINTR);
    leave (IO_OPEN, fd, path, 0, (uint64_t)flags, fd < 0 ? -1 : 0);
    return fd < 0 ? fail_errno (err, "open %s", path) : fd;
}

int io_close (int fd)
{
    return fd < 0 ? 0 : close (fd);
}

ssize_t io_pread_some (int fd, void *buf, size_t len, uint64_t offset, dfs_error_t *err)
{
    if (enter (IO_PREAD, fd, NULL, NULL, offset, len, NULL, 0))
        return fail_errno (err, "read at %llu", (unsigned long long)offset);
    size_t done = 0;
    while (done < len) {
        ssize_t n = pread (fd, (char *)buf + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno (err, "read at %llu", (unsigned long long)offset);
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int io_pread (int fd, void *buf, size_t len, uint64_t offset, dfs_error_t *err)
{
    ssize_t n = io_pread_some (fd, buf, len, offset, err);
    if (n < 0)
        return (int)n;
    if ((size_t)n < len)
        return fail (err, DFS_EIO, "read at %llu: file ends after %zd of %zu bytes",
                     (unsigned long long)offset, n, len);
    return DFS_OK;
}

int io_pwrite (int fd, const void *buf, size_t len, uint64_t offset, dfs_error_t *err)
{
    union {
        const void *in;
        void *out;
    } p = {.in = buf};
    struct iovec iov = {.iov_base = p.out, .iov_len = len};
    return io_pwritev (fd, &iov, 1, offset, err);
}

static struct iovec one_piece (const void *buf, size_t len)
{
    union {
        const void *in;
        void *out;
    } p = {.in = buf};
    return (struct iovec){.iov_base = p.out, .iov_len = len};
}

int io_write_begins (int fd, const void *buf, size_t len, uint64_t offset,
                     dfs_error_t *err)
{
    struct iovec iov = one_piece (buf, len);
    if (enter (IO_PWRITE, fd, NULL, NULL, offset, len, &iov, 1))
        return fail_errno (err, "write at %llu", (unsigned long long)offset);
    return DFS_OK;
}

int io_write_ended (int fd, const void *buf, size_t len, uint64_t offset, int result,
                    dfs_error_t *err)
{
    int code = DFS_OK;
    if (result == -EINTR || result == -EAGAIN)
        result = 0;
    if (result < 0) {
        errno = -result;
        code = fail_errno (err, "write at %llu", (unsigned long long)offset);
    }
    for (size_t done = result > 0 ? (size_t)result : 0; code == 0 && done < len;) {
        ssize_t n =
            pwrite (fd, (const char *)buf + done, len - done, (off_t)(offset + done));
        if (n < 0 && errno != EINTR)
            code = fail_errno (err, "write at %llu", (unsigned long long)offset);
        done += n > 0 ? (size_t)n : 0;
    }
    leave (IO_PWRITE, fd, NULL, offset, len, code);
    return code;
}

int io_pwritev (int fd, const struct iovec *iov, int n, uint64_t offset,
                dfs_error_t *err)
{
    uint64_t total = 0;
    for (int i = 0; i < n; i++)
        total += iov[i].iov_len;
    if (enter (IO_PWRITE, fd, NULL, NULL, offset, total, iov, n))
        return fail_errno (err, "write at %llu", (unsigned long long)offset);
    int code = DFS_OK;
    uint64_t at = offset;
    int i = 0;
    size_t skip = 0; /* bytes of iov[i] that are written */
    while (i < n) {
        if (skip == iov[i].iov_len) {
            i++;
            skip = 0;
            continue;
        }
        ssize_t w;
        if (skip == 0)
            w = pwritev (fd, iov + i, n - i > IOV_MAX ? IOV_MAX : n - i, (off_t)at);
        else
            w = pwrite (fd, (const char *)iov[i].iov_base + skip, iov[i].iov_len - skip,
                        (off_t)at);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0) {
            code = fail_errno (err, "write at %llu", (unsigned long long)offset);
            break;
        }
        at += (uint64_t)w;
        while (w > 0) {
            size_t left = iov[i].iov_len - skip;
            size_t part = (size_t)w < left ? (size_t)w : left;
            skip += part;
            w -= (ssize_t)part;
            if (skip == iov[i].iov_len && i + 1 < n) {
                i++;
                skip = 0;
            }
        }
    }
    leave (IO_PWRITE, fd, NULL, offset, total, code);
    return code;
}

/* fdatasync, fsync, ftruncate …: one call, hook before and after. */
#define ONE_CALL(op, fd, path, path2, offset, len, call, ...)                          \
    do {                                                                               \
        if (enter (op, fd, path, path2, offset, len, NULL, 0))                         \
            return fail_errno (err, __VA_ARGS__);                                      \
        int rc_;                                                                       \
        do                                                                             \
            rc_ = call;                                                                \
        while (rc_ < 0 && errno == EINTR);                                             \
        leave (op, fd, path, offset, len, rc_);                                        \
        return rc_ < 0 ? fail_errno (err, __VA_ARGS__) : DFS_OK;                       \
    } while (0)

int io_fdatasync (int fd, dfs_error_t *err)
{
    ONE_CALL (IO_FDATASYNC, fd, NULL, NULL, 0, 0, fdatasync (fd), "fdatasync");
}

int io_fsync (int fd, dfs_error_t *err)
{
    ONE_CALL (IO_FSYNC, fd, NULL, NULL, 0, 0, fsync (fd), "fsync");
}

void io_writeback (int fd, uint64_t offset, uint64_t len)
{
    sync_file_range (fd, (off_t)offset, (off_t)len, SYNC_FILE_RANGE_WRITE);
}

int io_ftruncate (int fd, uint64_t size, dfs_error_t *err)
{
    ONE_CALL (IO_FTRUNCATE, fd, NULL, NULL, size, 0, ftruncate (fd, (off_t)size),
              "truncate to %llu", (unsigned long long)size);
}

int io_fallocate (int fd, uint64_t offset, uint64_t len, dfs_error_t *err)
{
    ONE_CALL (IO_FALLOCATE, fd, NULL, NULL, offset, len,
              fallocate (fd, 0, (off_t)offset, (off_t)len), "reserve %llu bytes",
              (unsigned long long)len);
}

static int punch (int fd, uint64_t offset, uint64_t len)
{
    int rc = fallocate (fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset,
                        (off_t)len);
    return rc < 0 && errno == EOPNOTSUPP ? 0 : rc;
}

int io_punch (int fd, uint64_t offset, uint64_t len, dfs_error_t *err)
{
    ONE_CALL (IO_PUNCH, fd, NULL, NULL, offset, len, punch (fd, offset, len),
              "punch %llu bytes at %llu", (unsigned long long)len,
              (unsigned long long)offset);
}

int io_rename (const char *from, const char *to, dfs_error_t *err)
{
    ONE_CALL (IO_RENAME, -1, from, to, 0, 0, rename (from, to), "rename %s to %s", from,
              to);
}

int io_unlink (const char *path, dfs_error_t *err)
{
    ONE_CALL (IO_UNLINK, -1, path, NULL, 0, 0, unlink (path), "remove %s", path);
}

int io_mkdir (const char *path, mode_t mode, dfs_error_t *err)
{
    ONE_CALL (IO_MKDIR, -1, path, NULL, 0, mode, mkdir (path, mode),
              "make directory %s", path);
}

static int sync_dir (const char *path)
{
    int fd = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync (fd);
    int saved = errno;
    close (fd);
    errno = saved;
    return rc;
}

int io_sync_dir (const char *path, dfs_error_t *err)
{
    ONE_CALL (IO_SYNC_DIR, -1, path, NULL, 0, 0, sync_dir (path), "fsync directory %s",
              path);
}

int io_size (int fd, uint64_t *size, dfs_error_t *err)
{
    struct stat st;
    if (fstat (fd, &st) < 0)
        return fail_errno (err, "stat");
    *size = (uint64_t)st.st_size;
    return DFS_OK;
}

int io_replace (const char *path, const void *data, size_t len, mode_t mode,
                dfs_error_t *err)
{
    char tmp[PATH_MAX];
    char dir[PATH_MAX];
    if (snprintf (tmp, sizeof tmp, "%s.new", path) >= (int)sizeof tmp)
        return fail (err, DFS_ENAMETOOLONG, "%s: path too long", path);
    snprintf (dir, sizeof dir, "%s", path);
    char *slash = strrchr (dir, '/');
    if (!slash)
        snprintf (dir, sizeof dir, ".");
    else
        slash[slash == dir] = 0;
    int fd = io_open (tmp, O_WRONLY | O_CREAT | O_TRUNC, mode, err);
    if (fd < 0)
        return fd;
    int rc = io_pwrite (fd, data, len, 0, err);
    if (rc == 0)
        rc = io_fsync (fd, err);
    io_close (fd);
    if (rc == 0)
        rc = io_rename (tmp, path, err);
    if (rc == 0)
        rc = io_sync_dir (dir, err);
    if (rc < 0)
        unlink (tmp);
    return rc < 0 ? wrap (err, "save %s", path) : DFS_OK;
}

int io_slurp (const char *path, size_t max, void **data, size_t *len, dfs_error_t *err)
{
    int fd = io_open (path, O_RDONLY, 0, err);
    if (fd < 0)
        return fd;
    uint64_t size = 0;
    int rc = io_size (fd, &size, err);
    char *buf = NULL;
    if (rc == 0 && size > max)
        rc = fail (err, DFS_ETOOBIG, "%s is larger than %zu bytes", path, max);
    if (rc == 0) {
        buf = malloc (size + 1);
        if (!buf)
            rc = fail (err, DFS_ENOMEM, "%s: out of memory", path);
    }
    ssize_t n = rc == 0 ? io_pread_some (fd, buf, size, 0, err) : 0;
    if (n < 0)
        rc = (int)n;
    if (n < 0 && err)
        wrap (err, "%s", path);
    io_close (fd);
    if (rc < 0) {
        free (buf);
        return rc;
    }
    buf[n] = 0;
    *data = buf;
    *len = (size_t)n;
    return DFS_OK;
}

int io_lock (const char *path, dfs_error_t *err)
{
    int fd = io_open (path, O_RDWR | O_CREAT, 0600, err);
    if (fd < 0)
        return fd;
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl (fd, F_OFD_SETLK, &lock) < 0) {
        int saved = errno;
        char pid[32] = "?";
        ssize_t n = pread (fd, pid, sizeof pid - 1, 0);
        pid[n > 0 ? n : 1] = 0;
        pid[strcspn (pid, "\n")] = 0;
        close (fd);
        errno = saved;
        if (saved == EAGAIN || saved == EACCES)
            return fail (err, DFS_EINUSE, "%s is locked by process %s", path, pid);
        return fail_errno (err, "lock %s", path);
    }
    char text[32];
    int n = snprintf (text, sizeof text, "%d\n", (int)getpid ());
    if (ftruncate (fd, 0) < 0 || pwrite (fd, text, (size_t)n, 0) != n) {
        int rc = fail_errno (err, "write %s", path);
        close (fd);
        return rc;
    }
    return fd;
}

void io_standard (void)
{
    for (int i = 0; i < 3; i++)
        if (fcntl (i, F_GETFD) < 0 &&
            open ("/dev/null", i == 0 ? O_WRONLY : O_RDONLY) != i)
            abort ();
}
