/* SPDX-License-Identifier: MPL-2.0 */
/* What an operator asks of reclaim and rebalance. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/lib/client.h"
#include "common/digest.h"

#define KEYS_MAX 256

typedef struct explain {
    uint64_t left; /* to be undone by asking again */
    int (*each) (const dfs_reclaim_chunk_t *chunk, void *arg);
    void *arg;
    int stopped;
} explain_t;

static int tell (explain_t *explain, const Dfs__ReclaimChunk *from)
{
    dfs_reclaim_copy_t copies[64];
    dfs_reclaim_chunk_t chunk = {.recorded = from->recorded,
                                 .refs = from->refs,
                                 .length = from->length,
                                 .freed = from->freed,
                                 .condemned = from->condemned,
                                 .since_ago_ns = from->since_ago_ns,
                                 .drop_in_ns = from->drop_in_ns,
                                 .has_since = from->has_since_ago_ns,
                                 .copies = copies};

    if (from->key->digest.len == 32)
        digest_hex (from->key->digest.data, 32, chunk.id);
    for (size_t i = 0; i < from->n_copies && i < 64; i++)
        copies[chunk.n_copies++] =
            (dfs_reclaim_copy_t){.worker = from->copies[i]->worker,
                                 .birth = from->copies[i]->birth,
                                 .damaged = from->copies[i]->damaged,
                                 .dropped = from->copies[i]->dropped};
    return explain->each (&chunk, explain->arg);
}

static int take (void *arg, const Dfs__Envelope *env, dfs_error_t *err)
{
    explain_t *explain = arg;

    if (env->body_case != DFS__ENVELOPE__BODY_ADMIN_REPLY)
        return fail (err, DFS_EPROTO, "broker answered another question");
    if (explain)
        explain->left = env->admin_reply->left;
    for (size_t i = 0; explain && i < env->admin_reply->n_chunks && !explain->stopped;
         i++)
        explain->stopped = tell (explain, env->admin_reply->chunks[i]);
    return 0;
}

static int ask (dfs_t *dfs, Dfs__Admin *body, explain_t *explain, dfs_error_t *err)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    int rc = client_enter (dfs, err);

    if (rc < 0)
        return rc;
    env.body_case = DFS__ENVELOPE__BODY_ADMIN;
    env.admin = body;
    rc = client_ask (dfs, &env, 0, take, explain, err);
    client_leave (dfs);
    return rc;
}

static int ask_plain (dfs_t *dfs, Dfs__AdminAction action, dfs_error_t *err)
{
    Dfs__Admin body = DFS__ADMIN__INIT;

    body.action = action;
    return ask (dfs, &body, NULL, err);
}

int dfs_rebalance (dfs_t *dfs, dfs_error_t *err)
{
    return ask_plain (dfs, DFS__ADMIN_ACTION__ADMIN_REBALANCE, err);
}

int dfs_reclaim_resume (dfs_t *dfs, dfs_error_t *err)
{
    return ask_plain (dfs, DFS__ADMIN_ACTION__ADMIN_RECLAIM_RESUME, err);
}

int dfs_reclaim_undo (dfs_t *dfs, dfs_error_t *err)
{
    Dfs__Admin body = DFS__ADMIN__INIT;
    explain_t undo;
    int rc;

    body.action = DFS__ADMIN_ACTION__ADMIN_RECLAIM_UNDO;
    do {
        memset (&undo, 0, sizeof undo);
        rc = ask (dfs, &body, &undo, err);
    } while (rc == 0 && undo.left > 0);
    return rc;
}

int dfs_worker_abandon (dfs_t *dfs, const char *worker, dfs_error_t *err)
{
    Dfs__Admin body = DFS__ADMIN__INIT;
    char name[64];

    if (!worker || snprintf (name, sizeof name, "%s", worker) >= (int)sizeof name)
        return fail (err, DFS_EINVAL, "name of a worker is too long");
    body.action = DFS__ADMIN_ACTION__ADMIN_REMOVE;
    body.worker = name;
    body.has_force = body.force = true;
    return ask (dfs, &body, NULL, err);
}

static int nibble (char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool read_id (const char *text, uint8_t digest[32])
{
    if (strlen (text) < 64)
        return false;
    for (int i = 0; i < 32; i++) {
        int high = nibble (text[2 * i]), low = nibble (text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        digest[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

int dfs_reclaim_explain (dfs_t *dfs, const char *const *ids, size_t n,
                         int (*each) (const dfs_reclaim_chunk_t *chunk, void *arg),
                         void *arg, dfs_error_t *err)
{
    Dfs__Admin body = DFS__ADMIN__INIT;
    explain_t explain = {.each = each, .arg = arg};
    Dfs__CopyKey keys[KEYS_MAX], *list[KEYS_MAX];
    uint8_t digests[KEYS_MAX][32];
    char begins[64];

    if (n > KEYS_MAX)
        return fail (err, DFS_ETOOBIG, "too many chunks at once");
    body.action = DFS__ADMIN_ACTION__ADMIN_RECLAIM_EXPLAIN;
    if (n == 1 && strlen (ids[0]) < 64) {
        memccpy (begins, ids[0], 0, sizeof begins);
        body.chunk = begins;
        int rc = ask (dfs, &body, &explain, err);
        return rc < 0 ? rc : explain.stopped;
    }
    for (size_t i = 0; i < n; i++) {
        if (!read_id (ids[i], digests[i]))
            return fail (err, DFS_EINVAL, "%s is no id of a chunk", ids[i]);
        dfs__copy_key__init (&keys[i]);
        keys[i].digest.data = digests[i];
        keys[i].digest.len = 32;
        list[i] = &keys[i];
    }
    body.keys = list;
    body.n_keys = n;
    int rc = ask (dfs, &body, &explain, err);
    return rc < 0 ? rc : explain.stopped;
}
