/* SPDX-License-Identifier: MPL-2.0 */
/* msgs/: formats that two processes agree on, and what is refused from a peer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/bytes.h"
#include "common/rng.h"
#include "msgs/check.h"
#include "msgs/frame.h"
#include "msgs/grant.h"
#include "msgs/handle.h"
#include "msgs/keys.h"
#include "msgs/mark.h"
#include "msgs/path.h"

static frame_t sample_frame (void)
{
    frame_t f = {.kind = FRAME_DATA,
                 .flags = FRAME_LAST,
                 .hop = 1,
                 .session = 7,
                 .seq = 9,
                 .offset = DIGEST_BLOCK,
                 .length = 100,
                 .true_len = DIGEST_BLOCK + 100,
                 .stored_len = DIGEST_BLOCK + 100,
                 .n_crcs = 1,
                 .grant_len = 3};
    memset (f.key.digest, 0xab, 32);
    memcpy (f.grant, "xyz", 3);
    return f;
}

static void test_frame (void **state)
{
    (void)state;
    uint8_t bytes[100];
    memset (bytes, 5, sizeof bytes);
    frame_t f = sample_frame ();
    digest_blocks (bytes, sizeof bytes, f.crcs);
    uint8_t out[FRAME_HEADER_MAX + 8];
    size_t len = frame_pack (&f, out);
    frame_t g;
    dfs_error_t err;
    assert_int_equal (frame_unpack (out, len, &g, &err), 0);
    assert_int_equal (copykey_cmp (&f.key, &g.key), 0);
    assert_true (g.session == 7 && g.seq == 9 && g.hop == 1 && g.length == 100 &&
                 g.offset == DIGEST_BLOCK && g.stored_len == f.stored_len);
    assert_memory_equal (g.grant, "xyz", 3);
    assert_int_equal (frame_check (&g, bytes, 100, &err), 0);
    bytes[50] ^= 1;
    assert_int_equal (frame_check (&g, bytes, 100, &err), DFS_EDAMAGED);
    assert_int_equal (frame_check (&g, bytes, 99, &err), DFS_EPROTO);
    /* A later version may append fields. */
    memset (out + len, 0xff, 8);
    put_le16 (out + 4, (uint16_t)(len + 8));
    assert_int_equal (frame_unpack (out, len + 8, &g, &err), 0);
}

static void test_frame_refused (void **state)
{
    (void)state;
    uint8_t out[FRAME_HEADER_MAX];
    frame_t g;
    dfs_error_t err;
    frame_t f = sample_frame ();
    f.offset = 1000;
    assert_int_equal (frame_unpack (out, frame_pack (&f, out), &g, &err), DFS_EPROTO);
    f = sample_frame ();
    f.length = 200;
    assert_int_equal (frame_unpack (out, frame_pack (&f, out), &g, &err), DFS_EPROTO);
    f = sample_frame ();
    f.offset = UINT64_MAX - DIGEST_BLOCK + 1;
    assert_int_equal (frame_unpack (out, frame_pack (&f, out), &g, &err), DFS_EPROTO);
    f = sample_frame ();
    f.stored_len = f.true_len = 1ULL << 40;
    assert_int_equal (frame_unpack (out, frame_pack (&f, out), &g, &err), DFS_EPROTO);
    f = sample_frame ();
    f.kind = FRAME_REFUSE;
    assert_int_equal (frame_unpack (out, frame_pack (&f, out), &g, &err), DFS_EPROTO);
    /* Every truncation and 100,000 random corruptions end in an answer, never past the
     * buffer (the sanitizer build watches). */
    f = sample_frame ();
    size_t len = frame_pack (&f, out);
    for (size_t n = 0; n < len; n++) {
        uint8_t *copy = malloc (n ? n : 1);
        memcpy (copy, out, n);
        assert_true (frame_unpack (copy, n, &g, &err) < 0);
        free (copy);
    }
    rng_t rng;
    rng_seed (&rng, 1);
    unsigned accepted = 0;
    for (int i = 0; i < 100000; i++) {
        uint8_t *copy = malloc (len);
        memcpy (copy, out, len);
        for (uint64_t n = 1 + rng_below (&rng, 4); n > 0; n--)
            copy[rng_below (&rng, len)] = (uint8_t)rng_next (&rng);
        if (frame_unpack (copy, len, &g, &err) == 0) {
            accepted++;
            assert_true (g.length <= FRAME_MAX && g.n_crcs <= FRAME_BLOCKS &&
                         g.grant_len <= FRAME_GRANT_MAX);
        }
        free (copy);
    }
    assert_true (accepted > 0); /* it reached the code behind the first checks */
}

