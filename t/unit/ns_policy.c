/* SPDX-License-Identifier: MPL-2.0 */
/* Policies that are removed: only when nothing is under them, and their numbers are
 * never given again. */
#include <stdio.h>
#include <string.h>

#include "broker/namespace/state.h"
#include "ns_fixture.h"

#define BEGIN  DFS__POLICY_REMOVE_STEP__POLICY_REMOVE_BEGIN
#define END    DFS__POLICY_REMOVE_STEP__POLICY_REMOVE_END
#define CANCEL DFS__POLICY_REMOVE_STEP__POLICY_REMOVE_CANCEL

static int set_policy (ns_fixture_t *fx, uint32_t id, const char *name)
{
    Dfs__Policy policy = DFS__POLICY__INIT;
    Dfs__OpPolicySet set = DFS__OP_POLICY_SET__INIT;
    Dfs__Op op = DFS__OP__INIT;
    policy.id = id;
    policy.name = arena_dup (fx->arena, name, strlen (name));
    policy.replicas = 3;
    policy.min_replicas = 1;
    policy.chunk_size = 1 << 20;
    policy.history_ns = SECOND;
    policy.has_removing = 1; /* is not for whoever asks */
    policy.removing = 7;
    set.policy = &policy;
    op.op_case = DFS__OP__OP_POLICY_SET;
    op.policy_set = &set;
    return ns_code (ns_apply (fx, &op));
}

static int remove_step (ns_fixture_t *fx, uint32_t id, Dfs__PolicyRemoveStep step,
                        uint64_t begun)
{
    Dfs__OpPolicyRemove remove = DFS__OP_POLICY_REMOVE__INIT;
    Dfs__Op op = DFS__OP__INIT;
    remove.id = id;
    remove.step = step;
    remove.has_begun = 1;
    remove.begun = begun;
    op.op_case = DFS__OP__OP_POLICY_REMOVE;
    op.policy_remove = &remove;
    return ns_code (ns_apply (fx, &op));
}

static policy_use_t look (ns_fixture_t *fx, uint32_t id, size_t max)
{
    policy_use_t use = {.policy = id};
    assert_ok (namespace_commit (fx->ns, NULL));
    namespace_reader_t *reader = namespace_reader_new (fx->ns, NULL);
    int rc, calls = 0;
    while ((rc = namespace_policy_use (reader, &use, max, NULL)) == 1)
        assert_true (++calls < 1000);
    assert_int_equal (rc, 0);
    namespace_reader_destroy (&reader);
    return use;
}

static void assert_use (ns_fixture_t *fx, uint32_t id, const char *want)
{
    for (size_t max = 1; max < 100; max += 49) { /* however small the pieces are */
        policy_use_t use = look (fx, id, max);
        char text[160];
        snprintf (text, sizeof text, "%d directories %d files %d past %d uploads %d",
                  (int)use.directories, (int)use.files, (int)use.past, (int)use.uploads,
                  (int)use.chunks);
        assert_string_equal (text, want);
    }
}

static const Dfs__Policy *policy_of (ns_fixture_t *fx, uint32_t id)
{
    Dfs__Policy *policy;
    int rc = namespace_policy (fx->ns, id, fx->arena, &policy, NULL);
    assert_true (rc >= 0);
    return rc ? policy : NULL;
}

static int assign (ns_fixture_t *fx, const char *path, uint32_t id)
{
    Dfs__OpSetattr set = DFS__OP_SETATTR__INIT;
    Dfs__Op op = DFS__OP__INIT;
    ns_text (&set.path, path);
    set_field (&set, policy, id);
    op.op_case = DFS__OP__OP_SETATTR;
    op.setattr = &set;
    return ns_code (ns_apply (fx, &op));
}

static int put_under (ns_fixture_t *fx, uint32_t id, const char *path)
{
    Dfs__OpCommit *c = ns_commit_op (fx, "c", path, "A");
    set_field (c, policy, id);
    set_field (c, placed_policy, 2);
    return ns_code (ns_commit (fx, c));
}

static void everything_under_a_policy_is_found (void **state)
{
    ns_fixture_t *fx = *state;
    assert_use (fx, 2, "0 directories 0 files 0 past 0 uploads 0");
    assert_ok (ns_mkdir (fx, "/d"));
    assert_ok (assign (fx, "/d", 2));
    assert_ok (ns_mkdir (fx, "/d/e")); /* it has the policy of where it is made */
    assert_use (fx, 2, "2 directories 0 files 0 past 0 uploads 0");
    Dfs__OpCommit *c = ns_commit_op (fx, "c", "/d/f", "AB.");
    set_field (c, placed_policy, 2);
    assert_ok (ns_code (ns_commit (fx, c)));
    assert_ok (ns_symlink (fx, "f", "/d/link"));
    assert_use (fx, 2, "2 directories 2 files 0 past 0 uploads 2");
    fx->session = 5;
    assert_ok (ns_code (ns_stage (fx, 1, 0, "C", 0, 2)));
    assert_use (fx, 2, "2 directories 2 files 0 past 1 uploads 3");
    assert_ok (assign (fx, "/d/f", 1)); /* history keeps it as it was */
    assert_use (fx, 2, "2 directories 1 files 1 past 1 uploads 3");
    assert_ok (ns_rm (fx, "/d/link"));
    assert_use (fx, 2, "2 directories 0 files 2 past 1 uploads 3");
    assert_ok (ns_code (ns_prune (fx, fx->time, 1000)));
    assert_use (fx, 2, "2 directories 0 files 0 past 1 uploads 1");
    assert_use (fx, 1, "1 directories 1 files 0 past 0 uploads 2");
}

