/* SPDX-License-Identifier: MPL-2.0 */
/* What outlives an entry: requests done once, sessions, jobs, crashes, the seed,
 * members and policies. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/namespace/dump.h"
#include "broker/namespace/tables.h"
#include "ns_fixture.h"

static Dfs__OpResult *mkdir_as (ns_fixture_t *fx, uint64_t session, uint64_t request,
                                uint64_t done_below, const char *path)
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
    set_field (&entry, done_below, done_below);
    return ns_apply_entry (fx, &entry);
}

static void requests_are_done_once (void **state)
{
    ns_fixture_t *fx = *state;
    Dfs__OpResult *first = mkdir_as (fx, 9, 1, 0, "/a");
    assert_ok (ns_code (first));
    Dfs__OpResult *again = mkdir_as (fx, 9, 1, 0, "/a");
    assert_ok (ns_code (again));
    assert_int_equal (again->inode, first->inode);
    assert_int_equal (again->version, first->version);
    assert_code (ns_code (mkdir_as (fx, 9, 2, 0, "/a")), DFS_EEXIST);
    assert_ok (ns_rmdir (fx, "/a"));
    /* a refusal is remembered too */
    again = mkdir_as (fx, 9, 2, 0, "/a");
    assert_code (ns_code (again), DFS_EEXIST);
    assert_string_equal (again->text, dfs_error_text (DFS_EEXIST));
    /* out of order, and other sessions have numbers of their own */
    assert_ok (ns_code (mkdir_as (fx, 9, 5, 0, "/e")));
    assert_ok (ns_code (mkdir_as (fx, 9, 4, 0, "/d")));
    assert_ok (ns_code (mkdir_as (fx, 10, 5, 0, "/f")));
    assert_ok (ns_code (mkdir_as (fx, 9, 4, 0, "/d")));
    /* what the client has seen is forgotten */
    assert_ok (ns_code (mkdir_as (fx, 9, 6, 5, "/g")));
    assert_code (ns_code (mkdir_as (fx, 9, 4, 5, "/d")), DFS_ESTALE);
    assert_code (ns_code (mkdir_as (fx, 9, 3, 5, "/h")), DFS_ESTALE);
    assert_ok (ns_code (mkdir_as (fx, 9, 5, 5, "/e")));
    assert_code (ns_stat_code (fx, "/h"), DFS_ENOENT);
}

static void remembered_results_are_bounded (void **state)
{
    ns_fixture_t *fx = *state;
    for (uint64_t i = 1; i <= REQUESTS_KEPT + 100; i++) {
        mkdir_as (fx, 3, i, 0, "/");
        if (i % 1000 == 0)
            arena_reset (fx->arena);
    }
    assert_int_equal (table_size (&fx->ns->view, T_REQUEST), REQUESTS_KEPT);
    assert_code (ns_code (mkdir_as (fx, 3, 100, 0, "/")), DFS_ESTALE);
    assert_code (ns_code (mkdir_as (fx, 3, 101, 0, "/")), DFS_EEXIST);
    /* numbers that jump leave nothing behind for long */
    for (uint64_t i = 1; i <= 100; i++)
        mkdir_as (fx, 3, i * 1000000, 0, "/");
    assert_true (table_size (&fx->ns->view, T_REQUEST) < 200);
}

static int expire (ns_fixture_t *fx, uint64_t session)
{
    Dfs__OpSessionExpire expire = DFS__OP_SESSION_EXPIRE__INIT;
    Dfs__Op op = DFS__OP__INIT;
    op.op_case = DFS__OP__OP_SESSION_EXPIRE;
    op.session_expire = &expire;
    expire.n_sessions = 1;
    expire.sessions = &session;
    return ns_code (ns_apply (fx, &op));
}

static size_t idle_from (ns_fixture_t *fx, uint64_t time_ns, uint64_t from,
                         uint64_t idle[4])
{
    return namespace_idle_sessions (fx->ns, time_ns, &from, idle, 4);
}

