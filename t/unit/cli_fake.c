/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli_fake.h"
#include "client/lib/dfs.h"
#include "common/error.h"

#define VERSION 7 /* every file has this one */

struct dfs {
    int unused;
};

static const char *root, *trace_path;

void fake_setup (const char *own_root, const char *own_trace)
{
    root = own_root;
    trace_path = own_trace;
}

static void __attribute__ ((format (printf, 1, 2))) trace (const char *fmt, ...)
{
    va_list ap;
    FILE *file = fopen (trace_path, "a");
    assert (file);
    va_start (ap, fmt);
    vfprintf (file, fmt, ap);
    va_end (ap);
    fputc ('\n', file);
    fclose (file);
}

/* Two, since many calls name two paths. */
static const char *real (const char *path)
{
    static __thread char bufs[2][2 * PATH_MAX];
    static __thread int turn;
    turn = !turn;
    assert (*path == '/');
    snprintf (bufs[turn], sizeof bufs[turn], "%s%s", root, path);
    return bufs[turn];
}

static int from_errno (dfs_error_t *err, const char *path)
{
    int code = error_from_errno (errno);
    return fail (err, code, "%s: %s", path, dfs_error_text (code));
}

dfs_t *dfs_open (const dfs_options_t *options, dfs_error_t *err)
{
    if (options->config && strcmp (options->config, "/down") == 0) {
        fail (err, DFS_EUNAVAIL, "no broker answers");
        return NULL;
    }
    return calloc (1, sizeof (dfs_t));
}

void dfs_close (dfs_t **dfs_p)
{
    free (*dfs_p);
    *dfs_p = NULL;
}

const char *dfs_version (void)
{
    return "0.0.0";
}

static void fill (dfs_stat_t *st, const struct stat *s, const char *path)
{
    memset (st, 0, sizeof *st);
    st->type = S_ISDIR (s->st_mode)   ? DFS_DIRECTORY
               : S_ISLNK (s->st_mode) ? DFS_SYMLINK
                                      : DFS_FILE;
    st->mode = s->st_mode & 07777;
    st->nlink = (uint32_t)s->st_nlink;
    st->size = S_ISREG (s->st_mode) ? (uint64_t)s->st_size : 0;
    st->mtime_ns =
        (uint64_t)s->st_mtim.tv_sec * 1000000000u + (uint64_t)s->st_mtim.tv_nsec;
    st->version = VERSION;
    st->chunks = (st->size + 4095) / 4096;
    st->chunk_size = 4096;
    st->replicas = 2;
    strcpy (st->owner, "admin");
    if (st->type == DFS_SYMLINK) {
        st->target = calloc (1, PATH_MAX);
        assert (st->target && readlink (path, st->target, PATH_MAX - 1) >= 0);
    }
}

int dfs_stat (dfs_t *dfs, const char *path, bool follow, dfs_stat_t *st,
              dfs_error_t *err)
{
    struct stat s;
    (void)dfs;
    const char *at = real (path);
    if ((follow ? stat : lstat) (at, &s) < 0)
        return from_errno (err, path);
    fill (st, &s, at);
    return 0;
}

void dfs_stat_clear (dfs_stat_t *st)
{
    free (st->target);
    memset (st, 0, sizeof *st);
}

static int list (const char *dir, const char *rel, const dfs_list_options_t *options,
                 int (*each) (const char *path, const dfs_stat_t *st, void *arg),
                 void *arg)
{
    struct dirent **entries;
    int n = scandir (dir, &entries, NULL, alphasort), rc = 0;
    assert (n >= 0);
    for (int i = 0; i < n; i++) {
        const char *name = entries[i]->d_name;
        char path[PATH_MAX], below[PATH_MAX];
        if (rc == 0 && strcmp (name, ".") && strcmp (name, "..")) {
            struct stat s;
            dfs_stat_t st;
            snprintf (path, sizeof path, "%s/%s", dir, name);
            snprintf (below, sizeof below, "%s%s%s", rel, *rel ? "/" : "", name);
            assert (lstat (path, &s) == 0);
            fill (&st, &s, path);
            if (!options->pattern || fnmatch (options->pattern, name, 0) == 0)
                rc = each (below, &st, arg);
            if (rc == 0 && options->recursive && st.type == DFS_DIRECTORY)
                rc = list (path, below, options, each, arg);
            dfs_stat_clear (&st);
        }
        free (entries[i]);
    }
    free (entries);
    return rc;
}