static void a_policy_goes_in_two_steps (void **state)
{
    ns_fixture_t *fx = *state;
    assert_ok (ns_put (fx, "c", "/f", "A"));
    assert_code (remove_step (fx, 1, BEGIN, 0), DFS_EINVAL); /* the default */
    assert_code (remove_step (fx, 9, BEGIN, 0), DFS_ENOENT);
    assert_code (remove_step (fx, 2, END, 0), DFS_ECONFLICT); /* not begun */
    assert_code (remove_step (fx, 2, CANCEL, 0), DFS_ECONFLICT);
    assert_ok (remove_step (fx, 2, BEGIN, 0));
    uint64_t begun = namespace_applied (fx->ns);
    assert_int_equal (policy_of (fx, 2)->removing, begun);
    assert_int_equal (look (fx, 2, 10).removing, begun);
    assert_ok (remove_step (fx, 2, BEGIN, 0)); /* asked for again */
    assert_int_equal (policy_of (fx, 2)->removing, begun);
    /* Nothing is put under it any more. */
    assert_code (assign (fx, "/f", 2), DFS_EINVAL);
    assert_code (put_under (fx, 2, "/g"), DFS_EINVAL);
    fx->session = 5;
    assert_code (ns_code (ns_stage (fx, 1, 0, "C", 0, 2)), DFS_EINVAL);
    fx->session = 0;
    assert_code (remove_step (fx, 2, END, begun - 1), DFS_ECONFLICT);
    assert_ok (remove_step (fx, 2, END, begun));
    assert_null (policy_of (fx, 2));
    assert_code (remove_step (fx, 2, END, begun), DFS_ENOENT);
    assert_code (put_under (fx, 2, "/g"), DFS_EINVAL);
    assert_code (set_policy (fx, 2, "again"),
                 DFS_ENOENT); /* the change came too late */
}

static void who_changes_a_policy_keeps_it (void **state)
{
    ns_fixture_t *fx = *state;
    assert_ok (remove_step (fx, 2, BEGIN, 0));
    uint64_t begun = namespace_applied (fx->ns);
    assert_ok (set_policy (fx, 2, "two"));
    assert_int_equal (policy_of (fx, 2)->removing, 0);
    assert_ok (put_under (fx, 2, "/g"));
    assert_code (remove_step (fx, 2, END, begun), DFS_ECONFLICT);
    /* Begun anew by somebody else, the look of the first one counts for nothing. */
    assert_ok (remove_step (fx, 2, BEGIN, 0));
    assert_code (remove_step (fx, 2, END, begun), DFS_ECONFLICT);
    assert_code (remove_step (fx, 2, CANCEL, begun), DFS_ECONFLICT);
    assert_ok (remove_step (fx, 2, CANCEL, policy_of (fx, 2)->removing));
    assert_ok (put_under (fx, 2, "/h"));
}

static void numbers_are_not_given_again (void **state)
{
    ns_fixture_t *fx = *state;
    uint8_t hash[16], again[16];
    assert_ok (set_policy (fx, 0, "three"));
    assert_string_equal (policy_of (fx, 3)->name, "three");
    assert_ok (remove_step (fx, 3, BEGIN, 0));
    assert_code (set_policy (fx, 0, "three"), DFS_EEXIST); /* while it goes */
    assert_ok (remove_step (fx, 3, END, policy_of (fx, 3)->removing));
    assert_ok (remove_step (fx, 2, BEGIN, 0));
    assert_ok (remove_step (fx, 2, END, policy_of (fx, 2)->removing));
    namespace_hash (fx->ns, hash);
    ns_reopen (fx, false);
    namespace_hash (fx->ns, again);
    assert_memory_equal (hash, again, sizeof hash);
    assert_ok (set_policy (fx, 0, "three")); /* the name is free, the number is not */
    assert_null (policy_of (fx, 3));
    assert_string_equal (policy_of (fx, 4)->name, "three");
    assert_ok (remove_step (fx, 4, BEGIN, 0));
    assert_ok (remove_step (fx, 4, END, policy_of (fx, 4)->removing));
    assert_ok (set_policy (fx, 0, "five"));
    assert_string_equal (policy_of (fx, 5)->name, "five");
    assert_ok (namespace_commit (fx->ns, NULL));
    assert_int_equal (namespace_scan (fx->ns, NULL, NULL), 0);
}

int main (void)
{
#define TEST(f) cmocka_unit_test_setup_teardown (f, ns_setup, ns_teardown)
    const struct CMUnitTest tests[] = {
        TEST (everything_under_a_policy_is_found),
        TEST (a_policy_goes_in_two_steps),
        TEST (who_changes_a_policy_keeps_it),
        TEST (numbers_are_not_given_again),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("policies that go", tests, NULL, NULL);
}