static void sessions_expire_with_their_uploads (void **state)
{
    ns_fixture_t *fx = *state;
    namespace_totals_t totals;
    uint64_t idle[4];
    fx->session = 4;
    assert_ok (ns_code (ns_stage (fx, 1, 0, "A", 0, 0)));
    assert_ok (ns_code (ns_stage (fx, 2, 0, "B", 0, 0)));
    fx->session = 0;
    assert_ok (ns_code (mkdir_as (fx, 5, 1, 0, "/a")));
    namespace_totals (fx->ns, &totals);
    assert_int_equal (totals.sessions, 2);
    assert_ok (expire (fx, 4)); /* too young: nothing happens */
    assert_int_equal (ns_refs (fx, 'A'), 1);
    fx->time += 700 * SECOND;
    assert_ok (ns_code (mkdir_as (fx, 5, 2, 0, "/b")));
    uint64_t now = fx->time;
    assert_int_equal (idle_from (fx, now - 600 * SECOND, 0, idle), 1);
    assert_int_equal (idle[0], 4);
    assert_ok (expire (fx, 4));
    namespace_totals (fx->ns, &totals);
    assert_int_equal (totals.sessions, 1);
    assert_int_equal (ns_refs (fx, 'A'), 0);
    assert_int_equal (ns_refs (fx, 'B'), 0);
    assert_int_equal (idle_from (fx, now - 600 * SECOND, 0, idle), 0);
    /* a request that comes late is not taken for a new one */
    assert_code (ns_code (mkdir_as (fx, 4, 1, 0, "/late")), DFS_EEXPIRED);
    assert_code (ns_stat_code (fx, "/late"), DFS_ENOENT);
    fx->time += TOMBSTONE_NS + 2 * SECOND;
    assert_int_equal (idle_from (fx, fx->time, 0, idle), 2);
    assert_ok (expire (fx, 4));
    assert_int_equal (table_size (&fx->ns->view, T_SESSION), 1);
}

static void make_tree (ns_fixture_t *fx, const char *top, int dirs, int files)
{
    char path[100];
    for (int d = 0; d < dirs; d++)
        for (int f = 0; f < files; f++) {
            snprintf (path, sizeof path, "%s/d%d/e/f%d", top, d, f);
            assert_ok (ns_put (fx, "cp", path, f % 2 ? "A" : "BC"));
        }
    arena_reset (fx->arena);
}

static void small_trees_go_at_once (void **state)
{
    ns_fixture_t *fx = *state;
    make_tree (fx, "/t", 3, 10);
    Dfs__OpResult *r = ns_rm_tree (fx, "/t");
    assert_ok (ns_code (r));
    assert_false (r->has_job);
    assert_int_equal (namespace_next_job (fx->ns), 0);
    namespace_totals_t totals;
    namespace_totals (fx->ns, &totals);
    assert_int_equal (totals.files, 0);
    assert_int_equal (totals.directories, 1);
    assert_code (ns_code (ns_rm_tree (fx, "/t")), DFS_ENOENT);
    assert_code (ns_code (ns_rm_tree (fx, "/")), DFS_EINVAL);
    assert_ok (ns_put (fx, "c", "/f", "A"));
    assert_ok (ns_code (ns_rm_tree (fx, "/f")));
}

static void large_trees_go_by_a_job (void **state)
{
    ns_fixture_t *fx = *state;
    make_tree (fx, "/t", 10, 100);
    assert_ok (ns_put (fx, "c", "/keep", "K"));
    assert_ok (ns_link (fx, "/keep", "/t/d5/e/link"));
    assert_ok (namespace_commit (fx->ns, NULL));
    Dfs__OpResult *r = ns_rm_tree (fx, "/t");
    assert_ok (ns_code (r));
    uint64_t job = r->job;
    assert_int_equal (job, namespace_next_job (fx->ns));
    assert_code (ns_stat_code (fx, "/t/d1/e/f1"), DFS_ENOENT);
    assert_ok (ns_mkdir (fx, "/t")); /* the name is free again */
    assert_ok (namespace_commit (fx->ns, NULL));
    assert_int_equal (ns_faults (fx), 0);
    namespace_totals_t totals;
    uint64_t before = UINT64_MAX;
    assert_code (ns_code (ns_step (fx, job, 4)), DFS_EINVAL);
    assert_code (ns_code (ns_step (fx, job + 1, 100)), DFS_ENOENT);
    for (int i = 0; namespace_next_job (fx->ns); i++) {
        uint64_t applied = namespace_applied (fx->ns);
        r = ns_step (fx, job, 100 + 50 * i);
        assert_ok (ns_code (r));
        if (i % 3 ==
            1) { /* the machine dies before the commit: the log brings it again */
            ns_reopen (fx, true);
            assert_true (namespace_applied (fx->ns) <= applied);
            continue;
        }
        assert_ok (namespace_commit (fx->ns, NULL));
        namespace_totals (fx->ns, &totals);
        assert_true (totals.files < before);
        before = totals.files;
        assert_true (i < 200);
    }
    namespace_totals (fx->ns, &totals);
    assert_int_equal (totals.files, 1);
    assert_int_equal (totals.jobs, 0);
    assert_int_equal (ns_stat (fx, "/keep")->nlink, 1);
    assert_int_equal (totals.directories, 2);
    assert_int_equal (ns_refs (fx, 'A'), 500); /* held by the past */
    while (namespace_oldest_past (fx->ns) != UINT64_MAX)
        assert_ok (ns_code (ns_prune (fx, fx->time + SECOND, 1000)));
    assert_int_equal (ns_refs (fx, 'A'), 0);
    namespace_totals (fx->ns, &totals);
    assert_int_equal (totals.past_records, 0);
}