int dfs_list (dfs_t *dfs, const char *path, const dfs_list_options_t *options,
              int (*each) (const char *path, const dfs_stat_t *st, void *arg),
              void *arg, dfs_error_t *err)
{
    char top[2 * PATH_MAX];
    struct stat s;
    (void)dfs;
    snprintf (top, sizeof top, "%s", real (path));
    if (stat (top, &s) < 0)
        return from_errno (err, path);
    return list (top, "", options, each, arg);
}

static void make_parents (const char *path)
{
    char above[PATH_MAX];
    snprintf (above, sizeof above, "%s", path);
    for (char *p = above + 1; *p; p++)
        if (*p == '/') {
            *p = 0;
            mkdir (real (above), 0755);
            *p = '/';
        }
}

int dfs_mkdir (dfs_t *dfs, const char *path, uint32_t mode, bool parents,
               dfs_error_t *err)
{
    (void)dfs;
    trace ("mkdir %s %o%s", path, mode, parents ? " parents" : "");
    if (parents)
        make_parents (path);
    if (mkdir (real (path), 0755) < 0 && !(parents && errno == EEXIST))
        return from_errno (err, path);
    return 0;
}

int dfs_rmdir (dfs_t *dfs, const char *path, dfs_error_t *err)
{
    (void)dfs;
    return rmdir (real (path)) < 0 ? from_errno (err, path) : 0;
}

int dfs_unlink (dfs_t *dfs, const char *path, bool recursive, dfs_error_t *err)
{
    (void)dfs;
    trace ("unlink %s%s", path, recursive ? " recursive" : "");
    struct stat s;
    if (lstat (real (path), &s) < 0)
        return from_errno (err, path);
    if (S_ISDIR (s.st_mode) && !recursive)
        return fail (err, DFS_EISDIR, "%s: is a directory", path);
    return 0;
}

int dfs_unlink_many (dfs_t *dfs, const char *const *paths, size_t n, int *codes,
                     dfs_error_t *err)
{
    int first = 0;
    for (size_t i = 0; i < n; i++) {
        codes[i] = dfs_unlink (dfs, paths[i], false, err);
        if (first == 0)
            first = codes[i];
    }
    return first;
}

int dfs_rename (dfs_t *dfs, const char *from, const char *to, bool no_replace,
                dfs_error_t *err)
{
    (void)dfs;
    trace ("rename %s %s%s", from, to, no_replace ? " no_replace" : "");
    return rename (real (from), real (to)) < 0 ? from_errno (err, from) : 0;
}

int dfs_clone (dfs_t *dfs, const char *from, const char *to, bool no_replace,
               dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    trace ("clone %s %s%s", from, to, no_replace ? " no_replace" : "");
    return 0;
}

int dfs_symlink (dfs_t *dfs, const char *target, const char *path, bool replace,
                 dfs_error_t *err)
{
    (void)dfs;
    trace ("symlink %s %s%s", target, path, replace ? " replace" : "");
    if (replace)
        unlink (real (path));
    return symlink (target, real (path)) < 0 ? from_errno (err, path) : 0;
}

int dfs_setattr (dfs_t *dfs, const char *path, uint32_t mode, uint64_t mtime_ns,
                 dfs_error_t *err)
{
    (void)dfs;
    struct timespec times[2] = {
        {0, UTIME_OMIT},
        {(time_t)(mtime_ns / 1000000000u), (long)(mtime_ns % 1000000000u)}};
    trace ("setattr %s %o", path, mode);
    if ((mode != UINT32_MAX && chmod (real (path), mode) < 0) ||
        utimensat (AT_FDCWD, real (path), times, AT_SYMLINK_NOFOLLOW) < 0)
        return from_errno (err, path);
    return 0;
}

int dfs_worker_drain (dfs_t *dfs, const char *worker, bool drain, dfs_error_t *err)
{
    (void)dfs;
    trace ("%s %s", drain ? "drain" : "undrain", worker);
    return strcmp (worker, "none") == 0 ? fail (err, DFS_ENOENT, "no such worker") : 0;
}

int dfs_worker_remove (dfs_t *dfs, const char *worker, dfs_error_t *err)
{
    (void)dfs;
    trace ("remove %s", worker);
    return fail (err, DFS_EINUSE, "is in use: drain it first");
}

