/* SPDX-License-Identifier: MPL-2.0 */
/* Calls that read and change names. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/attr.h"
#include "client/lib/client.h"

#define STAT_BATCH   512 /* paths in one question */
#define STAT_BYTES   (512 * 1024)
#define STAT_FLIGHT  4
#define UNLINK_BATCH 4096 /* in flight */

void attr_to_stat (const Dfs__Attr *attr, dfs_stat_t *st)
{
    memset (st, 0, sizeof *st);
    st->type = (enum dfs_type)attr->type;
    st->mode = attr->mode;
    st->uid = attr->uid;
    st->gid = attr->gid;
    st->nlink = attr->nlink;
    st->inode = attr->inode;
    st->size = attr->size;
    st->mtime_ns = attr->mtime_ns;
    st->ctime_ns = attr->ctime_ns;
    st->version = attr->version;
    st->chunks = attr->chunks;
    st->chunk_size = attr->chunk_size;
    st->replicas = attr->replicas;
    st->policy = attr->policy;
    if (attr->owner)
        memccpy (st->owner, attr->owner, 0, sizeof st->owner - 1);
    if (attr->has_sha256_tree && attr->sha256_tree.len == 32) {
        memcpy (st->sha256_tree, attr->sha256_tree.data, 32);
        st->has_tree = true;
    }
}

void attr_target (const Dfs__Attr *attr, dfs_stat_t *st)
{
    if (!attr->has_target)
        return;
    st->target = malloc (attr->target.len + 1);
    assert (st->target);
    memcpy (st->target, attr->target.data, attr->target.len);
    st->target[attr->target.len] = 0;
}

void dfs_stat_clear (dfs_stat_t *st)
{
    if (!st)
        return;
    free (st->target);
    st->target = NULL;
}

/* --- stat --- */

typedef struct stats {
    const char *const *paths;
    size_t n, next, done, flight;
    bool follow;
    dfs_stat_t *st;
    int *codes;
    dfs_t *dfs;
    int code; /* of the whole */
    dfs_error_t err;
} stats_t;

typedef struct stat_batch {
    stats_t *stats;
    size_t first, n;
} stat_batch_t;

static void stat_done (void *arg, int code, const Dfs__Envelope *reply,
                       const dfs_error_t *err)
{
    stat_batch_t *batch = arg;
    stats_t *stats = batch->stats;

    stats->flight--;
    client_progress (stats->dfs);
    if (code == 0 && (reply->body_case != DFS__ENVELOPE__BODY_STAT_REPLY ||
                      reply->stat_reply->n_results != batch->n)) {
        stats->code =
            fail (&stats->err, DFS_EPROTO, "broker answered another question");
    } else if (code < 0) {
        stats->code = code;
        stats->err = *err;
    }
    for (size_t i = 0; stats->code == 0 && i < batch->n; i++) {
        const Dfs__StatResult *result = reply->stat_reply->results[i];
        size_t at = batch->first + i;
        stats->codes[at] = result->code < 0       ? result->code
                           : result->attr != NULL ? 0
                                                  : DFS_EPROTO;
        if (stats->codes[at] < 0) {
            if (stats->err.code == 0)
                fail (&stats->err, stats->codes[at], "%s",
                      result->text ? result->text : dfs_error_text (result->code));
            continue;
        }
        attr_to_stat (result->attr, &stats->st[at]);
        attr_target (result->attr, &stats->st[at]);
    }
    stats->done += batch->n;
    free (batch);
}

static int stat_ask (stats_t *stats)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Stat body = DFS__STAT__INIT;
    ProtobufCBinaryData paths[STAT_BATCH];
    size_t n = 0, bytes = 0;

    while (n < STAT_BATCH && stats->next + n < stats->n && bytes < STAT_BYTES) {
        const char *path = stats->paths[stats->next + n];
        paths[n].data = (uint8_t *)(uintptr_t)path;
        paths[n].len = strlen (path);
        if (paths[n].len > STAT_BYTES)
            return fail (&stats->err, DFS_ENAMETOOLONG, "path is too long");
        bytes += paths[n++].len;
    }
    stat_batch_t *batch = calloc (1, sizeof *batch);
    assert (batch);
    *batch = (stat_batch_t){.stats = stats, .first = stats->next, .n = n};
    body.paths = paths;
    body.n_paths = n;
    body.has_follow = true;
    body.follow = stats->follow;
    env.body_case = DFS__ENVELOPE__BODY_STAT;
    env.stat = &body;
    stats->next += n;
    stats->flight++;
    if (requests_send (stats->dfs->requests, &env, 0, stat_done, batch) != 0)
        return 0;
    free (batch);
    return fail (&stats->err, DFS_ETOOBIG, "too large for a message");
}

