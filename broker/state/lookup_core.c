/* SPDX-License-Identifier: MPL-2.0 */
/* What the core asks of the tables: marks of stores, workers' changes, chunks, pieces
 * of files, copies of a worker. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/state/storage_private.h"
#include "common/log.h"

#define EXTENT_PAGE 64  /* read at once for pieces that follow each other */
#define SCAN_MAX    512 /* copies in one answer */

static void *need (arena_t *arena, size_t size)
{
    void *p = arena_zalloc (arena, size ? size : 1);

    assert (p);
    return p;
}

/* Copies on two disks of one worker are one copy: they are lost together. */
static void add_copy (core_chunk_t *out, const location_t *found)
{
    size_t at = 0;

    while (at < out->n_copies && out->copies[at].worker != found->worker)
        at++;
    if (at == CORE_COPIES)
        return;
    if (at == out->n_copies)
        out->copies[out->n_copies++] = (core_copy_t){
            .worker = found->worker, .birth = found->birth, .damaged = found->damaged};
    else if (!found->damaged &&
             (out->copies[at].damaged || out->copies[at].birth < found->birth)) {
        out->copies[at].birth = found->birth;
        out->copies[at].damaged = false;
    }
}

int lookup_chunk (tables_t *tables, const copykey_t *key, core_chunk_t *out,
                  dfs_error_t *err)
{
    chunk_facts_t facts;
    location_t found[LOCATIONS_MAX];

    memset (out, 0, sizeof *out);
    out->key = *key;
    int rc = namespace_chunk (tables->ns, key, &facts, err);
    if (rc < 0)
        return rc;
    if (rc == 1) {
        out->recorded = true;
        out->refs = facts.refs;
        out->length = facts.length;
        out->replicas = facts.replicas;
        out->condemned = facts.condemned;
    } else {
        /* Copies of before may be of what was forgotten: their workers' word that they
         * are gone may be on its way. */
        out->condemned = namespace_forgotten (tables->ns);
    }
    int n = locations_find (tables->locations, key, found, err);
    if (n < 0)
        return n;
    for (int i = 0; i < n; i++) {
        if (found[i].birth < namespace_drop_limit (tables->ns, key, found[i].worker))
            continue; /* counts as gone, whatever the worker still has */
        add_copy (out, &found[i]);
        /* What is stored was hashed: it knows better than who committed first. */
        if (found[i].length > 0 && !found[i].damaged)
            out->length = found[i].length;
    }
    return DFS_OK;
}

/* The stores named are all that the worker has: what others held is gone. */
static void find_marks (tables_t *tables, mail_core_t *mail)
{
    const action_lookup_marks_t *ask = &mail->ask.u.marks;
    core_mark_t *marks = need (mail->arena, ask->n * sizeof *marks);
    locations_store_t *stores = need (mail->arena, ask->n * sizeof *stores);
    dfs_error_t err;

    for (size_t i = 0; i < ask->n; i++) {
        memcpy (stores[i].id, ask->stores[i].id, sizeof stores[i].id);
        stores[i].incarnation = ask->stores[i].incarnation;
    }
    int code = locations_keep (tables->locations, ask->worker, stores, ask->n, &err);
    if (code < 0) {
        log_error ("locations_broken", "worker=%u err=\"%s\"", ask->worker, err.text);
        mail->answer.type = EVENT_MARKS_FOUND;
        mail->answer.u.marks = (event_marks_t){.token = ask->token, .code = code};
        return;
    }
    for (size_t i = 0; i < ask->n; i++) {
        memcpy (marks[i].id, stores[i].id, sizeof marks[i].id);
        marks[i].incarnation = stores[i].incarnation;
        if (locations_mark (tables->locations, ask->worker, stores[i].id,
                            stores[i].incarnation, &marks[i].seq) != 1)
            marks[i].seq = 0;
    }
    mail->answer.type = EVENT_MARKS_FOUND;
    mail->answer.u.marks =
        (event_marks_t){.token = ask->token, .marks = marks, .n = ask->n};
}

static int apply_inventory (tables_t *tables, const action_apply_t *ask,
                            dfs_error_t *err)
{
    int rc = DFS_OK;

    if (ask->inventory_begin)
        rc = locations_inventory_begin (tables->locations, ask->worker, ask->store,
                                        ask->incarnation, err);
    for (size_t i = 0; rc == DFS_OK && i < ask->n; i++) {
        const core_change_t *c = &ask->items[i];
        rc = locations_inventory_copy (tables->locations, ask->worker, ask->store,
                                       &c->key, c->birth, c->length, err);
    }
    if (rc == DFS_OK && ask->inventory_end)
        rc = locations_inventory_end (tables->locations, ask->worker, ask->store,
                                      ask->incarnation, ask->first_seq, err);
    if (rc < 0) {
        dfs_error_t ignored;
        locations_inventory_abort (tables->locations, ask->worker, ask->store,
                                   &ignored);
    }
    return rc;
}

