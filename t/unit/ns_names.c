/* SPDX-License-Identifier: MPL-2.0 */
/* Names: every operation on them, and everything they refuse. */
#include <stdio.h>
#include <string.h>

#include "broker/namespace/state.h"
#include "ns_fixture.h"

static void makes_and_removes_directories (void **state)
{
    ns_fixture_t *fx = *state;
    assert_ok (ns_mkdir (fx, "/a"));
    assert_ok (ns_mkdir (fx, "/a/b"));
    assert_code (ns_mkdir (fx, "/a"), DFS_EEXIST);
    assert_code (ns_mkdir (fx, "/"), DFS_EEXIST);
    assert_code (ns_mkdir (fx, "/x/y"), DFS_ENOENT);
    assert_code (ns_mkdir (fx, "/a/.."), DFS_EINVAL);
    assert_code (ns_mkdir (fx, "a"), DFS_EINVAL);
    assert_code (ns_rmdir (fx, "/a"), DFS_ENOTEMPTY);
    assert_code (ns_rm (fx, "/a"), DFS_EISDIR);
    assert_code (ns_rmdir (fx, "/"), DFS_EINVAL);
    assert_ok (ns_put (fx, "c", "/f", "A"));
    assert_code (ns_rmdir (fx, "/f"), DFS_ENOTDIR);
    assert_code (ns_mkdir (fx, "/f/x"), DFS_ENOTDIR);
    assert_ok (ns_rmdir (fx, "/a/b"));
    assert_ok (ns_rmdir (fx, "/a"));
    assert_code (ns_rmdir (fx, "/a"), DFS_ENOENT);
    assert_int_equal (ns_stat (fx, "/")->inode, ROOT_INODE);
}

static void mkdir_p_makes_parents (void **state)
{
    ns_fixture_t *fx = *state;
    Dfs__OpMkdir mkdir = DFS__OP_MKDIR__INIT;
    Dfs__Op op = DFS__OP__INIT;
    op.op_case = DFS__OP__OP_MKDIR;
    op.mkdir = &mkdir;
    ns_text (&mkdir.path, "/p//q/r/");
    set_field (&mkdir, parents, 1);
    set_field (&mkdir, mode, 0700);
    Dfs__OpResult *first = ns_apply (fx, &op);
    assert_ok (ns_code (first));
    assert_int_equal (ns_stat (fx, "/p/q/r")->mode, 0700);
    assert_int_equal (ns_stat (fx, "/p/q")->mode, 0755);
    Dfs__OpResult *again = ns_apply (fx, &op);
    assert_ok (ns_code (again));
    assert_int_equal (again->inode, first->inode);
    assert_ok (ns_put (fx, "cp", "/m/n/o/file", "A"));
    assert_int_equal (ns_stat (fx, "/m/n/o/file")->size, 1000);
    assert_ok (ns_put (fx, "c", "/f", "A"));
    ns_text (&mkdir.path, "/f");
    assert_code (ns_code (ns_apply (fx, &op)), DFS_EEXIST);
    ns_text (&mkdir.path, "/f/g");
    assert_code (ns_code (ns_apply (fx, &op)), DFS_ENOTDIR);
}