static void test_grant (void **state)
{
    (void)state;
    uint8_t key[32] = {1}, other[32] = {2}, out[GRANT_LEN_MAX];
    grant_t g = {.key_id = 5,
                 .upload = 6,
                 .length = 4096,
                 .birth = 77,
                 .expiry_ns = 88,
                 .incarnation = 1,
                 .term = 3,
                 .order = 9,
                 .n_targets = 3,
                 .targets = {10, 11, 12}};
    size_t len = grant_pack (&g, key, out);
    assert_true (len <= FRAME_GRANT_MAX);
    uint32_t id;
    assert_int_equal (grant_key_id (out, len, &id), 0);
    assert_int_equal (id, 5);
    grant_t h;
    assert_int_equal (grant_unpack (out, len, key, &h, NULL), 0);
    assert_true (h.upload == 6 && h.length == 4096 && h.birth == 77 &&
                 h.expiry_ns == 88 && h.term == 3 && h.order == 9 && h.n_targets == 3 &&
                 h.targets[2] == 12);
    assert_int_equal (grant_unpack (out, len, other, &h, NULL), DFS_EAUTH);
    assert_int_equal (grant_unpack (out, len - 1, key, &h, NULL), DFS_EPROTO);
    for (size_t i = 0; i < len; i++) {
        out[i] ^= 0x10;
        assert_true (grant_unpack (out, len, key, &h, NULL) < 0);
        out[i] ^= 0x10;
    }
}

static void test_handle (void **state)
{
    (void)state;
    uint8_t key[32] = {1}, out[HANDLE_LEN];
    handle_t h = {.user = 1, .inode = 2, .version = 3, .expiry_ns = 4}, g;
    handle_pack (&h, key, out);
    assert_int_equal (handle_unpack (out, sizeof out, key, &g, NULL), 0);
    assert_true (g.user == 1 && g.inode == 2 && g.version == 3 && g.expiry_ns == 4);
    for (size_t i = 0; i < sizeof out; i++) {
        out[i] ^= 1;
        assert_true (handle_unpack (out, sizeof out, key, &g, NULL) < 0);
        out[i] ^= 1;
    }
}

static void test_copykey (void **state)
{
    (void)state;
    copykey_t a = {.domain = 1, .part = 2}, b;
    memset (a.digest, 0x5c, 32);
    uint8_t out[COPYKEY_LEN];
    copykey_pack (&a, out);
    copykey_unpack (out, &b);
    assert_int_equal (copykey_cmp (&a, &b), 0);
    b.part = 3;
    uint8_t other[COPYKEY_LEN];
    copykey_pack (&b, other);
    assert_true (copykey_cmp (&a, &b) < 0 && memcmp (out, other, COPYKEY_LEN) < 0);
    char text[COPYKEY_TEXT];
    copykey_text (&a, text);
    assert_int_equal (strlen (text), 2 + 64 + 2);
}

static void test_path (void **state)
{
    (void)state;
    char out[PATH_MAX_LEN + 1];
    assert_int_equal (path_normalise ("//a///b c/", 10, out, NULL), 6);
    assert_string_equal (out, "/a/b c");
    assert_int_equal (path_normalise ("/", 1, out, NULL), 1);
    assert_int_equal (path_normalise ("a", 1, out, NULL), DFS_EINVAL);
    assert_int_equal (path_normalise ("", 0, out, NULL), DFS_EINVAL);
    assert_int_equal (path_normalise ("/a/../b", 7, out, NULL), DFS_EINVAL);
    assert_int_equal (path_normalise ("/a/.", 4, out, NULL), DFS_EINVAL);
    assert_int_equal (path_normalise ("/a\0b", 4, out, NULL), DFS_EINVAL);
    char longest[300] = "/";
    memset (longest + 1, 'n', 255);
    assert_int_equal (path_normalise (longest, 256, out, NULL), 256);
    longest[256] = 'n';
    assert_int_equal (path_normalise (longest, 257, out, NULL), DFS_ENAMETOOLONG);
    size_t parent, name_len;
    const char *name;
    path_split ("/a/b", 4, &parent, &name, &name_len);
    assert_true (parent == 2 && name_len == 1 && name[0] == 'b');
    path_split ("/a", 2, &parent, &name, &name_len);
    assert_true (parent == 1 && name_len == 1 && name[0] == 'a');
    path_split ("/", 1, &parent, &name, &name_len);
    assert_int_equal (name_len, 0);
    char text[64];
    assert_string_equal (path_escape ("a\xff\n\\\xc3\xa9", 6, text, sizeof text),
                         "a\\xff\\x0a\\\\\xc3\xa9");
}