static int apply_changes (tables_t *tables, const action_apply_t *ask, dfs_error_t *err)
{
    uint64_t mark = 0;

    if (locations_mark (tables->locations, ask->worker, ask->store, ask->incarnation,
                        &mark) != 1)
        mark = 0;
    for (size_t i = 0; i < ask->n; i++) {
        const core_change_t *c = &ask->items[i];
        if (ask->first_seq + i <= mark)
            continue; /* sent again after a reconnect */
        int rc = locations_change (tables->locations, ask->worker, ask->store,
                                   ask->incarnation, ask->first_seq + i, c->kind,
                                   &c->key, c->birth, c->length, err);
        if (rc < 0)
            return rc;
    }
    return DFS_OK;
}

static void apply (tables_t *tables, mail_core_t *mail)
{
    const action_apply_t *ask = &mail->ask.u.apply;
    event_applied_t *answer = &mail->answer.u.applied;
    dfs_error_t err;

    mail->answer.type = EVENT_LOCATIONS_APPLIED;
    answer->token = ask->token;
    answer->code = ask->inventory ? apply_inventory (tables, ask, &err)
                                  : apply_changes (tables, ask, &err);
    if (answer->code < 0 && answer->code != DFS_ESTALE)
        log_error ("locations_broken", "worker=%u err=\"%s\"", ask->worker, err.text);
    if (locations_mark (tables->locations, ask->worker, ask->store, ask->incarnation,
                        &answer->mark) != 1)
        answer->mark = 0;
}

static void find_chunks (tables_t *tables, mail_core_t *mail)
{
    const action_lookup_chunks_t *ask = &mail->ask.u.chunks;
    event_chunks_t *answer = &mail->answer.u.chunks;
    core_chunk_t *chunks = need (mail->arena, ask->n * sizeof *chunks);
    dfs_error_t err;

    mail->answer.type = EVENT_CHUNKS_FOUND;
    answer->token = ask->token;
    for (size_t i = 0; i < ask->n; i++) {
        answer->code = lookup_chunk (tables, &ask->keys[i], &chunks[i], &err);
        if (answer->code < 0) {
            log_error ("lookup_failed", "err=\"%s\"", err.text);
            return;
        }
    }
    answer->chunks = chunks;
    answer->n = ask->n;
}

/* Extents of one file version around where the last piece was. */
typedef struct window {
    uint64_t inode;
    uint64_t version;
    Dfs__Extent **extents;
    size_t n;
} window_t;

static const Dfs__Extent *in_window (const window_t *w, const event_piece_t *piece)
{
    if (w->inode != piece->inode || w->version != piece->version)
        return NULL;
    for (size_t i = 0; i < w->n; i++) {
        if (w->extents[i]->offset == piece->extent_offset)
            return w->extents[i];
    }
    return NULL;
}

static int find_piece (tables_t *tables, arena_t *arena, window_t *w,
                       const event_piece_t *piece, core_chunk_t *chunk,
                       dfs_error_t *err)
{
    const Dfs__Extent *e = in_window (w, piece);

    if (!e) {
        bool more;
        w->inode = piece->inode;
        w->version = piece->version;
        w->n = 0;
        int rc = namespace_extents (tables->ns, piece->inode, piece->version,
                                    piece->extent_offset, EXTENT_PAGE, arena,
                                    &w->extents, &w->n, &more, err);
        if (rc < 0)
            return rc == DFS_ENOENT ? DFS_ESTALE : rc;
        e = in_window (w, piece);
    }
    if (!e || e->kind != DFS__EXTENT_KIND__EXTENT_CHUNK || e->digest.len != 32)
        return fail (err, DFS_EINVAL, "no such extent");
    uint64_t whole = e->has_chunk_length ? e->chunk_length : e->length;
    if (piece->length == 0 || piece->offset > whole ||
        piece->length > whole - piece->offset)
        return fail (err, DFS_EINVAL, "piece beyond its chunk");
    copykey_t key = {.domain = e->has_domain ? e->domain : 0};
    memcpy (key.digest, e->digest.data, sizeof key.digest);
    int rc = lookup_chunk (tables, &key, chunk, err);
    chunk->length = whole;
    return rc;
}

