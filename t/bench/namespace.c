/* SPDX-License-Identifier: MPL-2.0 */
/* Figures of the state machine on one thread: creates, stats, listing, pruning. The
 * argument is the number of files (200,000). Nothing is asserted about time. */
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "broker/namespace/namespace.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/rng.h"

static arena_t *arena;
static namespace_t *ns;
static uint64_t now = 1000000000;
static uint64_t last_commit;
static uint64_t commits;

static void check (int rc, const dfs_error_t *err)
{
    if (rc >= 0)
        return;
    fprintf (stderr, "namespace: %s\n", err->text);
    exit (1);
}

static void apply (Dfs__Op *op, uint64_t request)
{
    static uint8_t data[4096];
    Dfs__Entry entry = DFS__ENTRY__INIT;
    entry.version = 1;
    entry.time_ns = now += 10000;
    entry.op = op;
    if (request) {
        entry.has_session = entry.has_request = entry.has_done_below = 1;
        entry.session = 1;
        entry.request = request;
        entry.done_below = request > 64 ? request - 64 : 0;
    }
    size_t len = dfs__entry__pack (&entry, data);
    dfs_error_t err;
    Dfs__OpResult *result;
    arena_reset (arena);
    check (namespace_apply (ns, namespace_applied (ns) + 1, 1, data, len, arena,
                            &result, &err),
           &err);
    if (result->has_code && result->code) {
        fprintf (stderr, "namespace: refused: %s\n", result->text);
        exit (1);
    }
    if (request % 64 == 0 && clock_mono () - last_commit > 50000000) {
        check (namespace_commit (ns, &err), &err);
        last_commit = clock_mono ();
        commits++;
    }
}

static void seed (void)
{
    Dfs__Policy policy = DFS__POLICY__INIT;
    policy.id = 1;
    policy.replicas = policy.min_replicas = 2;
    policy.chunk_size = 4 << 20;
    Dfs__Policy *policies[] = {&policy};
    Dfs__OpSeed op_seed = DFS__OP_SEED__INIT;
    uint8_t id[16] = {1};
    op_seed.cluster_id.data = id;
    op_seed.cluster_id.len = sizeof id;
    op_seed.name = (char[]){"bench"};
    op_seed.feature_level = op_seed.incarnation = 1;
    op_seed.n_policies = 1;
    op_seed.policies = policies;
    Dfs__Op op = DFS__OP__INIT;
    op.op_case = DFS__OP__OP_SEED;
    op.seed = &op_seed;
    apply (&op, 0);
}

static size_t path_of (char path[64], uint64_t i)
{
    return (size_t)snprintf (path, 64, "/data/dir-%04u/file-%07u", (unsigned)(i / 1000),
                             (unsigned)i);
}

static void create (uint64_t i, size_t size)
{
    static uint8_t bytes[4096];
    char path[64];
    uint8_t digest[32];
    Dfs__Extent extent = DFS__EXTENT__INIT;
    Dfs__Extent *extents[] = {&extent};
    Dfs__InlineData inl = DFS__INLINE_DATA__INIT;
    Dfs__InlineData *inls[] = {&inl};
    Dfs__OpCommit commit = DFS__OP_COMMIT__INIT;
    memcpy (bytes, &i, sizeof i);
    digest_sha256 (bytes, size ? size : sizeof i, digest);
    commit.path.data = (uint8_t *)path;
    commit.path.len = path_of (path, i);
    commit.has_create = commit.create = 1;
    commit.has_make_parents = commit.make_parents = 1;
    commit.size = extent.length = size ? size : 100000;
    commit.n_extents = 1;
    commit.extents = extents;
    extent.kind =
        size ? DFS__EXTENT_KIND__EXTENT_INLINE : DFS__EXTENT_KIND__EXTENT_CHUNK;
    extent.has_digest = 1;
    extent.digest.data = digest;
    extent.digest.len = 32;
    inl.digest = extent.digest;
    inl.data.data = bytes;
    inl.data.len = size;
    if (size) {
        commit.n_inline_ = 1;
        commit.inline_ = inls;
    }
    Dfs__Op op = DFS__OP__INIT;
    op.op_case = DFS__OP__OP_COMMIT;
    op.commit = &commit;
    apply (&op, i + 1);
}

static uint64_t began;
static uint64_t cpu_began;

