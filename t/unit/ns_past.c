/* SPDX-License-Identifier: MPL-2.0 */
/* The past: what it says, and how it is pruned. */
#include <stdio.h>
#include <string.h>

#include "broker/namespace/tables.h"
#include "ns_fixture.h"

static const char *content_at (ns_fixture_t *fx, uint64_t index, const char *path)
{
    Dfs__Attr *attr;
    int rc = namespace_stat_at (fx->ns, index, path, strlen (path), true, fx->arena,
                                &attr, NULL);
    return rc < 0 ? dfs_error_name (rc)
                  : ns_content_of (fx, attr->inode, attr->version);
}

static void the_past_can_be_read (void **state)
{
    ns_fixture_t *fx = *state;
    assert_ok (ns_put (fx, "cp", "/d/f", "A"));
    uint64_t one = namespace_applied (fx->ns);
    assert_ok (ns_put (fx, "r", "/d/f", "B"));
    uint64_t two = namespace_applied (fx->ns);
    assert_ok (ns_put (fx, "a", "/d/f", "C"));
    assert_ok (ns_mv (fx, "/d", "/e"));
    uint64_t moved = namespace_applied (fx->ns);
    assert_ok (ns_put (fx, "c", "/e/g", "G"));
    assert_ok (ns_mv (fx, "/e/f", "/e/g"));
    uint64_t over = namespace_applied (fx->ns);
    assert_ok (ns_code (ns_rm_tree (fx, "/e")));
    uint64_t gone = namespace_applied (fx->ns);
    assert_ok (ns_put (fx, "cp", "/d/f", "Z"));

    assert_string_equal (content_at (fx, one - 1, "/d/f"), "DFS_ENOENT");
    assert_string_equal (content_at (fx, one, "/d/f"), "A");
    assert_string_equal (content_at (fx, two, "/d/f"), "B");
    assert_string_equal (content_at (fx, moved - 1, "/d/f"), "BC");
    assert_string_equal (content_at (fx, moved, "/d/f"), "DFS_ENOENT");
    assert_string_equal (content_at (fx, moved, "/e/f"), "BC");
    assert_string_equal (content_at (fx, over - 1, "/e/g"), "G");
    assert_string_equal (content_at (fx, over, "/e/g"), "BC");
    assert_string_equal (content_at (fx, gone, "/e/g"), "DFS_ENOENT");
    assert_string_equal (content_at (fx, gone + 1, "/d/f"), "Z");
    assert_string_equal (content_at (fx, 0, "/d/f"), "Z");
}

static void pruning_frees_what_is_old_enough (void **state)
{
    ns_fixture_t *fx = *state;
    assert_int_equal (namespace_oldest_past (fx->ns), UINT64_MAX);
    assert_ok (ns_put (fx, "c", "/f", "A"));
    assert_ok (ns_put (fx, "r", "/f", "B"));
    uint64_t first = fx->time;
    assert_int_equal (namespace_oldest_past (fx->ns), first);
    assert_ok (ns_put (fx, "r", "/f", "C"));
    assert_ok (ns_rm (fx, "/f"));
    assert_ok (ns_code (ns_prune (fx, first - 1, 1000)));
    assert_int_equal (ns_refs (fx, 'A'), 1);
    assert_ok (ns_code (ns_prune (fx, first, 1000)));
    assert_int_equal (ns_refs (fx, 'A'), 0);
    assert_int_equal (ns_refs (fx, 'B'), 1);
    assert_int_equal (namespace_oldest_past (fx->ns), first + SECOND);
    assert_ok (ns_code (ns_prune (fx, fx->time, 1000)));
    assert_int_equal (ns_refs (fx, 'B'), 0);
    assert_int_equal (ns_refs (fx, 'C'), 0);
    assert_int_equal (namespace_oldest_past (fx->ns), UINT64_MAX);
    assert_code (ns_code (ns_prune (fx, 0, 1)), DFS_EINVAL);
    assert_code (ns_code (ns_prune (fx, 0, ENTRY_RECORDS + 1)), DFS_EINVAL);
}

