/* SPDX-License-Identifier: MPL-2.0 */
/* What the core asks of the tables about chunks on their way out, and how full workers
 * are. */
#include <assert.h>
#include <string.h>

#include "broker/state/storage_private.h"
#include "common/log.h"
#include "msgs/check.h"

#define PREFIX_LEAST 8 /* digits that may name a chunk */

static_assert ((int)EFFECT_CONDEMNED == (int)CORE_CONDEMNED &&
                   (int)EFFECT_LIFTED == (int)CORE_LIFTED &&
                   (int)EFFECT_DROP == (int)CORE_DROP &&
                   (int)EFFECT_DROPPED == (int)CORE_DROPPED &&
                   (int)EFFECT_FORGOTTEN == (int)CORE_FORGOTTEN &&
                   (int)EFFECT_HOLD == (int)CORE_HOLD,
               "effects have the same numbers on both sides");
static_assert ((int)LIST_FREE == (int)CORE_LIST_FREE &&
                   (int)LIST_CONDEMNED == (int)CORE_LIST_CONDEMNED &&
                   (int)LIST_DROPS == (int)CORE_LIST_DROPS,
               "lists have the same numbers on both sides");

core_effect_t lookup_effect (const namespace_effect_t *effect)
{
    return (core_effect_t){.kind = effect->kind,
                           .key = effect->key,
                           .index = effect->index,
                           .worker = effect->worker,
                           .limit = effect->limit,
                           .trim = effect->why == DFS__DROP_WHY__DROP_TRIM};
}

void lookup_reclaim (tables_t *tables, mail_core_t *mail)
{
    const action_reclaim_t *ask = &mail->ask.u.reclaim;
    event_reclaim_t *answer = &mail->answer.u.reclaim;
    size_t max = ask->max < CORE_RECLAIM_ROWS ? ask->max : CORE_RECLAIM_ROWS;
    reclaim_row_t after = {
        .key = ask->after.key, .index = ask->after.index, .worker = ask->after.worker};
    reclaim_row_t *rows = arena_zalloc (mail->arena, max * sizeof *rows + 1);
    core_reclaim_t *out = arena_zalloc (mail->arena, max * sizeof *out + 1);
    reclaim_hold_t hold;
    dfs_error_t err;

    assert (rows && out);
    mail->answer.type = EVENT_RECLAIM_FOUND;
    answer->token = ask->token;
    int n = namespace_reclaim_rows (tables->ns, (enum reclaim_list)ask->list,
                                    ask->from_start ? NULL : &after, rows, max, &err);
    namespace_reclaim_hold (tables->ns, &hold);
    answer->held = hold.held;
    answer->hold_index = hold.index;
    if (n < 0) {
        log_error ("lookup_failed", "err=\"%s\"", err.text);
        answer->code = n;
        return;
    }
    for (int i = 0; i < n; i++)
        out[i] = (core_reclaim_t){.key = rows[i].key,
                                  .index = rows[i].index,
                                  .time_ns = rows[i].time_ns,
                                  .worker = rows[i].worker,
                                  .limit = rows[i].limit,
                                  .trim = rows[i].why == DFS__DROP_WHY__DROP_TRIM};
    answer->rows = out;
    answer->n = (size_t)n;
    answer->more = answer->n == max;
}

/* In log time, as leaders judge. */
static void put_times (tables_t *tables, const job_t *job, const copykey_t *key,
                       const chunk_facts_t *facts, Dfs__ReclaimChunk *out)
{
    uint64_t since = namespace_chunk_since (tables->ns, key, facts);
    uint64_t now = job->log_time;

    if (since == 0)
        return;
    out->has_since_ago_ns = true;
    out->since_ago_ns = now > since ? now - since : 0;
    out->has_drop_in_ns = facts->condemned > 0;
    if (out->has_drop_in_ns && out->since_ago_ns < job->grace_ns)
        out->drop_in_ns = job->grace_ns - out->since_ago_ns;
}

