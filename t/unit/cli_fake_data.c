/* SPDX-License-Identifier: MPL-2.0 */
/* Contents in the fake cluster: put, get, where chunks are. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_fake_private.h"

/* Copies the LENGTH bytes at OFFSET; negative errno. */
static int64_t copy (int in, int out, uint64_t offset, uint64_t length)
{
    char buf[65536];
    uint64_t done = 0;
    if (offset && lseek (in, (off_t)offset, SEEK_SET) < 0)
        return -errno;
    while (done < length) {
        size_t want = length - done < sizeof buf ? (size_t)(length - done) : sizeof buf;
        ssize_t n = read (in, buf, want);
        if (n == 0)
            break;
        if (n < 0 || write (out, buf, (size_t)n) != n)
            return -errno;
        done += (uint64_t)n;
    }
    return (int64_t)done;
}

static int put_one (dfs_put_item_t *item, int flags)
{
    struct stat s;
    fake_trace ("put %s %s%s%s%s%s", item->source ? item->source : "-", item->dest,
                flags & DFS_PUT_CREATE ? " create" : "",
                flags & DFS_PUT_REPLACE ? " replace" : "",
                flags & DFS_PUT_APPEND ? " append" : "",
                flags & DFS_PUT_PARENTS ? " parents" : "");
    bool there = stat (fake_path (item->dest), &s) == 0;
    if (there && S_ISDIR (s.st_mode))
        return fail (&item->error, DFS_EISDIR, "is a directory");
    if (there && !(flags & (DFS_PUT_REPLACE | DFS_PUT_APPEND)))
        return fail (&item->error, DFS_EEXIST, "already exists");
    if (!there && !(flags & DFS_PUT_CREATE))
        return fail (&item->error, DFS_ENOENT, "no such file or directory");
    if (item->if_version && item->if_version != VERSION)
        return fail (&item->error, DFS_ECONFLICT, "has version %d", VERSION);
    if (flags & DFS_PUT_PARENTS)
        fake_parents (item->dest);
    int in = item->source ? open (item->source, O_RDONLY) : item->fd;
    if (in < 0)
        return fake_errno (&item->error, item->source);
    int mode = flags & DFS_PUT_APPEND ? O_APPEND : O_TRUNC;
    int out = open (fake_path (item->dest), O_WRONLY | O_CREAT | mode, 0644);
    if (out < 0)
        return fake_errno (&item->error, item->dest);
    int64_t n = copy (in, out, 0, UINT64_MAX);
    fstat (in, &s);
    if (item->source) {
        struct timespec times[2] = {s.st_atim, s.st_mtim};
        fchmod (out, s.st_mode & 07777);
        futimens (out, times);
        close (in);
    }
    close (out);
    item->size = (uint64_t)n;
    item->version = VERSION;
    item->copies = 2;
    return 0;
}

int dfs_put (dfs_t *dfs, dfs_put_item_t *items, size_t n,
             const dfs_put_options_t *options, dfs_error_t *err)
{
    int first = 0;
    (void)dfs;
    for (size_t i = 0; i < n; i++) {
        items[i].code = put_one (&items[i], options->flags);
        if (items[i].code < 0 && first == 0) {
            first = items[i].code;
            *err = items[i].error;
        }
    }
    return first;
}

static int get_one (dfs_get_item_t *item)
{
    struct stat s;
    fake_trace ("get %s %s", item->source, item->dest ? item->dest : "-");
    int in = open (fake_path (item->source), O_RDONLY);
    if (in < 0)
        return fake_errno (&item->error, item->source);
    fstat (in, &s);
    if (S_ISDIR (s.st_mode)) {
        close (in);
        return fail (&item->error, DFS_EISDIR, "is a directory");
    }
    int out =
        item->dest ? open (item->dest, O_WRONLY | O_CREAT | O_TRUNC, 0644) : item->fd;
    if (out < 0)
        return fake_errno (&item->error, item->dest);
    int64_t n = copy (in, out, item->offset, item->length);
    if (item->dest) {
        struct timespec times[2] = {s.st_atim, s.st_mtim};
        fchmod (out, s.st_mode & 07777);
        futimens (out, times);
        close (out);
    }
    close (in);
    item->size = (uint64_t)n;
    return 0;
}

int dfs_get (dfs_t *dfs, dfs_get_item_t *items, size_t n,
             const dfs_get_options_t *options, dfs_error_t *err)
{
    int first = 0;
    (void)dfs;
    (void)options;
    for (size_t i = 0; i < n; i++) {
        items[i].code = get_one (&items[i]);
        if (items[i].code < 0 && first == 0) {
            first = items[i].code;
            *err = items[i].error;
        }
    }
    return first;
}

/* A file called "damaged" has a bad copy, "lonely" one out of reach. */
static int chunks (const char *path, bool verify, dfs_chunk_f *each, void *arg,
                   dfs_error_t *err)
{
    struct stat s;
    if (stat (fake_path (path), &s) < 0)
        return fake_errno (err, path);
    if (S_ISDIR (s.st_mode))
        return fail (err, DFS_EISDIR, "%s: is a directory", path);
    dfs_replica_t replicas[2] = {{.name = "w1", .location = "local/w1", .state = "up"},
                                 {.name = "w2", .location = "local/w2", .state = "up"}};
    dfs_chunk_info_t chunk = {
        .size = (uint64_t)s.st_size, .replicas = replicas, .n_replicas = 2};
    snprintf (chunk.id, sizeof chunk.id, "%064" PRIx64, (uint64_t)s.st_size);
    if (strstr (path, "damaged") && verify)
        replicas[1].code = DFS_EDAMAGED;
    if (strstr (path, "hopeless"))
        replicas[0].code = replicas[1].code = DFS_EDAMAGED;
    if (strstr (path, "lonely"))
        replicas[1].code = DFS_EUNAVAIL;
    return each (&chunk, arg);
}

int dfs_locate (dfs_t *dfs, const char *path, dfs_chunk_f *each, void *arg,
                dfs_error_t *err)
{
    (void)dfs;
    return chunks (path, false, each, arg, err);
}

int dfs_verify (dfs_t *dfs, const char *path, dfs_chunk_f *each, void *arg,
                dfs_error_t *err)
{
    (void)dfs;
    return chunks (path, true, each, arg, err);
}