static void follows_symlinks_on_the_way (void **state)
{
    ns_fixture_t *fx = *state;
    assert_ok (ns_put (fx, "cp", "/d/e/file", "A"));
    assert_ok (ns_symlink (fx, "/d/e", "/abs"));
    assert_ok (ns_symlink (fx, "e", "/d/rel"));
    assert_ok (ns_symlink (fx, "../../d/./e/..", "/d/e/up"));
    assert_ok (ns_symlink (fx, "loop2", "/loop1"));
    assert_ok (ns_symlink (fx, "loop1", "/loop2"));
    assert_ok (ns_symlink (fx, "nowhere", "/dangling"));
    assert_string_equal (ns_content (fx, "/abs/file"), "A");
    assert_string_equal (ns_content (fx, "/d/rel/file"), "A");
    assert_string_equal (ns_content (fx, "/d/e/up/e/file"), "A");
    assert_int_equal (ns_stat (fx, "/abs")->type, DFS__FILE_TYPE__FILE_SYMLINK);
    assert_int_equal (ns_stat (fx, "/abs")->target.len, 4);
    assert_ok (ns_stat_code (fx, "/abs"));
    assert_code (ns_stat_code (fx, "/dangling"), DFS_ENOENT);
    assert_code (ns_stat_code (fx, "/loop1"), DFS_ELOOP);
    assert_code (ns_stat_code (fx, "/loop1/x"), DFS_ELOOP);
    assert_code (ns_stat_code (fx, "/abs/file/x"), DFS_ENOTDIR);
    assert_ok (ns_put (fx, "c", "/abs/new", "B"));
    assert_string_equal (ns_content (fx, "/d/e/new"), "B");
    /* the last name is not followed: the file takes the place of the symlink */
    assert_code (ns_put (fx, "c", "/dangling", "B"), DFS_EEXIST);
    assert_code (ns_put (fx, "ca", "/dangling", "B"), DFS_EINVAL);
    assert_ok (ns_put (fx, "cr", "/dangling", "B"));
    assert_int_equal (ns_stat (fx, "/dangling")->type, DFS__FILE_TYPE__FILE_REGULAR);
    assert_ok (ns_rm (fx, "/abs"));
    assert_ok (ns_stat_code (fx, "/d/e/file"));
    assert_code (ns_symlink (fx, "x", "/d"), DFS_EEXIST);
    assert_code (ns_symlink (fx, "", "/y"), DFS_EINVAL);
}

static void forty_symlinks_are_the_limit (void **state)
{
    ns_fixture_t *fx = *state;
    char name[16], target[16];
    assert_ok (ns_put (fx, "c", "/s0", "A"));
    for (int i = 1; i <= SYMLINKS_MAX + 1; i++) {
        snprintf (name, sizeof name, "/s%d", i);
        snprintf (target, sizeof target, "s%d", i - 1);
        assert_ok (ns_symlink (fx, target, name));
    }
    assert_ok (ns_stat_code (fx, "/s40"));
    assert_code (ns_stat_code (fx, "/s41"), DFS_ELOOP);
}

static void renames (void **state)
{
    ns_fixture_t *fx = *state;
    assert_ok (ns_put (fx, "cp", "/a/b/file", "AB"));
    uint64_t inode = ns_stat (fx, "/a/b/file")->inode;
    assert_ok (ns_mv (fx, "/a", "/z"));
    assert_int_equal (ns_stat (fx, "/z/b/file")->inode, inode);
    assert_code (ns_stat_code (fx, "/a"), DFS_ENOENT);
    assert_code (ns_mv (fx, "/a", "/q"), DFS_ENOENT);
    assert_code (ns_mv (fx, "/z", "/q/r"), DFS_ENOENT);
    assert_code (ns_mv (fx, "/z", "/z/b/c"), DFS_ELOOP);
    assert_code (ns_mv (fx, "/z", "/z/b"), DFS_ELOOP);
    assert_code (ns_mv (fx, "/", "/q"), DFS_EINVAL);
    assert_code (ns_mv (fx, "/z", "/"), DFS_EINVAL);
    assert_ok (ns_mv (fx, "/z", "/z"));

    assert_ok (ns_put (fx, "c", "/over", "C"));
    assert_int_equal (ns_refs (fx, 'C'), 1);
    assert_ok (ns_mv (fx, "/z/b/file", "/over"));
    assert_int_equal (ns_stat (fx, "/over")->inode, inode);
    assert_string_equal (ns_content (fx, "/over"), "AB");
    assert_int_equal (ns_refs (fx, 'C'), 1); /* the past has it */

    assert_ok (ns_mkdir (fx, "/dir"));
    assert_code (ns_mv (fx, "/over", "/dir"), DFS_EISDIR);
    assert_code (ns_mv (fx, "/dir", "/over"), DFS_ENOTDIR);
    assert_code (ns_mv (fx, "/dir", "/z"), DFS_ENOTEMPTY);
    assert_ok (ns_mv (fx, "/z", "/dir"));
    assert_ok (ns_stat_code (fx, "/dir/b"));

    assert_ok (ns_link (fx, "/over", "/other"));
    assert_ok (
        ns_mv (fx, "/over", "/other")); /* two names of one file: nothing to do */
    assert_int_equal (ns_stat (fx, "/over")->nlink, 2);
}

