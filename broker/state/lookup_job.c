/* SPDX-License-Identifier: MPL-2.0 */
/* Clients' point look-ups: stat, open, extents, and where the chunks of a file are. An
 * answer is kept below what one envelope may hold; the rest is asked for again. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/state/storage_private.h"
#include "common/clock.h"
#include "common/units.h"
#include "msgs/check.h"
#include "msgs/handle.h"

#define EXTENT_PAGE  512
#define ANSWER_ROOM  (900 * 1024) /* packed bytes of variable parts in one answer */
#define EXTENT_BYTES 80           /* packed, at most */
#define ATTR_BYTES   160          /* packed, without a symlink's target */
#define HANDLE_LIFE  (24 * 3600 * SEC) /* its version is kept by history, or gone */
#define LOCATE_LIMIT 256

static void *need (arena_t *arena, size_t size)
{
    void *p = arena_zalloc (arena, size ? size : 1);

    assert (p);
    return p;
}

static void refuse (job_t *job, int code, const dfs_error_t *err)
{
    job_refuse (job, code, err->text);
}

static size_t attr_bytes (const Dfs__Attr *attr)
{
    return ATTR_BYTES + (attr->has_target ? attr->target.len : 0) +
           (attr->owner ? strlen (attr->owner) : 0);
}

/* --- stat --- */

static void do_stat (tables_t *tables, job_t *job)
{
    const Dfs__Stat *ask = job->env->stat;
    Dfs__StatReply *reply = need (job->out, sizeof *reply);
    size_t room = ANSWER_ROOM;

    dfs__stat_reply__init (reply);
    reply->results = need (job->out, ask->n_paths * sizeof *reply->results);
    for (size_t i = 0; i < ask->n_paths; i++) {
        Dfs__StatResult *r = need (job->out, sizeof *r);
        dfs_error_t err;

        dfs__stat_result__init (r);
        r->code =
            namespace_stat (tables->ns, ask->paths[i].data, ask->paths[i].len,
                            ask->has_follow && ask->follow, job->out, &r->attr, &err);
        if (r->code < 0) {
            r->attr = NULL;
            /* The code says it all for what is simply not there. */
            if (r->code != DFS_ENOENT)
                r->text = arena_dup (job->out, err.text, strlen (err.text));
        }
        size_t bytes = 16 + (r->attr ? attr_bytes (r->attr) : 0) +
                       (r->text ? strlen (r->text) : 0);
        if (bytes > room) {
            r->attr = NULL;
            r->text = NULL;
            r->code = DFS_ETOOBIG;
        } else
            room -= bytes;
        reply->results[reply->n_results++] = r;
    }
    job->answer.body_case = DFS__ENVELOPE__BODY_STAT_REPLY;
    job->answer.stat_reply = reply;
}

/* --- extents, with inline bytes, as far as they fit --- */

typedef struct page {
    Dfs__Extent **extents;
    size_t n;
    bool more;
    Dfs__InlineData **inlined;
    size_t n_inlined;
} page_t;

