/* SPDX-License-Identifier: MPL-2.0 */
/* First pass: what each record refers to is tallied. Second pass: what each record says
 * of itself is compared with that. Then the counters, the hash and the tree. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/namespace/fsck.h"
#include "broker/namespace/fsck_checks.h"
#include "broker/namespace/readers.h"
#include "broker/namespace/state_hash.h"
#include "broker/namespace/tables.h"

void fsck_fault (fsck_t *f, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (text, sizeof text, fmt, ap);
    va_end (ap);
    f->faults++;
    if (f->report)
        f->report (text, f->arg);
}

int fsck_each (fsck_t *f, enum table table, const ProtobufCMessageDescriptor *type,
               fsck_check_f *check)
{
    MDB_cursor *cursor = table_cursor (&f->view, table, f->err);
    if (!cursor)
        return f->err->code;
    MDB_val k, v;
    int rc;
    while ((rc = mdb_cursor_get (cursor, &k, &v, MDB_NEXT)) == 0) {
        arena_reset (f->arena);
        void *rec = NULL;
        if (type)
            rec = protobuf_c_message_unpack (type, arena_allocator (f->arena),
                                             v.mv_size, v.mv_data);
        if (type && !rec)
            fsck_fault (f, "%s: a record of %zu bytes does not unpack",
                        table_names[table], v.mv_size);
        else
            check (f, k.mv_data, k.mv_size, rec);
    }
    mdb_cursor_close (cursor);
    return rc == MDB_NOTFOUND ? 0 : kv_fail (f->err, rc, table_names[table]);
}

static int check_hash (fsck_t *f, const Dfs__RecState *state)
{
    unsigned __int128 sum;
    int rc = state_hash_sum (&f->view, NULL, &sum, f->err);
    if (rc < 0)
        return rc;
    uint8_t hash[16];
    put64 (put64 (hash, (uint64_t)(sum >> 64)), (uint64_t)sum);
    if (memcmp (hash, state->hash.data, 16) != 0)
        fsck_fault (f, "state: the hash of the records is not the one kept");
    return 0;
}

static void check_counters (fsck_t *f)
{
    static const struct {
        int counter;
        const char *name;
    } rows[] = {
        {C_FILES, "files"},
        {C_DIRECTORIES, "directories"},
        {C_SYMLINKS, "symlinks"},
        {C_BYTES_LOGICAL, "logical bytes"},
        {C_CHUNKS, "chunks"},
        {C_CHUNK_BYTES, "bytes of chunks"},
        {C_INLINE, "inline contents"},
        {C_INLINE_BYTES, "inline bytes"},
        {C_PAST, "past records"},
        {C_JOBS, "jobs"},
        {C_SESSIONS, "sessions"},
        {C_PAGES, "pages"},
        {C_UPLOADS, "uploads"},
        {C_CONDEMNED, "condemned chunks"},
        {C_DROPS, "drops"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (f->counted[rows[i].counter] != f->counters[rows[i].counter])
            fsck_fault (f, "state: %" PRIu64 " %s kept, %" PRIu64 " found",
                        f->counters[rows[i].counter], rows[i].name,
                        f->counted[rows[i].counter]);
}

static int run (fsck_t *f)
{
    Dfs__RecState *state;
    int rc = state_read (&f->view, f->arena, &state, f->err);
    if (rc == 0) {
        if (table_size (&f->view, T_META) > 0)
            fsck_fault (f, "state: there is no state record");
        return 0;
    }
    if (rc < 0)
        return rc;
    memcpy (f->counters, state->counters, state->n_counters * sizeof *f->counters);
    f->applied = state->applied;
    rc = check_hash (f, state);
    if (rc == 0)
        rc = fsck_tally_all (f);
    if (rc == 0)
        rc = fsck_compare_all (f);
    if (rc == 0)
        rc = fsck_reach (f);
    if (rc == 0)
        check_counters (f);
    return rc;
}

int namespace_fsck (const char *dir, void (*fault) (const char *text, void *arg),
                    void *arg, dfs_error_t *err)
{
    dfs_error_t own;
    fsck_t f = {.report = fault, .arg = arg, .err = err ? err : &own};
    char path[4096];
    snprintf (path, sizeof path, "%s/namespace", dir);
    f.view.kv = kv_open (path, table_names, T_COUNT, 1ULL << 40, KV_READONLY, f.err);
    if (!f.view.kv)
        return f.err->code;
    f.view.txn = kv_begin (f.view.kv, false, f.err);
    f.arena = arena_new (64 * 1024 * 1024);
    f.scratch = arena_new (256 * 1024 * 1024);
    f.digest = digest_new ();
    f.map = tally_new ();
    int rc = f.view.txn ? run (&f) : f.err->code;
    kv_abort (&f.view.txn);
    kv_close (&f.view.kv);
    tally_destroy (&f.map);
    digest_destroy (&f.digest);
    arena_destroy (&f.arena);
    arena_destroy (&f.scratch);
    return rc < 0 ? rc : f.faults;
}
