/* SPDX-License-Identifier: MPL-2.0 */
/* What one entry may cost: brokers apply what anybody asked for, and an entry that is
 * too much for one of them is too much for all, for good. */
#include <stdio.h>
#include <string.h>

#include "broker/namespace/state.h"
#include "ns_fixture.h"

/* Gives entries much less memory than they have, so that the tests are short. */
static void little_scratch (ns_fixture_t *fx, size_t budget)
{
    arena_destroy (&fx->ns->scratch);
    fx->ns->scratch = arena_new (budget);
}

static void prune_all (ns_fixture_t *fx)
{
    while (namespace_oldest_past (fx->ns) != UINT64_MAX) {
        arena_reset (fx->arena);
        assert_ok (ns_code (ns_prune (fx, fx->time + SECOND, 4096)));
    }
}

static void long_files_go_page_by_page (void **state)
{
    enum { PAGES = 200 };
    ns_fixture_t *fx = *state;
    char tags[PAGE_EXTENTS + 1];
    for (size_t i = 0; i < PAGE_EXTENTS; i += 2)
        memcpy (tags + i, "A.", 2);
    tags[PAGE_EXTENTS] = 0;
    little_scratch (fx, 4 << 20);
    fx->session = 3;
    for (uint32_t i = 0; i < PAGES; i++) {
        arena_reset (fx->arena);
        assert_ok (ns_code (ns_stage (fx, 5, i, tags, i * 1000ULL * PAGE_EXTENTS, 1)));
    }
    Dfs__OpCommit *c = ns_commit_op (fx, "c", "/f", "");
    c->size = 1000ULL * PAGE_EXTENTS * PAGES;
    set_field (c, upload, 5);
    assert_ok (ns_code (ns_commit (fx, c)));
    assert_ok (ns_rm (fx, "/f"));
    prune_all (fx);
    assert_int_equal (ns_refs (fx, 'A'), 0);
}

static void holes_are_one (void **state)
{
    ns_fixture_t *fx = *state;
    assert_code (ns_put (fx, "c", "/f", "A..B"), DFS_EINVAL);
    assert_ok (ns_put (fx, "c", "/f", "A.B."));
    assert_ok (
        ns_put (fx, "a", "/f", ".C")); /* of two entries: each said what it had */
}

static void trees_go_whatever_their_depth (void **state)
{
    enum { LEVELS = 2000, ROUNDS = 12 };
    ns_fixture_t *fx = *state;
    static char path[2 * LEVELS + 16];
    for (int i = 0; i < ROUNDS; i++) {
        Dfs__OpMkdir mkdir = DFS__OP_MKDIR__INIT;
        Dfs__Op op = DFS__OP__INIT;
        size_t len = 0;
        path[len++] = '/';
        path[len++] = 'n';
        for (int k = 0; k < LEVELS; k++, len += 2)
            memcpy (path + len, "/x", 3);
        ns_text (&mkdir.path, path);
        set_field (&mkdir, parents, true);
        op.op_case = DFS__OP__OP_MKDIR;
        op.mkdir = &mkdir;
        arena_reset (fx->arena);
        assert_ok (ns_code (ns_apply (fx, &op)));
        memcpy (path + len, "/t", 3);
        if (i > 0)
            assert_ok (ns_mv (fx, "/t", path));
        assert_ok (ns_mv (fx, "/n", "/t"));
    }
    assert_int_equal (ns_faults (fx), 0);
    /* Paths lead no deeper than symlinks do; how far up a move looks is bounded. */
    char *step = path + 2; /* x/x/…/x/t */
    path[0] = '/';
    path[1] = 't';
    assert_ok (ns_symlink (fx, path, "/a"));
    assert_ok (ns_symlink (fx, step + 1, "/a/b"));
    assert_ok (ns_symlink (fx, step + 1, "/a/b/c"));
    assert_ok (ns_mkdir (fx, "/d"));
    assert_ok (ns_mv (fx, "/d", "/a/d"));
    assert_ok (ns_mkdir (fx, "/a/b/c/e"));
    assert_code (ns_mv (fx, "/a/d", "/a/b/c/d"), DFS_ENAMETOOLONG);
    assert_ok (ns_rm (fx, "/a"));
    little_scratch (fx, 1 << 20); /* of all levels at once it would take more */
    assert_ok (ns_code (ns_rm_tree (fx, "/t")));
    for (uint64_t job; (job = namespace_next_job (fx->ns)) != 0;) {
        arena_reset (fx->arena);
        assert_ok (ns_code (ns_step (fx, job, 4096)));
    }
    namespace_totals_t totals;
    namespace_totals (fx->ns, &totals);
    assert_int_equal (totals.directories, 1);
    prune_all (fx);
}