static Dfs__OpResult *prune_at (ns_fixture_t *fx, uint64_t now, uint32_t max,
                                namespace_place_t *from)
{
    Dfs__OpPrune prune = DFS__OP_PRUNE__INIT;
    Dfs__Op op = DFS__OP__INIT;
    prune.up_to_time_ns = now;
    prune.max_records = max;
    set_field (&prune, now_ns, now);
    set_field (&prune, from, ((ProtobufCBinaryData){from->len, from->key}));
    op.op_case = DFS__OP__OP_PRUNE;
    op.prune = &prune;
    return ns_apply (fx, &op);
}

/* Prunes as a leader does, until nothing is due; entries that it took. */
static unsigned prune_due (ns_fixture_t *fx, uint64_t now, uint32_t max)
{
    namespace_place_t at = {.len = 0};
    unsigned n = 0, looks = 0;
    do {
        while (namespace_prune_due (fx->ns, now, &at)) {
            assert_ok (ns_code (prune_at (fx, now, max, &at)));
            arena_reset (fx->arena);
            assert_true (++n < 1000);
        }
        assert_true (++looks < 1000);
    } while (at.len > 0);
    return n;
}

static void set_history (ns_fixture_t *fx, uint32_t id, uint64_t history)
{
    Dfs__Policy policy = DFS__POLICY__INIT;
    Dfs__OpPolicySet set = DFS__OP_POLICY_SET__INIT;
    Dfs__Op op = DFS__OP__INIT;
    policy.id = id;
    policy.replicas = id + 1;
    policy.min_replicas = 1;
    policy.chunk_size = 1 << 20;
    policy.history_ns = history;
    set.policy = &policy;
    op.op_case = DFS__OP__OP_POLICY_SET;
    op.policy_set = &set;
    assert_ok (ns_code (ns_apply (fx, &op)));
}

static int put_under (ns_fixture_t *fx, uint32_t policy, const char *how,
                      const char *path, const char *tags)
{
    Dfs__OpCommit *c = ns_commit_op (fx, how, path, tags);
    set_field (c, policy, policy);
    return ns_code (ns_commit (fx, c));
}

static void each_policy_has_its_own_history (void **state)
{
    enum { FILES = 300 };
    ns_fixture_t *fx = *state;
    char path[16];
    set_history (fx, 1, 10 * SECOND);
    set_history (fx, 2, 10000 * SECOND);
    uint64_t begin = namespace_applied (fx->ns);
    for (int i = 0; i < FILES; i++) { /* the past is full of what stays */
        arena_reset (fx->arena);
        snprintf (path, sizeof path, "/l%d", i);
        assert_ok (put_under (fx, 2, "c", path, "L"));
        assert_ok (ns_rm (fx, path));
    }
    arena_reset (fx->arena);
    assert_ok (put_under (fx, 1, "c", "/s", "S"));
    assert_ok (put_under (fx, 2, "c", "/m", "M"));
    assert_ok (ns_rm (fx, "/s"));
    assert_ok (ns_mv (fx, "/m", "/n")); /* a name goes, its file does not */
    uint64_t end = namespace_applied (fx->ns), now = fx->time + 5000 * SECOND;
    assert_true (prune_due (fx, now, 64) < 40);
    assert_int_equal (ns_refs (fx, 'S'), 0);
    assert_int_equal (ns_refs (fx, 'L'), FILES);
    assert_string_equal (content_at (fx, begin + 1, "/l0"), "L");
    assert_string_equal (content_at (fx, end - 1, "/m"), "M");
    assert_string_equal (content_at (fx, end - 2, "/s"), "DFS_ENOENT");
    assert_int_equal (prune_due (fx, now, 64), 0);
    /* A policy with less history: what is due then goes, wherever it is. */
    set_history (fx, 2, 20 * SECOND);
    assert_true (prune_due (fx, now, 64) > 0);
    assert_int_equal (ns_refs (fx, 'L'), 0);
    assert_int_equal (namespace_oldest_past (fx->ns), UINT64_MAX);
    assert_string_equal (content_at (fx, 0, "/n"), "M");
}

int main (void)
{
#define TEST(f) cmocka_unit_test_setup_teardown (f, ns_setup, ns_teardown)
    const struct CMUnitTest tests[] = {
        TEST (the_past_can_be_read),
        TEST (pruning_frees_what_is_old_enough),
        TEST (each_policy_has_its_own_history),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("namespace past", tests, NULL, NULL);
}