static void test_keys (void **state)
{
    (void)state;
    char dir[] = "/tmp/dfs-keys-XXXXXX";
    assert_non_null (mkdtemp (dir));
    keypair_t a, b;
    dfs_error_t err;
    assert_int_equal (keys_generate (&a), 0);
    assert_int_equal (keys_save (dir, "worker", "w1", &a, &err), 0);
    assert_int_equal (keys_load_secret (dir, "worker", "w1", &b, &err), 0);
    assert_memory_equal (&a, &b, sizeof a);
    assert_int_equal (keys_load_public (dir, "worker", "w1", &b, &err), 0);
    assert_memory_equal (a.public_key, b.public_key, 32);
    assert_string_equal (b.secret_text, "");
    assert_int_equal (keys_load_secret (dir, "worker", "w2", &b, &err), DFS_ENOENT);
    char path[96];
    snprintf (path, sizeof path, "%s/worker-w1_secret", dir);
    chmod (path, 0644);
    assert_int_equal (keys_load_secret (dir, "worker", "w1", &b, &err), DFS_EAUTH);
    uint8_t hmac[32] = {9, 8, 7}, again[32];
    assert_int_equal (keys_hmac_save (dir, hmac, &err), 0);
    assert_int_equal (keys_hmac_load (dir, again, &err), 0);
    assert_memory_equal (hmac, again, 32);
    uint8_t grant[32], handle[32];
    keys_derive (hmac, KEYS_GRANT, grant);
    keys_derive (hmac, KEYS_HANDLE, handle);
    assert_memory_not_equal (grant, handle, 32);
    assert_memory_not_equal (grant, hmac, 32);
    unlink (path);
    snprintf (path, sizeof path, "%s/worker-w1", dir);
    unlink (path);
    snprintf (path, sizeof path, "%s/cluster-hmac", dir);
    unlink (path);
    assert_int_equal (rmdir (dir), 0);
}

static void test_mark (void **state)
{
    (void)state;
    char top[] = "/tmp/dfs-mark-XXXXXX";
    assert_non_null (mkdtemp (top));
    char dir[64], path[96];
    snprintf (dir, sizeof dir, "%s/data/w1", top);
    mark_t m = {.cluster_id = {1}, .disk_id = {2}, .role = "worker", .node = "w1"}, n;
    uint8_t other[16] = {9};
    dfs_error_t err;
    assert_int_equal (mark_read (dir, &n, &err), DFS_ENOTMARKED);
    assert_non_null (strstr (err.text, dir));
    assert_int_equal (mark_create (dir, &m, &err), 0);
    assert_int_equal (mark_create (dir, &m, &err), DFS_EEXIST);
    assert_int_equal (mark_expect (dir, m.cluster_id, "worker", "w1", &n, &err), 0);
    assert_memory_equal (n.disk_id, m.disk_id, 16);
    assert_int_equal (mark_expect (dir, other, "worker", "w1", &n, &err), DFS_ECLUSTER);
    assert_int_equal (mark_expect (dir, m.cluster_id, "worker", "w2", &n, &err),
                      DFS_ECLUSTER);
    snprintf (path, sizeof path, "%s/dfs-mark", dir);
    FILE *f = fopen (path, "w");
    fputs ("dfs 99\n", f);
    fclose (f);
    assert_int_equal (mark_read (dir, &n, &err), DFS_EVERSION);
    f = fopen (path, "w");
    fputs ("garbage", f);
    fclose (f);
    assert_int_equal (mark_read (dir, &n, &err), DFS_EDAMAGED);
    unlink (path);
    rmdir (dir);
    snprintf (path, sizeof path, "%s/data", top);
    rmdir (path);
    assert_int_equal (rmdir (top), 0);
}