static uint64_t cpu (void)
{
    struct timespec ts;
    clock_gettime (CLOCK_THREAD_CPUTIME_ID, &ts);
    return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

static void begin (void)
{
    cpu_began = cpu ();
    began = last_commit = clock_mono ();
    commits = 0;
}

static void report (const char *what, uint64_t n)
{
    double s = (double)(clock_mono () - began) / 1e9;
    double c = (double)(cpu () - cpu_began) / 1e9;
    printf ("%-16s %9llu in %6.2f s  %9.0f/s  %9.0f per CPU-s  %llu commits\n", what,
            (unsigned long long)n, s, (double)n / s, (double)n / c,
            (unsigned long long)commits);
}

static void list_all (void)
{
    dfs_error_t err;
    namespace_reader_t *reader = namespace_reader_new (ns, &err);
    for (int brief = 0; brief < 2; brief++) {
        Dfs__List asked = DFS__LIST__INIT;
        asked.path.data = (uint8_t[]){'/'};
        asked.path.len = 1;
        asked.has_recursive = asked.recursive = 1;
        asked.has_limit = 1;
        asked.limit = 10000;
        asked.has_brief = 1;
        asked.brief = brief;
        uint8_t cursor[4096];
        uint64_t n = 0;
        begin ();
        do {
            Dfs__Listing *page;
            arena_reset (arena);
            check (namespace_list (reader, &asked, arena, &page, &err), &err);
            n += page->n_entries;
            asked.has_cursor = page->has_cursor;
            asked.index = page->index;
            if (page->has_cursor) {
                memcpy (cursor, page->cursor.data, page->cursor.len);
                asked.cursor.data = cursor;
                asked.cursor.len = page->cursor.len;
            }
        } while (asked.has_cursor);
        report (brief ? "list -R, brief" : "list -R", n);
    }
    namespace_reader_destroy (&reader);
}

static int remove_one (const char *path, const struct stat *st, int type,
                       struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove (path);
}

int main (int argc, char **argv)
{
    uint64_t n = argc > 1 ? strtoull (argv[1], NULL, 10) : 200000;
    size_t size = argc > 2 ? strtoul (argv[2], NULL, 10) : 0;
    char dir[] = "/var/tmp/dfs-bench-XXXXXX";
    dfs_error_t err;
    if (!mkdtemp (dir))
        return 1;
    arena = arena_new (64 << 20);
    ns = namespace_open (dir, &err);
    check (ns ? 0 : -1, &err);
    seed ();
    begin ();
    for (uint64_t i = 0; i < n; i++)
        create (i, size);
    check (namespace_commit (ns, &err), &err);
    report (size ? "create, inline" : "create", n);
    rng_t rng;
    rng_seed (&rng, 1);
    begin ();
    for (uint64_t i = 0; i < n; i++) {
        char path[64];
        Dfs__Attr *attr;
        arena_reset (arena);
        size_t len = path_of (path, rng_below (&rng, n));
        check (namespace_stat (ns, path, len, false, arena, &attr, &err), &err);
    }
    report ("stat, random", n);
    list_all ();
    begin ();
    Dfs__OpUnlink unlink = DFS__OP_UNLINK__INIT;
    Dfs__Op op = DFS__OP__INIT;
    op.op_case = DFS__OP__OP_UNLINK;
    op.unlink = &unlink;
    for (uint64_t i = 0; i < n / 2; i++) {
        char path[64];
        unlink.path.len = path_of (path, i);
        unlink.path.data = (uint8_t *)path;
        apply (&op, n + 1 + i);
    }
    report ("unlink", n / 2);
    Dfs__OpPrune prune = DFS__OP_PRUNE__INIT;
    prune.max_records = 10000;
    op.op_case = DFS__OP__OP_PRUNE;
    op.prune = &prune;
    begin ();
    uint64_t step = 0;
    while (namespace_oldest_past (ns) != UINT64_MAX) {
        prune.up_to_time_ns = now;
        apply (&op, 0);
        if (++step % 4 == 0)
            check (namespace_commit (ns, &err), &err);
    }
    report ("prune, files", n / 2);
    namespace_close (&ns);
    begin ();
    ns = namespace_open (dir, &err);
    check (ns ? 0 : -1, &err);
    report ("open", 1);
    namespace_close (&ns);
    struct rusage usage;
    getrusage (RUSAGE_SELF, &usage);
    printf ("peak resident %ld MiB (with LMDB's map)\n", usage.ru_maxrss / 1024);
    nftw (dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}