static void find_extents (tables_t *tables, mail_core_t *mail)
{
    const action_lookup_extents_t *ask = &mail->ask.u.extents;
    event_extents_t *answer = &mail->answer.u.extents;
    event_extent_t *out = need (mail->arena, ask->n * sizeof *out);
    window_t window = {0};
    dfs_error_t err;

    for (size_t i = 0; i < ask->n; i++)
        out[i].code = find_piece (tables, mail->arena, &window, &ask->pieces[i],
                                  &out[i].chunk, &err);
    mail->answer.type = EVENT_EXTENTS_FOUND;
    answer->token = ask->token;
    answer->extents = out;
    answer->n = ask->n;
}

void lookup_referenced (namespace_reader_t *reader, mail_core_t *mail)
{
    const action_scan_t *ask = &mail->ask.u.scan;
    event_scanned_t *answer = &mail->answer.u.scanned;
    size_t max = ask->max < SCAN_MAX ? ask->max : SCAN_MAX;
    chunk_row_t *rows = need (mail->arena, max * sizeof *rows);
    core_chunk_t *chunks = need (mail->arena, max * sizeof *chunks);
    dfs_error_t err;

    mail->answer.type = EVENT_SCANNED;
    answer->token = ask->token;
    int n = namespace_chunks (reader, ask->from_start ? NULL : &ask->after, rows, max,
                              &err);
    if (n < 0) {
        log_error ("scan_failed", "err=\"%s\"", err.text);
        answer->code = n;
        return;
    }
    for (int i = 0; i < n; i++)
        chunks[i].key = rows[i].key;
    mail->listed = chunks;
    answer->n = (size_t)n;
    answer->more = answer->n == max;
}

/* What the reader thread listed, with what is known of it now. */
static void complete_scan (tables_t *tables, mail_core_t *mail)
{
    event_scanned_t *answer = &mail->answer.u.scanned;
    dfs_error_t err;

    for (size_t i = 0; i < answer->n; i++) {
        copykey_t key = mail->listed[i].key;
        answer->code = lookup_chunk (tables, &key, &mail->listed[i], &err);
        if (answer->code < 0) {
            log_error ("scan_failed", "err=\"%s\"", err.text);
            answer->n = 0;
            return;
        }
    }
    answer->chunks = mail->listed;
}

static void scan_worker (tables_t *tables, mail_core_t *mail)
{
    const action_scan_t *ask = &mail->ask.u.scan;
    event_scanned_t *answer = &mail->answer.u.scanned;
    size_t max = ask->max < SCAN_MAX ? ask->max : SCAN_MAX;
    copykey_t *keys = need (mail->arena, max * sizeof *keys);
    core_chunk_t *chunks = need (mail->arena, max * sizeof *chunks);
    dfs_error_t err;

    mail->answer.type = EVENT_SCANNED;
    answer->token = ask->token;
    int n = locations_of_worker (tables->locations, ask->worker,
                                 ask->from_start ? NULL : &ask->after, keys, max, &err);
    for (int i = 0; i < n; i++) {
        int rc = lookup_chunk (tables, &keys[i], &chunks[i], &err);
        if (rc < 0)
            n = rc;
    }
    if (n < 0) {
        log_error ("scan_failed", "worker=%u err=\"%s\"", ask->worker, err.text);
        answer->code = n;
        return;
    }
    answer->chunks = chunks;
    answer->n = (size_t)n;
    answer->more = answer->n == max;
}

void lookup_core (tables_t *tables, mail_core_t *mail)
{
    switch (mail->ask.type) {
    case ACTION_LOOKUP_MARKS:
        find_marks (tables, mail);
        break;
    case ACTION_LOCATIONS_APPLY:
        apply (tables, mail);
        break;
    case ACTION_LOOKUP_CHUNKS:
        find_chunks (tables, mail);
        break;
    case ACTION_LOOKUP_EXTENTS:
        find_extents (tables, mail);
        break;
    case ACTION_LOOKUP_RECLAIM:
        lookup_reclaim (tables, mail);
        break;
    case ACTION_LOOKUP_BYTES:
        lookup_bytes (tables, mail);
        break;
    case ACTION_SCAN_WORKER:
        if (mail->ask.u.scan.worker == 0)
            complete_scan (tables, mail);
        else
            scan_worker (tables, mail);
        break;
    default:
        assert (!"not for storage");
    }
}