static void test_check_extents (void **state)
{
    (void)state;
    uint8_t digest[32] = {0};
    Dfs__Extent a = DFS__EXTENT__INIT, b = DFS__EXTENT__INIT;
    a.kind = b.kind = DFS__EXTENT_KIND__EXTENT_CHUNK;
    a.has_digest = b.has_digest = 1;
    a.digest.data = b.digest.data = digest;
    a.digest.len = b.digest.len = 32;
    a.has_chunk_length = b.has_chunk_length = 1;
    a.length = a.chunk_length = 100;
    b.offset = 100;
    b.length = b.chunk_length = 50;
    Dfs__Extent *list[2] = {&a, &b};
    uint64_t end;
    assert_int_equal (check_extents (list, 2, 0, &end, NULL), 0);
    assert_int_equal (end, 150);
    b.offset = 99;
    assert_int_equal (check_extents (list, 2, 0, &end, NULL), DFS_EPROTO);
    b.offset = 100;
    b.length = 51;
    assert_int_equal (check_extents (list, 2, 0, &end, NULL), DFS_EPROTO);
    b.length = 50;
    b.has_chunk_offset = 1;
    b.chunk_offset = UINT64_MAX;
    assert_int_equal (check_extents (list, 2, 0, &end, NULL), DFS_EPROTO);
    b.chunk_offset = 0;
    b.digest.len = 31;
    assert_int_equal (check_extents (list, 2, 0, &end, NULL), DFS_EPROTO);
    b.digest.len = 32;
    b.length = 0;
    assert_int_equal (check_extents (list, 2, 0, &end, NULL), DFS_EPROTO);
    b.kind = DFS__EXTENT_KIND__EXTENT_HOLE;
    b.length = 50;
    assert_int_equal (check_extents (list, 2, 0, &end, NULL), DFS_EPROTO);
}

static void test_check_op (void **state)
{
    (void)state;
    Dfs__Op op = DFS__OP__INIT;
    assert_int_equal (check_op (&op, false, NULL), DFS_EPROTO);
    Dfs__OpPrune prune = DFS__OP_PRUNE__INIT;
    op.op_case = DFS__OP__OP_PRUNE;
    op.prune = &prune;
    assert_int_equal (check_op (&op, false, NULL), DFS_EPERM);
    assert_int_equal (check_op (&op, true, NULL), 0);
    Dfs__OpMkdir mkdir_op = DFS__OP_MKDIR__INIT;
    char path[] = "/a/../b";
    mkdir_op.path.data = (uint8_t *)path;
    mkdir_op.path.len = 7;
    op.op_case = DFS__OP__OP_MKDIR;
    op.mkdir = &mkdir_op;
    assert_int_equal (check_op (&op, false, NULL), DFS_EINVAL);
    mkdir_op.path.len = 2;
    assert_int_equal (check_op (&op, false, NULL), 0);
    mkdir_op.has_mode = 1;
    mkdir_op.mode = 0100000;
    assert_int_equal (check_op (&op, false, NULL), DFS_EPROTO);
    assert_int_equal (check_text ("w1", 16, "name", NULL), 0);
    assert_int_equal (check_text ("w\x1b[1", 16, "name", NULL), DFS_EPROTO);
    assert_int_equal (check_text ("", 16, "name", NULL), DFS_EPROTO);
    assert_int_equal (check_text ("12345", 4, "name", NULL), DFS_EPROTO);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_frame),         cmocka_unit_test (test_frame_refused),
        cmocka_unit_test (test_grant),         cmocka_unit_test (test_handle),
        cmocka_unit_test (test_copykey),       cmocka_unit_test (test_path),
        cmocka_unit_test (test_keys),          cmocka_unit_test (test_mark),
        cmocka_unit_test (test_check_extents), cmocka_unit_test (test_check_op),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("msgs", tests, NULL, NULL);
}