/* One whose client is connected stays, however long it is idle: those behind it must
 * be found all the same, and without a look at all of them. */
static void idle_sessions_are_found_in_turns (void **state)
{
    enum { SESSIONS = 2 * SESSIONS_LOOKED };
    ns_fixture_t *fx = *state;
    uint64_t idle[300], from = 0;
    char path[32];
    for (int i = 1; i <= SESSIONS; i++) {
        fx->session = (uint64_t)i;
        fx->request = 1;
        snprintf (path, sizeof path, "/d%d", i);
        assert_code (ns_rmdir (fx, path), DFS_ENOENT);
        if (i % 64 == 0)
            arena_reset (fx->arena);
    }
    size_t n, found = 0, rounds = 0;
    do {
        n = namespace_idle_sessions (fx->ns, fx->time + 1, &from, idle, 300);
        for (size_t i = 0; i < n; i++)
            assert_int_equal (idle[i], found + i + 1);
        found += n;
        rounds++;
    } while (from != 0);
    assert_int_equal (found, SESSIONS);
    assert_int_equal (rounds, (SESSIONS + 299) / 300);
    /* nothing to be found: it looks at so many and says where to go on */
    assert_int_equal (namespace_idle_sessions (fx->ns, 1, &from, idle, 300), 0);
    assert_int_equal (from, SESSIONS_LOOKED + 1);
}

static Dfs__OpResult *mkdir_as (ns_fixture_t *fx, uint64_t session, uint64_t request,
                                uint32_t user, const char *path)
{
    Dfs__OpMkdir mkdir = DFS__OP_MKDIR__INIT;
    Dfs__Op op = DFS__OP__INIT;
    op.op_case = DFS__OP__OP_MKDIR;
    op.mkdir = &mkdir;
    ns_text (&mkdir.path, path);
    Dfs__Entry entry = DFS__ENTRY__INIT;
    entry.version = 1;
    entry.time_ns = fx->time += SECOND;
    entry.op = &op;
    set_field (&entry, session, session);
    set_field (&entry, request, request);
    set_field (&entry, user, user);
    return ns_apply_entry (fx, &entry);
}

/* Who knows a session's number could use up its request numbers. */
static void a_session_is_one_users (void **state)
{
    ns_fixture_t *fx = *state;
    assert_ok (ns_code (mkdir_as (fx, 9, 1, 7, "/a")));
    assert_code (ns_code (mkdir_as (fx, 9, 2, 8, "/b")), DFS_EEXPIRED);
    assert_code (ns_code (mkdir_as (fx, 9, 1, 8, "/a")), DFS_EEXPIRED);
    assert_code (ns_stat_code (fx, "/b"), DFS_ENOENT);
    assert_ok (ns_code (mkdir_as (fx, 9, 2, 7, "/c")));
}

/* To be told to try again later would be for ever if it were remembered. */
static void what_must_wait_is_not_remembered (void **state)
{
    ns_fixture_t *fx = *state;
    fx->session = 3;
    for (uint64_t i = 0; i < UPLOADS_PER_SESSION; i++)
        assert_ok (ns_code (ns_stage (fx, i + 1, 0, "A", 0, 1)));
    uint64_t request = fx->request;
    assert_code (ns_code (ns_stage (fx, 999, 0, "A", 0, 1)), DFS_EAGAIN);
    uint64_t after = fx->request;
    Dfs__OpUploadDrop drop = DFS__OP_UPLOAD_DROP__INIT;
    Dfs__Op op = DFS__OP__INIT;
    op.op_case = DFS__OP__OP_UPLOAD_DROP;
    op.upload_drop = &drop;
    drop.upload = 1;
    assert_ok (ns_code (ns_apply (fx, &op)));
    fx->request = request; /* the same number, asked again */
    assert_ok (ns_code (ns_stage (fx, 999, 0, "A", 0, 1)));
    assert_int_equal (fx->request, after);
}

int main (void)
{
#define TEST(f) cmocka_unit_test_setup_teardown (f, ns_setup, ns_teardown)
    const struct CMUnitTest tests[] = {
        TEST (long_files_go_page_by_page),    TEST (holes_are_one),
        TEST (trees_go_whatever_their_depth), TEST (idle_sessions_are_found_in_turns),
        TEST (a_session_is_one_users),        TEST (what_must_wait_is_not_remembered),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("namespace limits", tests, NULL, NULL);
}