static void rename_with_conditions (void **state)
{
    ns_fixture_t *fx = *state;
    Dfs__OpRename mv = DFS__OP_RENAME__INIT;
    Dfs__Op op = DFS__OP__INIT;
    op.op_case = DFS__OP__OP_RENAME;
    op.rename = &mv;
    assert_ok (ns_put (fx, "c", "/a", "A"));
    assert_ok (ns_put (fx, "c", "/b", "B"));
    ns_text (&mv.from, "/a");
    ns_text (&mv.to, "/b");
    set_field (&mv, no_replace, 1);
    assert_code (ns_code (ns_apply (fx, &op)), DFS_EEXIST);
    set_field (&mv, no_replace, 0);
    set_field (&mv, expected_version, 1);
    assert_code (ns_code (ns_apply (fx, &op)), DFS_ECONFLICT);
    assert_string_equal (ns_content (fx, "/b"), "B");
    mv.expected_version = ns_stat (fx, "/a")->version;
    assert_ok (ns_code (ns_apply (fx, &op)));
    assert_string_equal (ns_content (fx, "/b"), "A");
}

static void hard_links (void **state)
{
    ns_fixture_t *fx = *state;
    assert_ok (ns_mkdir (fx, "/d"));
    assert_ok (ns_put (fx, "c", "/a", "A"));
    assert_ok (ns_link (fx, "/a", "/d/b"));
    assert_int_equal (ns_stat (fx, "/d/b")->nlink, 2);
    assert_code (ns_link (fx, "/a", "/d/b"), DFS_EEXIST);
    assert_code (ns_link (fx, "/d", "/e"), DFS_EISDIR);
    assert_code (ns_link (fx, "/none", "/e"), DFS_ENOENT);
    assert_ok (ns_put (fx, "r", "/a", "B"));
    assert_string_equal (ns_content (fx, "/d/b"), "B");
    assert_ok (ns_rm (fx, "/a"));
    assert_int_equal (ns_stat (fx, "/d/b")->nlink, 1);
    assert_ok (ns_rm (fx, "/d/b"));
    namespace_totals_t totals;
    namespace_totals (fx->ns, &totals);
    assert_int_equal (totals.files, 0);
    assert_int_equal (totals.bytes_logical, 0);
}

