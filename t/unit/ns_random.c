/* SPDX-License-Identifier: MPL-2.0 */
/* The same random entries in two namespaces give the same state, whatever crashes and
 * commits come between, and that state is sound. NS_SEED and NS_STEPS choose others. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/namespace/fsck.h"
#include "broker/namespace/tables.h"
#include "common/rng.h"
#include "ns_fixture.h"

typedef struct pair {
    ns_fixture_t one; /* commits now and then */
    ns_fixture_t two; /* crashes as well, and gets the entries since its commit again */
    uint8_t **log;
    size_t *lens;
    uint64_t n;
    unsigned ok;
    unsigned refused;
} pair_t;

static void apply_logged (ns_fixture_t *fx, const pair_t *p, uint64_t index)
{
    Dfs__OpResult *result;
    dfs_error_t err;
    int rc = namespace_apply (fx->ns, index, 1, p->log[index - 1], p->lens[index - 1],
                              fx->arena, &result, &err);
    if (rc < 0)
        print_message ("# entry %llu: %s\n", (unsigned long long)index, err.text);
    assert_int_equal (rc, 0);
}

static void apply_both (pair_t *p, Dfs__Entry *entry)
{
    p->log = realloc (p->log, (p->n + 1) * sizeof *p->log);
    p->lens = realloc (p->lens, (p->n + 1) * sizeof *p->lens);
    p->lens[p->n] = dfs__entry__get_packed_size (entry);
    p->log[p->n] = malloc (p->lens[p->n]);
    dfs__entry__pack (entry, p->log[p->n++]);
    int code = ns_code (ns_apply_entry (&p->one, entry));
    p->ok += code == 0;
    p->refused += code != 0;
    apply_logged (&p->two, p, p->n);
}

static const char *random_path (pair_t *p, rng_t *rng)
{
    char *path = arena_zalloc (p->one.arena, 64);
    size_t depth = 1 + rng_below (rng, 4);
    for (size_t i = 0; i < depth; i++)
        snprintf (path + strlen (path), 8, "/%c", (int)('a' + rng_below (rng, 5)));
    return path;
}

static const char *random_tags (pair_t *p, rng_t *rng)
{
    static const char letters[] = "ABCDEFGH.0123";
    size_t n = rng_below (rng, 8) == 0 ? rng_below (rng, 1500) : rng_below (rng, 6);
    char *tags = arena_zalloc (p->one.arena, n + 1);
    for (size_t i = 0; i < n; i++)
        tags[i] = letters[rng_below (rng, sizeof letters - 1)];
    return tags;
}

static void random_commit (pair_t *p, rng_t *rng, Dfs__Op *op)
{
    static const char *const how[] = {"ci",   "cri", "cai", "ri",
                                      "crpi", "c",   "cap", "a"};
    op->op_case = DFS__OP__OP_COMMIT;
    op->commit = ns_commit_op (&p->one, how[rng_below (rng, 8)], random_path (p, rng),
                               random_tags (p, rng));
    if (rng_below (rng, 8) == 0)
        set_field (op->commit, policy, 1 + (uint32_t)rng_below (rng, 3));
    if (rng_below (rng, 6) == 0) {
        set_field (op->commit, upload, rng_below (rng, 3));
        op->commit->n_extents = 0;
        op->commit->size = 1000 * (1 + rng_below (rng, 3));
    }
}