int dfs_broker_transfer (dfs_t *dfs, const char *broker, dfs_error_t *err)
{
    (void)dfs;
    trace ("transfer %s", broker);
    return strcmp (broker, "b2") == 0 ? 0 : fail (err, DFS_ENOENT, "no such broker");
}

int dfs_broker_replace (dfs_t *dfs, const char *broker, int (*each) (void *arg),
                        void *arg, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    trace ("replace %s", broker);
    return each ? each (arg) : 0;
}

int dfs_worker_abandon (dfs_t *dfs, const char *worker, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    trace ("abandon %s", worker);
    return 0;
}

static uint64_t looks;

int dfs_rebalance (dfs_t *dfs, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    trace ("rebalance");
    looks++;
    return 0;
}

int dfs_reclaim_resume (dfs_t *dfs, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    trace ("reclaim resume");
    return 0;
}

int dfs_reclaim_undo (dfs_t *dfs, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    trace ("reclaim undo");
    return 0;
}

int dfs_reclaim_explain (dfs_t *dfs, const char *const *ids, size_t n,
                         int (*each) (const dfs_reclaim_chunk_t *chunk, void *arg),
                         void *arg, dfs_error_t *err)
{
    dfs_reclaim_copy_t copy = {.worker = 1, .birth = 7};
    dfs_reclaim_chunk_t chunk = {.recorded = true, .condemned = 9, .copies = &copy};

    (void)dfs;
    (void)err;
    chunk.n_copies = 1;
    for (size_t i = 0; i < n; i++) {
        snprintf (chunk.id, sizeof chunk.id, "%s", ids[i]);
        each (&chunk, arg);
    }
    trace ("reclaim explain %zu", n);
    return 0;
}

int dfs_repair_resume (dfs_t *dfs, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    trace ("repair resume");
    return 0;
}

int dfs_policies (dfs_t *dfs, dfs_policy_t **policies, size_t *n, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    *policies = calloc (2, sizeof **policies);
    *n = 2;
    (*policies)[0] = (dfs_policy_t){1, "default", 2, 2, 4 << 20, 0, false};
    (*policies)[1] = (dfs_policy_t){2, "copies-3", 3, 2, 4 << 20, 0, false};
    return 0;
}

int dfs_policy_set (dfs_t *dfs, const dfs_policy_t *policy, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    trace ("policy %u %s %u %u", policy->id, policy->name, policy->replicas,
           policy->min_replicas);
    return 0;
}

int dfs_policy_remove (dfs_t *dfs, uint32_t policy, dfs_error_t *err)
{
    (void)dfs;
    if (policy == 1)
        return fail (err, DFS_EINVAL, "the default policy stays");
    trace ("policy %u removed", policy);
    return 0;
}

int dfs_policy_assign (dfs_t *dfs, const char *path, uint32_t policy, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    trace ("assign %s %u", path, policy);
    return 0;
}

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
    trace ("put %s %s%s%s%s%s", item->source ? item->source : "-", item->dest,
           flags & DFS_PUT_CREATE ? " create" : "",
           flags & DFS_PUT_REPLACE ? " replace" : "",
           flags & DFS_PUT_APPEND ? " append" : "",
           flags & DFS_PUT_PARENTS ? " parents" : "");
    bool there = stat (real (item->dest), &s) == 0;
    if (there && S_ISDIR (s.st_mode))
        return fail (&item->error, DFS_EISDIR, "is a directory");
    if (there && !(flags & (DFS_PUT_REPLACE | DFS_PUT_APPEND)))
        return fail (&item->error, DFS_EEXIST, "already exists");
    if (!there && !(flags & DFS_PUT_CREATE))
        return fail (&item->error, DFS_ENOENT, "no such file or directory");
    if (item->if_version && item->if_version != VERSION)
        return fail (&item->error, DFS_ECONFLICT, "has version %d", VERSION);
    if (flags & DFS_PUT_PARENTS)
        make_parents (item->dest);
    int in = item->source ? open (item->source, O_RDONLY) : item->fd;
    if (in < 0)
        return from_errno (&item->error, item->source);
    int mode = flags & DFS_PUT_APPEND ? O_APPEND : O_TRUNC;
    int out = open (real (item->dest), O_WRONLY | O_CREAT | mode, 0644);
    if (out < 0)
        return from_errno (&item->error, item->dest);
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
    trace ("get %s %s", item->source, item->dest ? item->dest : "-");
    int in = open (real (item->source), O_RDONLY);
    if (in < 0)
        return from_errno (&item->error, item->source);
    fstat (in, &s);
    if (S_ISDIR (s.st_mode)) {
        close (in);
        return fail (&item->error, DFS_EISDIR, "is a directory");
    }
    int out =
        item->dest ? open (item->dest, O_WRONLY | O_CREAT | O_TRUNC, 0644) : item->fd;
    if (out < 0)
        return from_errno (&item->error, item->dest);
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