static Dfs__ReclaimChunk *explain (tables_t *tables, const job_t *job,
                                   const copykey_t *key, dfs_error_t *err)
{
    arena_t *arena = job->out;
    Dfs__ReclaimChunk *out = arena_zalloc (arena, sizeof *out);
    Dfs__CopyKey *wire = arena_zalloc (arena, sizeof *wire);
    copykey_t *kept = arena_dup (arena, key, sizeof *key);
    location_t found[LOCATIONS_MAX];
    chunk_facts_t facts;

    assert (out && wire && kept);
    int rc = namespace_chunk (tables->ns, key, &facts, err);
    int n = rc < 0 ? rc : locations_find (tables->locations, key, found, err);
    if (n < 0)
        return NULL;
    dfs__reclaim_chunk__init (out);
    dfs__copy_key__init (wire);
    check_put_copykey (kept, wire);
    out->key = wire;
    out->recorded = rc == 1;
    out->refs = facts.refs;
    out->length = n > 0 ? found[0].length : facts.length;
    out->has_freed = out->has_condemned = true;
    out->freed = facts.freed;
    out->condemned = facts.condemned;
    put_times (tables, job, key, &facts, out);
    out->copies = arena_zalloc (arena, (size_t)n * sizeof *out->copies + 1);
    assert (out->copies);
    for (int i = 0; i < n; i++) {
        Dfs__ReclaimCopy *copy = arena_zalloc (arena, sizeof *copy);

        assert (copy);
        dfs__reclaim_copy__init (copy);
        copy->worker = found[i].worker;
        copy->birth = found[i].birth;
        copy->has_damaged = copy->has_dropped = true;
        copy->damaged = found[i].damaged;
        copy->dropped =
            found[i].birth < namespace_drop_limit (tables->ns, key, found[i].worker);
        out->copies[out->n_copies++] = copy;
    }
    return out;
}

static int nibble (char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The one chunk whose digest begins with the hexadecimal digits in TEXT. */
static int find_chunk (tables_t *tables, const char *text, copykey_t *key,
                       dfs_error_t *err)
{
    uint8_t from[32] = {0}, to[32];
    copykey_t found[2 + 2];
    size_t n = strlen (text);

    if (n < PREFIX_LEAST || n > 64)
        return fail (err, DFS_EINVAL, "%d to 64 hexadecimal digits name a chunk",
                     PREFIX_LEAST);
    memset (to, 0xff, sizeof to);
    for (size_t i = 0; i < n; i++) {
        int digit = nibble (text[i]);

        if (digit < 0)
            return fail (err, DFS_EINVAL, "%.64s is no id of a chunk", text);
        from[i / 2] |= (uint8_t)(i % 2 ? digit : digit << 4);
        to[i / 2] &= (uint8_t)(i % 2 ? 0xf0 | digit : digit << 4 | 0xf);
    }
    int known = namespace_chunks_between (tables->ns, from, to, found, 2, err);
    int stored = known < 0 ? known
                           : locations_between (tables->locations, from, to,
                                                found + known, 2, err);
    if (stored < 0)
        return stored;
    if (known + stored == 0)
        return fail (err, DFS_ENOENT, "no chunk begins with %s", text);
    for (int i = 1; i < known + stored; i++)
        if (copykey_cmp (&found[0], &found[i]) != 0)
            return fail (err, DFS_EINVAL,
                         "more than one chunk begins with %s: name more "
                         "digits",
                         text);
    *key = found[0];
    return DFS_OK;
}

void lookup_explain (tables_t *tables, job_t *job)
{
    const Dfs__Admin *ask = job->env->admin;
    Dfs__AdminReply *reply = arena_zalloc (job->out, sizeof *reply);
    dfs_error_t err;

    assert (reply);
    dfs__admin_reply__init (reply);
    size_t n = ask->n_keys > 0 ? ask->n_keys : ask->chunk != NULL;
    reply->chunks = arena_zalloc (job->out, n * sizeof *reply->chunks + 1);
    assert (reply->chunks);
    for (size_t i = 0; i < n; i++) {
        copykey_t key;
        Dfs__ReclaimChunk *chunk = NULL;

        if ((ask->n_keys > 0 ? check_copykey (ask->keys[i], &key, &err)
                             : find_chunk (tables, ask->chunk, &key, &err)) == DFS_OK)
            chunk = explain (tables, job, &key, &err);
        if (!chunk) {
            job_refuse (job, err.code, err.text);
            return;
        }
        reply->chunks[reply->n_chunks++] = chunk;
    }
    job->answer.body_case = DFS__ENVELOPE__BODY_ADMIN_REPLY;
    job->answer.admin_reply = reply;
}

void lookup_bytes (tables_t *tables, mail_core_t *mail)
{
    const action_bytes_t *ask = &mail->ask.u.bytes;
    core_bytes_t *rows = arena_zalloc (mail->arena, ask->n * sizeof *rows + 1);

    assert (rows);
    for (size_t i = 0; i < ask->n; i++) {
        uint64_t copies;

        rows[i].worker = ask->workers[i];
        locations_count (tables->locations, ask->workers[i], &copies, &rows[i].bytes);
    }
    mail->answer.type = EVENT_BYTES_FOUND;
    mail->answer.u.bytes =
        (event_bytes_t){.token = ask->token, .rows = rows, .n = ask->n};
}