/* Fills OP; what it points to is from the arena. */
static void random_op (pair_t *p, rng_t *rng, Dfs__Op *op)
{
    arena_t *a = p->one.arena;
#define MAKE(KIND, type, field)                                                        \
    op->op_case = DFS__OP__OP_##KIND;                                                  \
    op->field = arena_alloc (a, sizeof *op->field);                                    \
    dfs__op_##type##__init (op->field)
    switch (rng_below (rng, 20)) {
    case 0:
    case 1:
        MAKE (MKDIR, mkdir, mkdir);
        ns_text (&op->mkdir->path, random_path (p, rng));
        set_field (op->mkdir, parents, rng_below (rng, 2) == 0);
        break;
    case 2:
        MAKE (RMDIR, rmdir, rmdir);
        ns_text (&op->rmdir->path, random_path (p, rng));
        break;
    case 3:
    case 4:
        MAKE (UNLINK, unlink, unlink);
        ns_text (&op->unlink->path, random_path (p, rng));
        set_field (op->unlink, recursive, rng_below (rng, 3) == 0);
        break;
    case 5:
    case 6:
        MAKE (RENAME, rename, rename);
        ns_text (&op->rename->from, random_path (p, rng));
        ns_text (&op->rename->to, random_path (p, rng));
        set_field (op->rename, no_replace, rng_below (rng, 4) == 0);
        break;
    case 7:
        MAKE (CLONE, clone, clone);
        ns_text (&op->clone->from, random_path (p, rng));
        ns_text (&op->clone->to, random_path (p, rng));
        break;
    case 8:
        MAKE (SYMLINK, symlink, symlink);
        ns_text (&op->symlink->path, random_path (p, rng));
        ns_text (&op->symlink->target, random_path (p, rng) + rng_below (rng, 2));
        set_field (op->symlink, replace, rng_below (rng, 2) == 0);
        break;
    case 9:
        MAKE (LINK, link, link);
        ns_text (&op->link->from, random_path (p, rng));
        ns_text (&op->link->to, random_path (p, rng));
        break;
    case 10:
        MAKE (SETATTR, setattr, setattr);
        ns_text (&op->setattr->path, random_path (p, rng));
        set_field (op->setattr, mode, (uint32_t)rng_below (rng, 512));
        if (rng_below (rng, 2) == 0)
            set_field (op->setattr, policy, 1 + (uint32_t)rng_below (rng, 2));
        break;
    case 11:
    case 12:
        MAKE (STAGE, stage, stage);
        op->stage->upload = rng_below (rng, 3);
        op->stage->page = (uint32_t)rng_below (rng, 2);
        uint64_t size;
        op->stage->n_extents =
            ns_extents (&p->one, op->stage->page ? "AB" : "C", 1000 * op->stage->page,
                        &op->stage->extents, &size);
        break;
    case 13:
        MAKE (PRUNE, prune, prune);
        op->prune->up_to_time_ns = p->one.time - rng_below (rng, 200) * SECOND;
        op->prune->max_records = 16 + (uint32_t)rng_below (rng, 2000);
        break;
    case 14:
        if (namespace_next_job (p->one.ns)) {
            MAKE (JOB_STEP, job_step, job_step);
            op->job_step->job = namespace_next_job (p->one.ns);
            op->job_step->max_records = 16 + (uint32_t)rng_below (rng, 500);
            break;
        }
        MAKE (UPLOAD_DROP, upload_drop, upload_drop);
        op->upload_drop->upload = rng_below (rng, 3);
        break;
    default:
        random_commit (p, rng, op);
    }
}

static void same_hash (const pair_t *p)
{
    uint8_t one[16], two[16];
    namespace_hash (p->one.ns, one);
    namespace_hash (p->two.ns, two);
    assert_memory_equal (one, two, 16);
}

static void print_fault (const char *fault, void *arg)
{
    (void)arg;
    print_message ("# fsck: %s\n", fault);
}

static void crash_and_catch_up (pair_t *p)
{
    ns_reopen (&p->two, true);
    for (uint64_t i = namespace_applied (p->two.ns) + 1; i <= p->n; i++)
        apply_logged (&p->two, p, i);
}

