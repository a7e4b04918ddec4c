/* SPDX-License-Identifier: MPL-2.0 */
/* dfs_locate and dfs_verify: where a file's chunks are, and whether they are whole. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/client.h"
#include "common/units.h"
#include "msgs/check.h"
#include "msgs/node.h"

#define NOT_ASKED    1 /* no code of a copy */
#define VERIFY_PAGE  64
#define VERIFY_BYTES (256 * MIB) /* hashed by one question */
#define VERIFY_RETRY (20 * SEC)
#define REPLICAS     32

typedef struct located {
    dfs_chunk_info_t info;
    copykey_t key;
    size_t n;
    dfs_replica_t replicas[REPLICAS];
} located_t;

typedef struct locate {
    dfs_t *dfs;
    uint8_t handle[512];
    size_t handle_len;
    uint64_t offset; /* of the page */
    uint64_t next;   /* of the next one */
    bool more;
    uint64_t index; /* of the next chunk */
    located_t *chunks;
    size_t n;
} locate_t;

static int take_open (void *arg, const Dfs__Envelope *env, dfs_error_t *err)
{
    locate_t *self = arg;

    if (env->body_case != DFS__ENVELOPE__BODY_OPENED || env->opened->n_results != 1)
        return fail (err, DFS_EPROTO, "broker answered another question");
    const Dfs__OpenResult *result = env->opened->results[0];
    if (result->code < 0)
        return fail (err, result->code, "%s",
                     result->text ? result->text : dfs_error_text (result->code));
    if (!result->has_handle || result->handle.len > sizeof self->handle)
        return fail (err, DFS_EPROTO, "broker gave no handle");
    memcpy (self->handle, result->handle.data, result->handle.len);
    self->handle_len = result->handle.len;
    return 0;
}

static int open_path (locate_t *self, const char *path, dfs_error_t *err)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Open body = DFS__OPEN__INIT;
    ProtobufCBinaryData name = {.data = (uint8_t *)(uintptr_t)path,
                                .len = strlen (path)};

    body.paths = &name;
    body.n_paths = 1;
    body.has_verify = true;
    body.verify = true;
    env.body_case = DFS__ENVELOPE__BODY_OPEN;
    env.open = &body;
    return client_ask (self->dfs, &env, 0, take_open, self, err);
}

static void take_chunk (locate_t *self, const Dfs__LocatedChunk *from)
{
    located_t *to = &self->chunks[self->n];

    memset (to, 0, sizeof *to);
    if (check_copykey (from->key, &to->key, NULL) < 0)
        return;
    self->n++;
    to->info.index = self->index++;
    to->info.offset = from->offset;
    to->info.size = from->length;
    to->info.inlined = from->has_inlined && from->inlined;
    copykey_text (&to->key, to->info.id);
    for (size_t i = 0; i < from->n_replicas && to->n < REPLICAS; i++) {
        const Dfs__Replica *replica = from->replicas[i];
        dfs_replica_t *out = &to->replicas[to->n++];
        out->worker = replica->worker;
        snprintf (out->name, sizeof out->name, "%s", replica->name);
        snprintf (out->location, sizeof out->location, "%s",
                  replica->location ? replica->location : "");
        snprintf (out->state, sizeof out->state, "%s",
                  worker_state_name ((int)replica->state));
        out->verified_at_ns = replica->verified_at_ns;
    }
}

static int take_page (void *arg, const Dfs__Envelope *env, dfs_error_t *err)
{
    locate_t *self = arg;
    const Dfs__Located *page = env->located;

    if (env->body_case != DFS__ENVELOPE__BODY_LOCATED || page->n_chunks > 10000)
        return fail (err, DFS_EPROTO, "broker answered another question");
    free (self->chunks);
    self->n = 0;
    self->chunks = calloc (page->n_chunks + 1, sizeof *self->chunks);
    assert (self->chunks);
    for (size_t i = 0; i < page->n_chunks; i++)
        take_chunk (self, page->chunks[i]);
    self->more = page->has_next_offset && page->next_offset > self->offset;
    self->next = page->next_offset;
    return 0;
}

static int ask_page (locate_t *self, uint32_t limit, dfs_error_t *err)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Locate body = DFS__LOCATE__INIT;

    body.handle.data = self->handle;
    body.handle.len = self->handle_len;
    body.offset = self->offset;
    body.has_limit = true;
    body.limit = limit;
    env.body_case = DFS__ENVELOPE__BODY_LOCATE;
    env.locate = &body;
    return client_ask (self->dfs, &env, 0, take_page, self, err);
}

static located_t *chunk_of (locate_t *self, const copykey_t *key, size_t from)
{
    for (size_t i = from; i < self->n; i++)
        if (copykey_cmp (&self->chunks[i].key, key) == 0)
            return &self->chunks[i];
    return NULL;
}