int dfs_stat_many (dfs_t *dfs, const char *const *paths, size_t n, bool follow,
                   dfs_stat_t *st, int *codes, dfs_error_t *err)
{
    int rc = client_enter (dfs, err);

    if (rc < 0)
        return rc;
    stats_t *stats = calloc (1, sizeof *stats);
    assert (stats);
    *stats = (stats_t){
        .paths = paths, .n = n, .follow = follow, .st = st, .codes = codes, .dfs = dfs};
    for (size_t i = 0; i < n; i++) {
        memset (&st[i], 0, sizeof st[i]);
        codes[i] = DFS_EUNAVAIL;
    }
    while (rc == 0 && stats->code == 0 && stats->done < n) {
        while (rc == 0 && stats->next < n && stats->flight < STAT_FLIGHT)
            rc = stat_ask (stats);
        if (rc == 0)
            rc = client_step (dfs, UINT64_MAX, &stats->err);
        if (rc == 0 && stats->done < n)
            rc = client_stalled (dfs, &stats->err);
    }
    if (stats->flight > 0)
        requests_cancel (dfs->requests, free);
    if (rc == 0)
        rc = stats->code;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = codes[i];
    if (rc < 0)
        fail (err, rc, "%s", stats->err.code ? stats->err.text : dfs_error_text (rc));
    free (stats);
    client_leave (dfs);
    return rc;
}

int dfs_stat (dfs_t *dfs, const char *path, bool follow, dfs_stat_t *st,
              dfs_error_t *err)
{
    const char *paths[1] = {path};
    int code;

    return dfs_stat_many (dfs, paths, 1, follow, st, &code, err);
}

/* --- changes --- */

typedef struct one {
    change_t change;
    Dfs__Op op;
    bool done;
    int code;
    dfs_error_t err;
} one_t;

static void one_build (change_t *change, arena_t *arena, Dfs__Op *op)
{
    (void)arena;
    *op = ((one_t *)change)->op;
}

static void one_done (change_t *change, int code, const Dfs__OpResult *result,
                      const dfs_error_t *err)
{
    one_t *one = (one_t *)change;

    (void)result;
    one->done = true;
    one->code = code;
    one->err = *err;
}

static int change_one (dfs_t *dfs, const Dfs__Op *op, dfs_error_t *err)
{
    one_t one = {.change = {.build = one_build, .done = one_done}, .op = *op};
    int rc = client_enter (dfs, err);

    if (rc < 0)
        return rc;
    changes_add (dfs->changes, &one.change);
    rc = client_wait (dfs, &one.done, err);
    changes_drop (dfs->changes, &one.change);
    client_leave (dfs);
    return rc < 0 ? rc : one.code < 0 ? fail (err, one.code, "%s", one.err.text) : 0;
}

static ProtobufCBinaryData bytes_of (const char *text)
{
    return (ProtobufCBinaryData){.data = (uint8_t *)(uintptr_t)text,
                                 .len = strlen (text)};
}

#define OP(kind, KIND, type)                                                           \
    Dfs__Op op = DFS__OP__INIT;                                                        \
    type body;                                                                         \
    dfs__op_##kind##__init (&body);                                                    \
    op.op_case = DFS__OP__OP_##KIND;                                                   \
    op.kind = &body

int dfs_mkdir (dfs_t *dfs, const char *path, uint32_t mode, bool parents,
               dfs_error_t *err)
{
    OP (mkdir, MKDIR, Dfs__OpMkdir);
    body.path = bytes_of (path);
    body.has_mode = body.has_parents = true;
    body.mode = mode & 07777;
    body.parents = parents;
    return change_one (dfs, &op, err);
}

int dfs_rmdir (dfs_t *dfs, const char *path, dfs_error_t *err)
{
    OP (rmdir, RMDIR, Dfs__OpRmdir);
    body.path = bytes_of (path);
    return change_one (dfs, &op, err);
}

int dfs_unlink (dfs_t *dfs, const char *path, bool recursive, dfs_error_t *err)
{
    OP (unlink, UNLINK, Dfs__OpUnlink);
    body.path = bytes_of (path);
    body.has_recursive = true;
    body.recursive = recursive;
    return change_one (dfs, &op, err);
}