static void run (uint64_t seed, uint64_t steps)
{
    pair_t p = {0};
    rng_t rng;
    rng_seed (&rng, seed);
    print_message ("# NS_SEED=%llu\n", (unsigned long long)seed);
    ns_make (&p.one);
    ns_make (&p.two);
    ns_seed (&p.one);
    ns_seed (&p.two);
    p.log = calloc (1, sizeof *p.log);
    p.lens = calloc (1, sizeof *p.lens);
    p.n = 1;
    assert_ok (namespace_commit (p.two.ns, NULL));
    for (uint64_t i = 0; i < steps; i++) {
        arena_reset (p.one.arena);
        arena_reset (p.two.arena);
        Dfs__Op op = DFS__OP__INIT;
        Dfs__Entry entry = DFS__ENTRY__INIT;
        random_op (&p, &rng, &op);
        entry.version = 1;
        entry.op = &op;
        entry.time_ns = p.one.time += SECOND / 4;
        if (rng_below (&rng, 4)) {
            set_field (&entry, session, 1 + rng_below (&rng, 2));
            set_field (&entry, request, i > 5 ? i - rng_below (&rng, 4) : i + 1);
            set_field (&entry, done_below, i > 20 ? i - 20 : 0);
        }
        uint8_t hash[16];
        if (i % 8 == 0) {
            set_field (&entry, hash_index, namespace_applied (p.one.ns));
            namespace_hash (p.one.ns, hash);
            entry.has_hash = 1;
            entry.hash.data = hash;
            entry.hash.len = 16;
        }
        apply_both (&p, &entry);
        if (rng_below (&rng, 40) == 0)
            assert_ok (namespace_commit (p.one.ns, NULL));
        if (rng_below (&rng, 60) == 0)
            assert_ok (namespace_commit (p.two.ns, NULL));
        if (rng_below (&rng, 150) == 0)
            crash_and_catch_up (&p);
        same_hash (&p);
    }
    print_message ("# %u done, %u refused\n", p.ok, p.refused);
    assert_true (p.ok > steps / 5 && p.refused > steps / 20);
    namespace_close (&p.one.ns);
    namespace_close (&p.two.ns);
    assert_int_equal (namespace_fsck (p.one.dir, print_fault, NULL, NULL), 0);
    assert_int_equal (namespace_fsck (p.two.dir, print_fault, NULL, NULL), 0);
    for (uint64_t i = 1; i < p.n; i++)
        free (p.log[i]);
    free (p.log);
    free (p.lens);
    ns_unmake (&p.one);
    ns_unmake (&p.two);
}

static void equal_entries_give_equal_states (void **state)
{
    (void)state;
    const char *seed = getenv ("NS_SEED");
    const char *steps = getenv ("NS_STEPS");
    uint64_t n = steps ? strtoull (steps, NULL, 10) : 1500;
    if (seed) {
        run (strtoull (seed, NULL, 10), n);
        return;
    }
    for (uint64_t i = 1; i <= 6; i++)
        run (i, n);
}

static void gather (const char *text, void *arg)
{
    char *found = arg;
    if (strlen (found) + strlen (text) < 4000)
        sprintf (found + strlen (found), "%s; ", text);
}

/* A fault of each kind is planted, and must be named. */
static void fsck_finds_what_is_wrong (void **state)
{
    static const struct {
        enum table table;
        const char *fault;
    } rows[] = {
        {T_INODE, "is missing"},
        {T_DENTRY, "names"},
        {T_PAGE, "is missing"},
        {T_PAGE_REFS, "references kept"},
        {T_CHUNK, "is missing"},
        {T_INLINE, "is missing"},
        {T_PAST_INODE, "is missing"},
        {T_PAST_LOG, "is not in the log"},
        {T_SESSION, "its session is missing"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        ns_fixture_t fx;
        ns_make (&fx);
        ns_seed (&fx);
        fx.session = 3;
        assert_ok (ns_put (&fx, "cpi", "/d/f", "AB1"));
        assert_ok (ns_cp (&fx, "/d/f", "/d/g"));
        assert_ok (ns_put (&fx, "ci", "/d/h", "C2"));
        assert_ok (ns_rm (&fx, "/d/h"));
        MDB_val k, v;
        op_t op = {.ns = fx.ns, .view = &fx.ns->view};
        uint8_t key[KEY_MAX];
        assert_int_equal (table_before (op.view, rows[i].table,
                                        "\xff\xff\xff\xff\xff\xff", 6, &k, &v, NULL),
                          1);
        size_t len = k.mv_size;
        memcpy (key, k.mv_data, len);
        assert_ok (table_del (&op, rows[i].table, key, len, NULL));
        namespace_close (&fx.ns);
        char found[4096] = "";
        assert_true (namespace_fsck (fx.dir, gather, found, NULL) > 0);
        if (!strstr (found, rows[i].fault))
            print_message ("# %s: %s\n", table_names[rows[i].table], found);
        assert_non_null (strstr (found, rows[i].fault));
        fx.ns = namespace_open (fx.dir, NULL);
        ns_unmake (&fx);
    }
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (equal_entries_give_equal_states),
        cmocka_unit_test (fsck_finds_what_is_wrong),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("namespace random", tests, NULL, NULL);
}