static int add_inline (tables_t *tables, arena_t *arena, const Dfs__Extent *e,
                       size_t *room, page_t *page, dfs_error_t *err)
{
    const void *data;
    size_t len;

    if (e->digest.len != 32)
        return fail (err, DFS_EDAMAGED, "inline extent without a digest");
    for (size_t i = 0; i < page->n_inlined; i++) {
        if (memcmp (page->inlined[i]->digest.data, e->digest.data, 32) == 0)
            return 1;
    }
    int rc = namespace_inline (tables->ns, e->digest.data, &data, &len, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return fail (err, DFS_EDAMAGED, "inline bytes are not in the namespace");
    if (len + 64 > *room)
        return 0;
    *room -= len + 64;
    Dfs__InlineData *d = need (arena, sizeof *d);
    dfs__inline_data__init (d);
    d->digest = e->digest;
    d->data.data = arena_dup (arena, data, len);
    d->data.len = len;
    assert (d->data.data);
    page->inlined[page->n_inlined++] = d;
    return 1;
}

/* Takes what fits into *ROOM; a page that was cut says `more`. */
static int read_page (tables_t *tables, arena_t *arena, uint64_t inode,
                      uint64_t version, uint64_t offset, size_t *room, page_t *page,
                      dfs_error_t *err)
{
    size_t max = *room / EXTENT_BYTES;

    memset (page, 0, sizeof *page);
    if (max > EXTENT_PAGE)
        max = EXTENT_PAGE;
    if (max == 0) {
        page->more = true;
        return DFS_OK;
    }
    int rc = namespace_extents (tables->ns, inode, version, offset, max, arena,
                                &page->extents, &page->n, &page->more, err);
    if (rc < 0)
        return rc;
    *room -= page->n * EXTENT_BYTES;
    page->inlined = need (arena, page->n * sizeof *page->inlined);
    for (size_t i = 0; i < page->n; i++) {
        if (page->extents[i]->kind != DFS__EXTENT_KIND__EXTENT_INLINE)
            continue;
        rc = add_inline (tables, arena, page->extents[i], room, page, err);
        if (rc < 0)
            return rc;
        if (rc == 0) {
            page->n = i;
            page->more = true;
        }
    }
    return DFS_OK;
}

static int open_one (tables_t *tables, job_t *job, const ProtobufCBinaryData *path,
                     size_t *room, Dfs__OpenResult *r, dfs_error_t *err)
{
    int rc = namespace_stat (tables->ns, path->data, path->len, true, job->out,
                             &r->attr, err);
    if (rc < 0)
        return rc;
    if (r->attr->type == DFS__FILE_TYPE__FILE_DIRECTORY)
        return fail (err, DFS_EISDIR, "is a directory");
    if (r->attr->type != DFS__FILE_TYPE__FILE_REGULAR)
        return fail (err, DFS_EINVAL, "not a regular file");
    size_t fixed = attr_bytes (r->attr) + HANDLE_LEN + 32;
    if (fixed > *room)
        return fail (err, DFS_EAGAIN, "answer is full, ask again");
    *room -= fixed;
    handle_t handle = {.user = job->user,
                       .inode = r->attr->inode,
                       .version = r->attr->version,
                       .expiry_ns = job->log_time + HANDLE_LIFE};
    r->handle.data = need (job->out, HANDLE_LEN);
    r->handle.len = HANDLE_LEN;
    r->has_handle = true;
    handle_pack (&handle, tables->handle_key, r->handle.data);
    if (job->env->open->has_verify && job->env->open->verify)
        return DFS_OK;
    page_t page;
    rc =
        read_page (tables, job->out, handle.inode, handle.version, 0, room, &page, err);
    if (rc < 0)
        return rc;
    r->extents = page.extents;
    r->n_extents = page.n;
    r->has_more = r->more = page.more;
    r->inline_ = page.inlined;
    r->n_inline_ = page.n_inlined;
    return DFS_OK;
}

static void do_open (tables_t *tables, job_t *job)
{
    const Dfs__Open *ask = job->env->open;
    Dfs__Opened *reply = need (job->out, sizeof *reply);
    size_t room = ANSWER_ROOM;

    dfs__opened__init (reply);
    reply->results = need (job->out, ask->n_paths * sizeof *reply->results);
    for (size_t i = 0; i < ask->n_paths; i++) {
        Dfs__OpenResult *r = need (job->out, sizeof *r);
        dfs_error_t err;

        dfs__open_result__init (r);
        int code = open_one (tables, job, &ask->paths[i], &room, r, &err);
        if (code < 0) {
            dfs__open_result__init (r);
            r->text = arena_dup (job->out, err.text, strlen (err.text));
        }
        r->code = code;
        reply->results[reply->n_results++] = r;
    }
    job->answer.body_case = DFS__ENVELOPE__BODY_OPENED;
    job->answer.opened = reply;
}

static int take_handle (tables_t *tables, job_t *job, const ProtobufCBinaryData *data,
                        handle_t *handle, dfs_error_t *err)
{
    int rc = handle_unpack (data->data, data->len, tables->handle_key, handle, err);

    if (rc < 0)
        return rc;
    if (handle->user != job->user)
        return fail (err, DFS_EPERM, "handle of another user");
    if (handle->expiry_ns < job->log_time)
        return fail (err, DFS_ESTALE, "handle has expired, open again");
    return DFS_OK;
}

static void do_extents (tables_t *tables, job_t *job)
{
    const Dfs__Extents *ask = job->env->extents;
    Dfs__ExtentsReply *reply = need (job->out, sizeof *reply);
    size_t room = ANSWER_ROOM;
    handle_t handle;
    page_t page;
    dfs_error_t err;

    int rc = take_handle (tables, job, &ask->handle, &handle, &err);
    if (rc == DFS_OK)
        rc = read_page (tables, job->out, handle.inode, handle.version, ask->offset,
                        &room, &page, &err);
    if (rc < 0) {
        refuse (job, rc, &err);
        return;
    }
    dfs__extents_reply__init (reply);
    reply->extents = page.extents;
    reply->n_extents = page.n;
    reply->has_more = reply->more = page.more;
    reply->inline_ = page.inlined;
    reply->n_inline_ = page.n_inlined;
    job->answer.body_case = DFS__ENVELOPE__BODY_EXTENTS_REPLY;
    job->answer.extents_reply = reply;
}

/* --- where chunks are: Locate answers with it, Verify gives it to the core --- */

static void key_of (const Dfs__Extent *e, copykey_t *key)
{
    memset (key, 0, sizeof *key);
    key->domain = e->has_domain ? e->domain : 0;
    memcpy (key->digest, e->digest.data, sizeof key->digest);
}

static Dfs__LocatedChunk *located (tables_t *tables, arena_t *arena,
                                   const Dfs__Extent *e, dfs_error_t *err)
{
    Dfs__LocatedChunk *c = need (arena, sizeof *c);
    Dfs__CopyKey *wire = need (arena, sizeof *wire);
    copykey_t *key = need (arena, sizeof *key);
    location_t found[LOCATIONS_MAX];
    int n = 0;

    dfs__located_chunk__init (c);
    dfs__copy_key__init (wire);
    key_of (e, key);
    check_put_copykey (key, wire);
    c->key = wire;
    c->offset = e->offset;
    c->length = e->has_chunk_length ? e->chunk_length : e->length;
    if (e->kind == DFS__EXTENT_KIND__EXTENT_INLINE)
        c->has_inlined = c->inlined = true;
    else
        n = locations_find (tables->locations, key, found, err);
    if (n < 0)
        return NULL;
    c->replicas = need (arena, (size_t)n * sizeof *c->replicas);
    for (int i = 0; i < n; i++) {
        size_t k = 0;
        while (k < c->n_replicas && c->replicas[k]->worker != found[i].worker)
            k++; /* two disks of one worker are one replica */
        if (found[i].damaged || k < c->n_replicas ||
            found[i].birth < namespace_drop_limit (tables->ns, key, found[i].worker))
            continue;
        Dfs__Replica *r = need (arena, sizeof *r);
        dfs__replica__init (r);
        r->worker = found[i].worker;
        r->has_birth = true;
        r->birth = found[i].birth;
        c->replicas[c->n_replicas++] = r;
    }
    return c;
}

static void do_locate (tables_t *tables, job_t *job)
{
    const Dfs__Locate *ask = job->env->locate;
    size_t limit =
        ask->has_limit && ask->limit < LOCATE_LIMIT ? ask->limit : LOCATE_LIMIT;
    Dfs__Located *reply = need (job->out, sizeof *reply);
    Dfs__Extent **extents;
    size_t n;
    bool more;
    handle_t handle;
    dfs_error_t err;

    int rc = take_handle (tables, job, &ask->handle, &handle, &err);
    if (rc == DFS_OK)
        rc = namespace_extents (tables->ns, handle.inode, handle.version, ask->offset,
                                limit ? limit : 1, job->out, &extents, &n, &more, &err);
    if (rc < 0) {
        refuse (job, rc, &err);
        return;
    }
    dfs__located__init (reply);
    reply->chunks = need (job->out, n * sizeof *reply->chunks);
    for (size_t i = 0; i < n; i++) {
        if (extents[i]->kind == DFS__EXTENT_KIND__EXTENT_HOLE)
            continue;
        Dfs__LocatedChunk *c = located (tables, job->out, extents[i], &err);
        if (!c) {
            refuse (job, err.code, &err);
            return;
        }
        reply->chunks[reply->n_chunks++] = c;
    }
    if (more && n > 0) {
        reply->has_next_offset = true;
        reply->next_offset = extents[n - 1]->offset + extents[n - 1]->length;
    }
    job->answer.body_case = DFS__ENVELOPE__BODY_LOCATED;
    job->answer.located = reply;
}

static void do_verify (tables_t *tables, job_t *job)
{
    const Dfs__Verify *ask = job->env->verify;
    size_t limit = CORE_VERIFY_KEYS;
    Dfs__Extent **extents;
    size_t n;
    bool more;
    handle_t handle;
    dfs_error_t err;

    if (ask->has_limit && ask->limit > 0 && ask->limit < limit)
        limit = ask->limit;
    int rc = take_handle (tables, job, &ask->handle, &handle, &err);
    if (rc == DFS_OK)
        rc = namespace_extents (tables->ns, handle.inode, handle.version, ask->offset,
                                limit, job->out, &extents, &n, &more, &err);
    if (rc < 0) {
        refuse (job, rc, &err);
        return;
    }
    job->chunks = need (job->out, n * sizeof *job->chunks);
    for (size_t i = 0; i < n; i++) {
        copykey_t key;
        if (extents[i]->kind != DFS__EXTENT_KIND__EXTENT_CHUNK)
            continue;
        key_of (extents[i], &key);
        rc = lookup_chunk (tables, &key, &job->chunks[job->n_chunks], &err);
        if (rc < 0) {
            refuse (job, rc, &err);
            return;
        }
        job->n_chunks++;
    }
    job->more = more && n > 0;
    if (job->more)
        job->next_offset = extents[n - 1]->offset + extents[n - 1]->length;
}

static const struct {
    Dfs__Envelope__BodyCase body;
    void (*run) (tables_t *tables, job_t *job);
} lookups[] = {
    {DFS__ENVELOPE__BODY_STAT, do_stat},
    {DFS__ENVELOPE__BODY_OPEN, do_open},
    {DFS__ENVELOPE__BODY_EXTENTS, do_extents},
    {DFS__ENVELOPE__BODY_LOCATE, do_locate},
    {DFS__ENVELOPE__BODY_VERIFY, do_verify},
    {DFS__ENVELOPE__BODY_ADMIN, lookup_explain},
};

void lookup_job (tables_t *tables, job_t *job)
{
    if (job->expires && clock_mono () >= job->expires) {
        job_refuse (job, DFS_ETIMEOUT, "asked too long ago");
        return;
    }
    for (size_t i = 0; i < sizeof lookups / sizeof lookups[0]; i++) {
        if (lookups[i].body == job->env->body_case) {
            lookups[i].run (tables, job);
            return;
        }
    }
    job_refuse (job, DFS_EINTERNAL, "no such look-up");
}