int dfs_rename (dfs_t *dfs, const char *from, const char *to, bool no_replace,
                dfs_error_t *err)
{
    OP (rename, RENAME, Dfs__OpRename);
    body.from = bytes_of (from);
    body.to = bytes_of (to);
    body.has_no_replace = true;
    body.no_replace = no_replace;
    return change_one (dfs, &op, err);
}

int dfs_clone (dfs_t *dfs, const char *from, const char *to, bool no_replace,
               dfs_error_t *err)
{
    OP (clone, CLONE, Dfs__OpClone);
    body.from = bytes_of (from);
    body.to = bytes_of (to);
    body.has_no_replace = true;
    body.no_replace = no_replace;
    return change_one (dfs, &op, err);
}

int dfs_symlink (dfs_t *dfs, const char *target, const char *path, bool replace,
                 dfs_error_t *err)
{
    OP (symlink, SYMLINK, Dfs__OpSymlink);
    body.path = bytes_of (path);
    body.target = bytes_of (target);
    body.has_replace = true;
    body.replace = replace;
    return change_one (dfs, &op, err);
}

int dfs_setattr (dfs_t *dfs, const char *path, uint32_t mode, uint64_t mtime_ns,
                 dfs_error_t *err)
{
    OP (setattr, SETATTR, Dfs__OpSetattr);
    body.path = bytes_of (path);
    body.has_mode = mode != UINT32_MAX;
    body.mode = mode & 07777;
    body.has_mtime_ns = mtime_ns != UINT64_MAX;
    body.mtime_ns = mtime_ns;
    return change_one (dfs, &op, err);
}

int dfs_policy_assign (dfs_t *dfs, const char *path, uint32_t policy, dfs_error_t *err)
{
    OP (setattr, SETATTR, Dfs__OpSetattr);
    body.path = bytes_of (path);
    body.has_policy = true;
    body.policy = policy;
    return change_one (dfs, &op, err);
}

/* --- many unlinks --- */

typedef struct unlinks {
    dfs_t *dfs;
    int *codes;
    size_t done;
    dfs_error_t err; /* of the first that failed */
} unlinks_t;

typedef struct unlink_one {
    change_t change;
    unlinks_t *all;
    const char *path;
    size_t at;
    bool free; /* slot may be used again */
} unlink_one_t;

static void unlink_build (change_t *change, arena_t *arena, Dfs__Op *op)
{
    Dfs__OpUnlink *body = arena_alloc (arena, sizeof *body);

    assert (body);
    dfs__op_unlink__init (body);
    body->path = bytes_of (((unlink_one_t *)change)->path);
    op->op_case = DFS__OP__OP_UNLINK;
    op->unlink = body;
}

static void unlink_done (change_t *change, int code, const Dfs__OpResult *result,
                         const dfs_error_t *err)
{
    unlink_one_t *one = (unlink_one_t *)change;

    (void)result;
    client_progress (one->all->dfs);
    one->all->codes[one->at] = code;
    one->all->done++;
    one->free = true;
    if (code < 0 && one->all->err.code == 0)
        one->all->err = *err;
}

int dfs_unlink_many (dfs_t *dfs, const char *const *paths, size_t n, int *codes,
                     dfs_error_t *err)
{
    size_t slots = n < UNLINK_BATCH ? n : UNLINK_BATCH, next = 0, from = 0;
    unlinks_t all = {.dfs = dfs, .codes = codes};
    int rc = client_enter (dfs, err);

    if (rc < 0)
        return rc;
    unlink_one_t *ones = calloc (slots ? slots : 1, sizeof *ones);
    assert (ones);
    for (size_t i = 0; i < slots; i++)
        ones[i].free = true;
    for (size_t i = 0; i < n; i++)
        codes[i] = DFS_EUNAVAIL;
    while (rc == 0 && all.done < n) {
        for (size_t i = 0; i < slots && next < n && changes_open (dfs->changes) < slots;
             i++) {
            unlink_one_t *one = &ones[(from + i) % slots];
            if (!one->free)
                continue;
            *one =
                (unlink_one_t){.change = {.build = unlink_build, .done = unlink_done},
                               .all = &all,
                               .path = paths[next],
                               .at = next};
            next++;
            changes_add (dfs->changes, &one->change);
        }
        from = (from + 1) % (slots ? slots : 1);
        rc = client_step (dfs, UINT64_MAX, &all.err);
        if (rc == 0 && all.done < n)
            rc = client_stalled (dfs, &all.err);
    }
    for (size_t i = 0; i < slots; i++)
        changes_drop (dfs->changes, &ones[i].change);
    free (ones);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = codes[i];
    client_leave (dfs);
    return rc < 0 ? fail (err, rc, "%s", all.err.text) : 0;
}