static void a_crash_loses_only_what_was_not_committed (void **state)
{
    ns_fixture_t *fx = *state;
    uint8_t hash[16], other[16];
    assert_ok (ns_put (fx, "c", "/a", "A"));
    assert_true (namespace_dirty (fx->ns));
    assert_ok (namespace_commit (fx->ns, NULL));
    assert_false (namespace_dirty (fx->ns));
    uint64_t durable = namespace_durable (fx->ns);
    assert_int_equal (durable, namespace_applied (fx->ns));
    namespace_hash (fx->ns, hash);
    assert_ok (ns_put (fx, "c", "/b", "B"));
    assert_int_equal (namespace_durable (fx->ns), durable);
    ns_reopen (fx, true);
    assert_int_equal (namespace_applied (fx->ns), durable);
    namespace_hash (fx->ns, other);
    assert_memory_equal (hash, other, 16);
    assert_code (ns_stat_code (fx, "/b"), DFS_ENOENT);
    assert_ok (ns_put (fx, "c", "/b", "B"));
    assert_ok (ns_stat_code (fx, "/b"));
}

static int fail_commit (void *arg)
{
    (void)arg;
    return EIO;
}

static void a_failed_commit_is_final (void **state)
{
    ns_fixture_t *fx = *state;
    dfs_error_t err;
    assert_ok (namespace_commit (fx->ns, NULL));
    uint64_t durable = namespace_durable (fx->ns);
    assert_ok (ns_put (fx, "c", "/a", "A"));
    kv_set_hook (fail_commit, NULL);
    assert_code (namespace_commit (fx->ns, &err), DFS_EIO);
    kv_set_hook (NULL, NULL);
    assert_true (namespace_commit (fx->ns, &err) < 0);
    Dfs__Attr *attr;
    assert_true (namespace_stat (fx->ns, "/", 1, false, fx->arena, &attr, &err) < 0);
    ns_reopen (fx, false);
    assert_int_equal (namespace_applied (fx->ns), durable);
}

static void the_seed_comes_first_and_once (void **state)
{
    (void)state;
    ns_fixture_t fx;
    uint8_t id[16];
    uint32_t incarnation;
    ns_make (&fx);
    assert_false (namespace_seeded (fx.ns));
    assert_code (ns_mkdir (&fx, "/a"), DFS_EUNAVAIL);
    ns_seed (&fx);
    assert_true (namespace_seeded (fx.ns));
    ns_reopen (&fx, false);
    namespace_identity (fx.ns, id, &incarnation);
    assert_memory_equal (id, "cluster-identity", 16);
    assert_int_equal (incarnation, 1);
    Dfs__Policy *policy;
    assert_int_equal (namespace_policy (fx.ns, 2, fx.arena, &policy, NULL), 1);
    assert_int_equal (policy->replicas, 3);
    assert_int_equal (namespace_policy (fx.ns, 3, fx.arena, &policy, NULL), 0);
    assert_ok (ns_mkdir (&fx, "/a"));
    assert_int_equal (ns_faults (&fx), 0);
    ns_unmake (&fx);
}

static int set_member (ns_fixture_t *fx, uint32_t id, const char *name, bool removed)
{
    Dfs__Member member = DFS__MEMBER__INIT;
    Dfs__OpMemberSet set = DFS__OP_MEMBER_SET__INIT;
    Dfs__Op op = DFS__OP__INIT;
    op.op_case = DFS__OP__OP_MEMBER_SET;
    op.member_set = &set;
    set.member = &member;
    member.id = id;
    member.role = DFS__MEMBER_ROLE__MEMBER_WORKER;
    member.name = arena_dup (fx->arena, name, strlen (name));
    member.host = arena_dup (fx->arena, "h", 1);
    set_field (&member, removed, removed);
    return ns_code (ns_apply (fx, &op));
}