static int take_verified (void *arg, const Dfs__Envelope *env, dfs_error_t *err)
{
    locate_t *self = arg;
    copykey_t key;

    if (env->body_case != DFS__ENVELOPE__BODY_VERIFY_REPLY)
        return fail (err, DFS_EPROTO, "broker answered another question");
    for (size_t i = 0; i < env->verify_reply->n_replicas; i++) {
        const Dfs__VerifiedReplica *from = env->verify_reply->replicas[i];
        if (check_copykey (from->key, &key, NULL) < 0)
            continue;
        /* equal chunks of a file have one answer */
        for (located_t *chunk = chunk_of (self, &key, 0); chunk;
             chunk = chunk_of (self, &key, (size_t)(chunk - self->chunks) + 1)) {
            size_t at = 0;
            while (at < chunk->n && chunk->replicas[at].worker != from->worker)
                at++;
            if (at == REPLICAS)
                continue;
            if (at == chunk->n) {
                chunk->n++;
                chunk->replicas[at].worker = from->worker;
                snprintf (chunk->replicas[at].name, sizeof chunk->replicas[at].name,
                          "%s", from->name);
            }
            chunk->replicas[at].code = from->code;
            if (from->has_verified_at_ns)
                chunk->replicas[at].verified_at_ns = from->verified_at_ns;
        }
    }
    self->more = env->verify_reply->has_next_offset &&
                 env->verify_reply->next_offset > self->offset;
    self->next = env->verify_reply->next_offset;
    return 0;
}

/* Copies that the broker did not ask about: they were made good elsewhere. */
static void drop_others (located_t *chunk)
{
    size_t n = 0;

    for (size_t i = 0; i < chunk->n; i++)
        if (chunk->replicas[i].code != NOT_ASKED)
            chunk->replicas[n++] = chunk->replicas[i];
    chunk->n = n;
}

/* Asks the workers about the chunks of the page: to hash them again, or (PEEK) only
 * whether they have them and when they last verified them. */
static int verify_page (locate_t *self, bool peek, dfs_error_t *err)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Verify body = DFS__VERIFY__INIT;
    uint64_t bytes = 0;
    uint32_t limit = 0;

    while (
        limit < self->n && limit < VERIFY_PAGE &&
        (peek || limit == 0 || bytes + self->chunks[limit].info.size <= VERIFY_BYTES))
        bytes += self->chunks[limit++].info.size;
    if (limit == 0)
        return 0;
    bool more = self->more;
    uint64_t next = self->next;
    body.handle.data = self->handle;
    body.handle.len = self->handle_len;
    body.offset = self->offset;
    body.has_limit = true;
    body.limit = limit;
    body.has_peek = body.peek = peek;
    env.body_case = DFS__ENVELOPE__BODY_VERIFY;
    env.verify = &body;
    for (size_t i = 0; i < limit; i++)
        for (size_t j = 0; j < self->chunks[i].n; j++)
            self->chunks[i].replicas[j].code = NOT_ASKED;
    int rc = client_ask (self->dfs, &env, VERIFY_RETRY, take_verified, self, err);
    for (size_t i = 0; i < limit; i++)
        drop_others (&self->chunks[i]);
    if (rc == 0 && limit < self->n) {
        /* the rest of this page is asked for again */
        self->more = true;
        self->next = self->chunks[limit].info.offset;
        self->index -= self->n - limit;
        self->n = limit;
    } else if (rc == 0) {
        self->more = more;
        self->next = next;
    }
    return rc;
}

static int walk (dfs_t *dfs, const char *path, bool verify, dfs_chunk_f *each,
                 void *arg, dfs_error_t *err)
{
    int rc = client_enter (dfs, err);

    if (rc < 0)
        return rc;
    locate_t *self = calloc (1, sizeof *self);
    assert (self);
    self->dfs = dfs;
    self->more = true;
    rc = open_path (self, path, err);
    while (rc == 0 && self->more) {
        client_progress (dfs);
        rc = ask_page (self, VERIFY_PAGE, err);
        if (rc == 0)
            rc = verify_page (self, !verify, err);
        for (size_t i = 0; rc == 0 && i < self->n; i++) {
            located_t *chunk = &self->chunks[i];
            chunk->info.replicas = chunk->replicas;
            chunk->info.n_replicas = chunk->n;
            rc = each (&chunk->info, arg);
            if (rc != 0)
                fail (err, rc, "was ended");
        }
        self->offset = self->next;
    }
    free (self->chunks);
    free (self);
    client_leave (dfs);
    return rc;
}

int dfs_locate (dfs_t *dfs, const char *path, dfs_chunk_f *each, void *arg,
                dfs_error_t *err)
{
    return walk (dfs, path, false, each, arg, err);
}

int dfs_verify (dfs_t *dfs, const char *path, dfs_chunk_f *each, void *arg,
                dfs_error_t *err)
{
    return walk (dfs, path, true, each, arg, err);
}
