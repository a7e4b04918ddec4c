/* SPDX-License-Identifier: MPL-2.0 */
#include "client/lib/verify_write.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "common/filetime.h"
#include "common/rng.h"

#define NAME_LEN 255
#define TRIES    8

/* The umask, which can only be read by changing it, or here (Linux 4.7). */
static mode_t read_umask (void)
{
    char line[128];
    unsigned mask = 022;
    FILE *in = fopen ("/proc/self/status", "re");

    while (in && fgets (line, sizeof line, in))
        if (sscanf (line, "Umask: %o", &mask) == 1)
            break;
    if (in)
        fclose (in);
    return (mode_t)mask;
}

/* PATH names a descriptor of a process: it is written to as it stands. */
static bool is_descriptor (const char *path)
{
    char text[8] = "";
    struct statfs fs;
    int fd = open (path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    bool is = fd >= 0 && fstatfs (fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;

    if (fd >= 0)
        close (fd);
    return is || (readlink (path, text, sizeof text - 1) > 0 &&
                  strncmp (text, "/proc/", 6) == 0);
}

int target_init (target_t *self, const char *path, int fd, dfs_error_t *err)
{
    struct stat st, link;

    memset (self, 0, sizeof *self);
    self->path = path;
    self->fd = -1;
    self->kind = TARGET_FILE;
    if (!path) {
        self->kind = TARGET_STREAM;
        self->fd = fd;
        return 0;
    }
    self->mode = UINT32_MAX;
    if (stat (path, &st) != 0)
        return 0;
    if (S_ISREG (st.st_mode) && lstat (path, &link) == 0 &&
        !(S_ISLNK (link.st_mode) && is_descriptor (path))) {
        self->mode = st.st_mode & 0777;
        if (!S_ISLNK (link.st_mode))
            return 0;
        self->real = realpath (path, NULL);
        if (!self->real)
            return fail_errno (err, "%s", path);
        self->path = self->real;
        return 0;
    }
    if (S_ISDIR (st.st_mode))
        return fail (err, DFS_EISDIR, "%s: is a directory", path);
    /* a device, a pipe: must never be replaced by a file */
    self->kind = TARGET_STREAM;
    self->own = true;
    self->fd = open (path, O_WRONLY | O_CLOEXEC);
    return self->fd < 0 ? fail_errno (err, "%s", path) : 0;
}

/* Another name beside the destination: a dot, what fits of its own, and 8 digits. */
static void name_temp (target_t *self)
{
    const char *slash = strrchr (self->path, '/');
    const char *name = slash ? slash + 1 : self->path;
    size_t dir = (size_t)(name - self->path), len = strlen (name);

    if (len > NAME_LEN - 14)
        len = NAME_LEN - 14;
    free (self->temp);
    if (asprintf (&self->temp, "%.*s.%.*s.dfs-%08x", (int)dir, self->path, (int)len,
                  name, (unsigned)rng_secret_u64 ()) < 0)
        abort ();
}

/* A file without a name, of which nothing is left when the process is killed; -1 where
 * the file system has none, or /proc is missing by which it gets its name. */
static int open_unnamed (const char *path)
{
    char *copy = strdup (path);
    int fd = -1;

    assert (copy);
    if (access ("/proc/self/fd", X_OK) == 0)
        fd = open (dirname (copy), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);
    free (copy);
    return fd;
}

int target_open (target_t *self, dfs_error_t *err)
{
    self->fd = self->no_unnamed ? -1 : open_unnamed (self->path);
    self->unnamed = self->fd >= 0;
    for (int i = 0; i < TRIES && self->fd < 0; i++) {
        name_temp (self);
        self->fd = open (self->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (self->fd < 0 && errno != EEXIST)
            break;
    }
    if (self->fd >= 0) {
        self->own = true;
        return 0;
    }
    int rc = fail_errno (err, "%s", self->path);
    free (self->temp);
    self->temp = NULL;
    return rc;
}

/* Gives the file without a name the one it is for, or, where something has that,
 * another one for the rename. */
static int give_name (target_t *self, dfs_error_t *err)
{
    char file[32];

    snprintf (file, sizeof file, "/proc/self/fd/%d", self->fd);
    if (linkat (AT_FDCWD, file, AT_FDCWD, self->path, AT_SYMLINK_FOLLOW) == 0)
        return 0;
    for (int i = 0; i < TRIES && errno == EEXIST; i++) {
        name_temp (self);
        if (linkat (AT_FDCWD, file, AT_FDCWD, self->temp, AT_SYMLINK_FOLLOW) == 0)
            return 0;
    }
    int rc = fail_errno (err, "%s", self->path);
    free (self->temp);
    self->temp = NULL;
    return rc;
}

static int write_stream (int fd, const uint8_t *data, size_t len, dfs_error_t *err)
{
    while (len > 0) {
        ssize_t n = write (fd, data, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno (err, "write");
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int target_write (target_t *self, const void *data, size_t len, uint64_t offset,
                  dfs_error_t *err)
{
    const uint8_t *from = data;

    if (self->kind == TARGET_STREAM)
        return write_stream (self->fd, data, len, err);
    if (self->kind == TARGET_MEMORY) {
        memcpy (self->memory + offset, data, len);
        return 0;
    }
    while (len > 0) {
        ssize_t n = pwrite (self->fd, from, len, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno (err, "write %s", self->path);
        from += n;
        len -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int target_zeros (target_t *self, uint64_t len, uint64_t offset, dfs_error_t *err)
{
    static const uint8_t zeros[64 * 1024];
    int rc = 0;

    if (self->kind == TARGET_MEMORY)
        memset (self->memory + offset, 0, len);
    while (self->kind == TARGET_STREAM && len > 0 && rc == 0) {
        size_t n = len < sizeof zeros ? len : sizeof zeros;
        rc = write_stream (self->fd, zeros, n, err);
        len -= n;
    }
    return rc;
}

static int set_attributes (target_t *self, uint64_t size, uint32_t mode,
                           uint64_t mtime_ns, dfs_error_t *err)
{
    struct stat st;

    if (fstat (self->fd, &st) != 0 ||
        ((uint64_t)st.st_size != size && ftruncate (self->fd, (off_t)size) != 0))
        return fail_errno (err, "%s", self->path);
    if (mode == UINT32_MAX)
        mode = self->mode != UINT32_MAX ? self->mode : 0666 & ~read_umask ();
    if (fchmod (self->fd, mode & 0777) != 0)
        return fail_errno (err, "set the mode of %s", self->path);
    if (mtime_ns != UINT64_MAX) {
        struct timespec times[2] = {
            {.tv_nsec = UTIME_OMIT},
            filetime_unpack (mtime_ns),
        };
        if (futimens (self->fd, times) != 0)
            return fail_errno (err, "set the time of %s", self->path);
    }
    return 0;
}

/* Makes the name PATH durable. */
static int sync_directory (const char *path, dfs_error_t *err)
{
    char *copy = strdup (path);
    int rc = 0;

    assert (copy);
    int fd = open (dirname (copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync (fd) != 0)
        rc = fail_errno (err, "fsync the directory of %s", path);
    if (fd >= 0)
        close (fd);
    free (copy);
    return rc;
}

int target_finish (target_t *self, uint64_t size, uint32_t mode, uint64_t mtime_ns,
                   bool sync, dfs_error_t *err)
{
    int rc = 0;

    if (self->kind == TARGET_FILE) {
        rc = set_attributes (self, size, mode, mtime_ns, err);
        if (rc == 0 && sync && fsync (self->fd) != 0)
            rc = fail_errno (err, "fsync %s", self->path);
        if (rc == 0 && self->unnamed)
            rc = give_name (self, err);
    }
    if (self->own && self->fd >= 0) {
        if (close (self->fd) != 0 && rc == 0 && errno != EINTR)
            rc = fail_errno (err, "close %s", self->path);
        self->fd = -1;
    }
    if (rc == 0 && self->kind == TARGET_FILE) {
        if (self->temp && rename (self->temp, self->path) != 0)
            rc = fail_errno (err, "%s", self->path);
        else {
            free (self->temp);
            self->temp = NULL;
            rc = sync ? sync_directory (self->path, err) : 0;
        }
    }
    return rc;
}

void target_drop (target_t *self)
{
    if (self->own && self->fd >= 0)
        close (self->fd);
    self->fd = -1;
    if (self->temp)
        unlink (self->temp);
    free (self->temp);
    free (self->real);
    self->temp = self->real = NULL;
}