static void members_policies_and_users (void **state)
{
    ns_fixture_t *fx = *state;
    Dfs__Member **members;
    Dfs__User **users;
    size_t n;
    assert_ok (set_member (fx, 2, "w2", false));
    assert_code (set_member (fx, 3, "w2", false), DFS_EEXIST);
    assert_code (set_member (fx, 2, "w3", false), DFS_EEXIST);
    assert_code (set_member (fx, 0, "w0", false), DFS_EINVAL);
    assert_ok (set_member (fx, 2, "w2", true));
    assert_code (set_member (fx, 2, "w2", false), DFS_EEXIST); /* never used again */
    assert_ok (set_member (fx, 3, "w2", false));
    assert_ok (namespace_members (fx->ns, fx->arena, &members, &n, NULL));
    assert_int_equal (n, 3);
    assert_ok (namespace_users (fx->ns, fx->arena, &users, &n, NULL));
    assert_int_equal (n, 1);

    Dfs__Policy policy = DFS__POLICY__INIT;
    Dfs__OpPolicySet set = DFS__OP_POLICY_SET__INIT;
    Dfs__Op op = DFS__OP__INIT;
    op.op_case = DFS__OP__OP_POLICY_SET;
    op.policy_set = &set;
    set.policy = &policy;
    policy.id = 1;
    policy.replicas = 3;
    policy.min_replicas = 4;
    policy.chunk_size = 65536;
    assert_ok (ns_put (fx, "c", "/f", "A"));
    assert_code (ns_code (ns_apply (fx, &op)), DFS_EINVAL);
    assert_int_equal (ns_stat (fx, "/f")->replicas, 2);
    policy.min_replicas = 1;
    policy.replicas = 9; /* more than a grant has targets */
    assert_code (ns_code (ns_apply (fx, &op)), DFS_EINVAL);
    policy.replicas = 3;
    assert_ok (ns_code (ns_apply (fx, &op)));
    assert_int_equal (ns_stat (fx, "/f")->replicas, 3); /* one entry changes them all */

    /* a new one gets a number that nobody has, once however often it is asked for */
    Dfs__Policy *made;
    static char five[] = "five", six[] = "six";
    policy.id = 0;
    policy.name = five;
    policy.replicas = 5;
    assert_ok (ns_code (ns_apply (fx, &op)));
    assert_ok (ns_code (ns_apply (fx, &op)));
    policy.replicas = 6;
    assert_code (ns_code (ns_apply (fx, &op)), DFS_EEXIST);
    policy.name = six;
    assert_ok (ns_code (ns_apply (fx, &op)));
    assert_int_equal (namespace_policy (fx->ns, 3, fx->arena, &made, NULL), 1);
    assert_string_equal (made->name, "five");
    assert_int_equal (made->replicas, 5);
    assert_int_equal (namespace_policy (fx->ns, 4, fx->arena, &made, NULL), 1);
    assert_string_equal (made->name, "six");
    assert_int_equal (namespace_policy (fx->ns, 5, fx->arena, &made, NULL), 0);
}

static void dump_names_every_record (void **state)
{
    ns_fixture_t *fx = *state;
    char *text;
    size_t len;
    fx->session = 5;
    assert_ok (ns_put (fx, "cpi", "/dir/file name", "A1."));
    assert_ok (ns_put (fx, "r", "/dir/file name", "B"));
    assert_ok (ns_rm (fx, "/dir/file name"));
    assert_ok (ns_code (ns_stage (fx, 1, 0, "C", 0, 0)));
    assert_ok (ns_symlink (fx, "dir", "/link"));
    namespace_close (&fx->ns);
    FILE *file = open_memstream (&text, &len);
    assert_ok (namespace_dump (fx->dir, file, NULL));
    fclose (file);
    ns_fixture_t *own = fx;
    own->ns = namespace_open (fx->dir, NULL);
    assert_non_null (strstr (text, "past_dentry 2/\"file name\" until="));
    assert_non_null (strstr (text, "type=FILE_SYMLINK"));
    assert_non_null (strstr (text, "target=\"dir\""));
    assert_non_null (strstr (text, "\nstaged 0000000000000005 1 0: page="));
    assert_non_null (strstr (text, "\npolicy 2: id=2 replicas=3"));
    assert_null (strstr (text, "does not unpack"));
    free (text);
}

int main (void)
{
#define TEST(f) cmocka_unit_test_setup_teardown (f, ns_setup, ns_teardown)
    const struct CMUnitTest tests[] = {
        TEST (requests_are_done_once),
        TEST (remembered_results_are_bounded),
        TEST (sessions_expire_with_their_uploads),
        TEST (small_trees_go_at_once),
        TEST (large_trees_go_by_a_job),
        TEST (a_crash_loses_only_what_was_not_committed),
        TEST (a_failed_commit_is_final),
        cmocka_unit_test (the_seed_comes_first_and_once),
        TEST (members_policies_and_users),
        TEST (dump_names_every_record),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("namespace life", tests, NULL, NULL);
}