static _Atomic int held = -1;

void fake_hold (int fd)
{
    held = fd;
}

int dfs_status (dfs_t *dfs, dfs_status_t *status, dfs_error_t *err)
{
    (void)dfs;
    (void)err;
    if (held >= 0)
        poll (&(struct pollfd){held, POLLIN, 0}, 1, -1);
    memset (status, 0, sizeof *status);
    strcpy (status->cluster, "fake \"one\"");
    strcpy (status->health, "ok");
    strcpy (status->epoch, "1.1");
    status->workers = calloc (2, sizeof *status->workers);
    status->n_workers = 2;
    for (size_t i = 0; i < 2; i++) {
        dfs_worker_info_t *w = &status->workers[i];
        snprintf (w->name, sizeof w->name, "w%zu", i + 1);
        strcpy (w->state, i ? "dead" : "up");
        strcpy (w->condition, "ok");
        w->bytes_used = 3 << 20;
        w->bytes_live = 2 << 20;
        w->bytes_free = 9 << 20;
        w->chunks = w->copies = 4;
    }
    status->chunks = 4;
    status->bytes_logical = 8192;
    status->bytes_unique = 4096;
    status->replicas = 2;
    status->rebalance_looks = looks;
    status->fill_mean = 400;
    status->fill_farthest = 12;
    strcpy (status->fill_farthest_worker, "w2");
    status->repair_queued = 2; /* nobody can tell how long */
    status->unmet = calloc (1, sizeof *status->unmet);
    status->n_unmet = 1;
    *status->unmet = (dfs_unmet_t){.level = 2, .example = "dc1/rack1", .chunks = 20};
    return 0;
}

void dfs_status_clear (dfs_status_t *status)
{
    free (status->unmet);
    free (status->workers);
    memset (status, 0, sizeof *status);
}

/* A file called "damaged" has a bad copy, "lonely" one out of reach. */
static int chunks (const char *path, dfs_chunk_f *each, void *arg, dfs_error_t *err)
{
    struct stat s;
    if (stat (real (path), &s) < 0)
        return from_errno (err, path);
    if (S_ISDIR (s.st_mode))
        return fail (err, DFS_EISDIR, "%s: is a directory", path);
    dfs_replica_t replicas[2] = {{.name = "w1", .location = "local/w1", .state = "up"},
                                 {.name = "w2", .location = "local/w2", .state = "up"}};
    dfs_chunk_info_t chunk = {
        .size = (uint64_t)s.st_size, .replicas = replicas, .n_replicas = 2};
    snprintf (chunk.id, sizeof chunk.id, "%064" PRIx64, (uint64_t)s.st_size);
    if (strstr (path, "damaged"))
        replicas[1].code = DFS_EDAMAGED;
    if (strstr (path, "lonely"))
        replicas[1].code = DFS_EUNAVAIL;
    return each (&chunk, arg);
}

int dfs_scrub (dfs_t *dfs, const char *worker, unsigned *workers, dfs_error_t *err)
{
    (void)dfs;
    if (worker && strcmp (worker, "w1") != 0)
        return fail (err, DFS_ENOENT, "no such worker");
    *workers = worker ? 1 : 2;
    return 0;
}

int dfs_locate (dfs_t *dfs, const char *path, dfs_chunk_f *each, void *arg,
                dfs_error_t *err)
{
    (void)dfs;
    return chunks (path, each, arg, err);
}

int dfs_verify (dfs_t *dfs, const char *path, dfs_chunk_f *each, void *arg,
                dfs_error_t *err)
{
    (void)dfs;
    return chunks (path, each, arg, err);
}