static void setattr_changes_what_it_names (void **state)
{
    ns_fixture_t *fx = *state;
    Dfs__OpSetattr set = DFS__OP_SETATTR__INIT;
    Dfs__Op op = DFS__OP__INIT;
    op.op_case = DFS__OP__OP_SETATTR;
    op.setattr = &set;
    assert_ok (ns_put (fx, "c", "/f", "AAB"));
    uint64_t version = ns_stat (fx, "/f")->version;
    ns_text (&set.path, "/f");
    set_field (&set, mode, 0100640);
    set_field (&set, uid, 7);
    set_field (&set, gid, 9);
    set_field (&set, mtime_ns, 12345);
    assert_ok (ns_code (ns_apply (fx, &op)));
    Dfs__Attr *attr = ns_stat (fx, "/f");
    assert_int_equal (attr->mode, 0640);
    assert_string_equal (attr->owner, "ada");
    assert_int_equal (attr->gid, 9);
    assert_int_equal (attr->mtime_ns, 12345);
    assert_int_equal (attr->version, version); /* the content is the same */
    assert_int_equal (attr->replicas, 2);
    assert_string_equal (ns_content (fx, "/f"), "AAB");

    Dfs__OpSetattr policy = DFS__OP_SETATTR__INIT;
    op.setattr = &policy;
    ns_text (&policy.path, "/f");
    set_field (&policy, policy, 3);
    assert_code (ns_code (ns_apply (fx, &op)), DFS_EINVAL);
    policy.policy = 2;
    assert_ok (ns_code (ns_apply (fx, &op)));
    assert_int_equal (ns_stat (fx, "/f")->replicas, 3);
    copykey_t key = {0};
    chunk_facts_t facts;
    ns_digest ('A', key.digest);
    assert_int_equal (namespace_chunk (fx->ns, &key, &facts, NULL), 1);
    assert_int_equal (facts.replicas, 3);
    assert_int_equal (facts.refs, 4); /* the past counts under policy 1 */
    ns_text (&policy.path, "/none");
    assert_code (ns_code (ns_apply (fx, &op)), DFS_ENOENT);

    assert_ok (ns_mkdir (fx, "/d"));
    ns_text (&policy.path, "/d");
    assert_ok (ns_code (ns_apply (fx, &op)));
    /* chunks that were placed for two copies are not enough for one that has three */
    assert_code (ns_put (fx, "cp", "/d/e/f", "A"), DFS_EPOLICY);
    assert_code (ns_stat_code (fx, "/d/e"), DFS_ENOENT);
    Dfs__OpCommit *c = ns_commit_op (fx, "cp", "/d/e/f", "A");
    set_field (c, placed_policy, 2);
    assert_ok (ns_code (ns_commit (fx, c)));
    assert_int_equal (ns_stat (fx, "/d/e/f")->policy, 2);
    c = ns_commit_op (fx, "r", "/d/e/f", "A");
    set_field (c, placed_policy, 7);
    assert_code (ns_code (ns_commit (fx, c)), DFS_EINVAL);
}

static void names_of_any_bytes (void **state)
{
    ns_fixture_t *fx = *state;
    char path[1 + 256 + 1];
    memset (path, 'x', sizeof path);
    path[0] = '/';
    path[256] = 0;
    assert_ok (ns_put (fx, "c", path, "A"));
    path[256] = 'x';
    path[257] = 0;
    assert_code (ns_put (fx, "c", path, "A"), DFS_ENAMETOOLONG);
    assert_ok (ns_put (fx, "c", "/\xff\x01 name", "A"));
    assert_ok (ns_stat_code (fx, "/\xff\x01 name"));
}

static void parents_show_when_they_changed (void **state)
{
    ns_fixture_t *fx = *state;
    assert_ok (ns_mkdir (fx, "/d"));
    uint64_t before = ns_stat (fx, "/d")->mtime_ns;
    assert_ok (ns_put (fx, "c", "/d/f", "A"));
    uint64_t after = ns_stat (fx, "/d")->mtime_ns;
    assert_int_equal (after, before + SECOND);
    assert_ok (ns_put (fx, "r", "/d/f", "B"));
    assert_int_equal (ns_stat (fx, "/d")->mtime_ns, after);
    assert_ok (ns_rm (fx, "/d/f"));
    assert_int_equal (ns_stat (fx, "/d")->mtime_ns, after + 2 * SECOND);
}

int main (void)
{
#define TEST(f) cmocka_unit_test_setup_teardown (f, ns_setup, ns_teardown)
    const struct CMUnitTest tests[] = {
        TEST (makes_and_removes_directories),
        TEST (mkdir_p_makes_parents),
        TEST (follows_symlinks_on_the_way),
        TEST (forty_symlinks_are_the_limit),
        TEST (renames),
        TEST (rename_with_conditions),
        TEST (hard_links),
        TEST (setattr_changes_what_it_names),
        TEST (names_of_any_bytes),
        TEST (parents_show_when_they_changed),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("namespace names", tests, NULL, NULL);
}
