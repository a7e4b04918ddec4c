/* SPDX-License-Identifier: MPL-2.0 */
/* Commits: contents, versions, appends, staged uploads and inline bytes. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/namespace/tables.h"
#include "ns_fixture.h"

static void creates_replaces_and_keeps_the_inode (void **state)
{
    ns_fixture_t *fx = *state;
    Dfs__OpResult *made = ns_commit (fx, ns_commit_op (fx, "c", "/f", "AB.A"));
    assert_ok (ns_code (made));
    assert_int_equal (made->size, 4000);
    assert_int_equal (made->version, namespace_applied (fx->ns));
    Dfs__Attr *attr = ns_stat (fx, "/f");
    assert_int_equal (attr->version, made->version);
    assert_int_equal (attr->size, 4000);
    assert_int_equal (attr->chunks, 3);
    assert_int_equal (attr->mode, 0644);
    assert_int_equal (attr->mtime_ns, fx->time);
    assert_string_equal (ns_content (fx, "/f"), "AB.A");
    assert_int_equal (ns_refs (fx, 'A'), 2);
    assert_code (ns_put (fx, "c", "/f", "C"), DFS_EEXIST);
    assert_int_equal (ns_refs (fx, 'C'), 0);
    assert_ok (ns_put (fx, "r", "/f", "C"));
    assert_int_equal (ns_stat (fx, "/f")->inode, made->inode);
    assert_string_equal (ns_content (fx, "/f"), "C");
    assert_string_equal (ns_content_of (fx, made->inode, made->version), "AB.A");
    assert_code (ns_put (fx, "r", "/none", "C"), DFS_ENOENT);
    assert_code (ns_put (fx, "a", "/none", "C"), DFS_ENOENT);
    assert_code (ns_put (fx, "", "/f", "C"), DFS_EINVAL);
    assert_ok (ns_put (fx, "c", "/empty", ""));
    assert_string_equal (ns_content (fx, "/empty"), "");
    assert_ok (ns_mkdir (fx, "/d"));
    assert_code (ns_put (fx, "cr", "/d", "A"), DFS_EISDIR);
    assert_code (ns_put (fx, "cr", "/", "A"), DFS_EISDIR);
    assert_code (ns_put (fx, "c", "/f/x", "A"), DFS_ENOTDIR);
}

static void compares_versions (void **state)
{
    ns_fixture_t *fx = *state;
    Dfs__OpCommit *c = ns_commit_op (fx, "cr", "/f", "A");
    set_field (c, expected_version, 5);
    assert_code (ns_code (ns_commit (fx, c)), DFS_ECONFLICT);
    c->expected_version = 0; /* must not be there */
    Dfs__OpResult *first = ns_commit (fx, c);
    assert_ok (ns_code (first));
    assert_code (ns_code (ns_commit (fx, c)), DFS_ECONFLICT);
    c->expected_version = first->version;
    assert_ok (ns_code (ns_commit (fx, c)));
    assert_code (ns_code (ns_commit (fx, c)), DFS_ECONFLICT);
}

static void refuses_malformed_extents (void **state)
{
    ns_fixture_t *fx = *state;
    for (int i = 0; i < 10; i++) {
        Dfs__OpCommit *c = ns_commit_op (fx, "c", "/bad", "AB");
        Dfs__Extent *e = c->extents[1];
        switch (i) {
        case 0:
            e->offset = 1001;
            break;
        case 1:
            e->length = 0;
            break;
        case 2:
            e->has_digest = 0;
            break;
        case 3:
            e->digest.len = 31;
            break;
        case 4:
            e->chunk_length = 999;
            break;
        case 5:
            set_field (e, chunk_offset, UINT64_MAX);
            break;
        case 6:
            set_field (e, chunk_length, 1ULL << 40);
            break;
        case 7:
            e->kind = DFS__EXTENT_KIND__EXTENT_HOLE;
            break;
        case 8:
            c->size = 1999;
            break;
        case 9:
            set_field (c, policy, 9);
            break;
        }
        assert_code (ns_code (ns_commit (fx, c)), DFS_EINVAL);
    }
    assert_code (ns_stat_code (fx, "/bad"), DFS_ENOENT);
    assert_int_equal (ns_refs (fx, 'A'), 0);
    Dfs__OpCommit *c = ns_commit_op (fx, "cp", "/x/y", "A");
    c->extents[0]->length = 0;
    assert_code (ns_code (ns_commit (fx, c)), DFS_EINVAL);
    assert_code (ns_stat_code (fx, "/x"), DFS_ENOENT);
    /* a chunk has one length */
    assert_ok (ns_put (fx, "c", "/a", "A"));
    c = ns_commit_op (fx, "c", "/b", "A");
    set_field (c->extents[0], chunk_length, 2000);
    assert_code (ns_code (ns_commit (fx, c)), DFS_EINVAL);
}

static void counts_references_by_policy (void **state)
{
    ns_fixture_t *fx = *state;
    copykey_t key = {0};
    chunk_facts_t facts;
    ns_digest ('A', key.digest);
    assert_ok (ns_put (fx, "c", "/two", "A"));
    assert_int_equal (namespace_chunk (fx->ns, &key, &facts, NULL), 1);
    assert_int_equal (facts.replicas, 2);
    Dfs__OpCommit *c = ns_commit_op (fx, "c", "/three", "AA");
    set_field (c, policy, 2);
    assert_ok (ns_code (ns_commit (fx, c)));
    assert_int_equal (namespace_chunk (fx->ns, &key, &facts, NULL), 1);
    assert_int_equal (facts.replicas, 3);
    assert_int_equal (facts.refs, 3);
    assert_int_equal (facts.length, 1000);
    assert_ok (ns_rm (fx, "/three"));
    assert_ok (ns_code (ns_prune (fx, fx->time + SECOND, 1000)));
    assert_int_equal (namespace_chunk (fx->ns, &key, &facts, NULL), 1);
    assert_int_equal (facts.replicas, 2);
    assert_int_equal (facts.refs, 1);
}

static void a_file_keeps_its_policy (void **state)
{
    ns_fixture_t *fx = *state;
    Dfs__OpCommit *c = ns_commit_op (fx, "c", "/f", "A");
    set_field (c, policy, 2);
    assert_ok (ns_code (ns_commit (fx, c)));
    assert_code (ns_put (fx, "r", "/f", "B"), DFS_EPOLICY);
    c = ns_commit_op (fx, "r", "/f", "B");
    set_field (c, placed_policy, 2);
    assert_ok (ns_code (ns_commit (fx, c)));
    assert_int_equal (ns_stat (fx, "/f")->policy, 2);
    c = ns_commit_op (fx, "a", "/f", "C");
    assert_code (ns_code (ns_commit (fx, c)), DFS_EPOLICY);
    set_field (c, placed_policy, 2);
    assert_ok (ns_code (ns_commit (fx, c)));
    assert_ok (ns_put (fx, "r", "/f", "")); /* nothing was placed */
}

static void tree_hash_depends_on_extents_alone (void **state)
{
    ns_fixture_t *fx = *state;
    char all[1400];
    for (size_t i = 0; i < sizeof all - 1; i++)
        all[i] = (char)('A' + i % 26);
    all[sizeof all - 1] = 0;
    assert_ok (ns_put (fx, "c", "/whole", all));
    for (size_t done = 0, n = 1; done < sizeof all - 1; done += n, n = 1 + n * 7 % 97) {
        char part[128];
        if (n > sizeof all - 1 - done)
            n = sizeof all - 1 - done;
        memcpy (part, all + done, n);
        part[n] = 0;
        assert_ok (ns_put (fx, "ca", "/parts", part));
    }
    for (uint32_t page = 0; page < 3; page++) {
        char part[513];
        snprintf (part, sizeof part, "%.512s", all + 512 * page);
        assert_ok (ns_code (ns_stage (fx, 1, page, part, 512000 * page, 0)));
    }
    Dfs__OpCommit *c = ns_commit_op (fx, "c", "/staged", "");
    set_field (c, upload, 1);
    c->size = 1399000;
    assert_ok (ns_code (ns_commit (fx, c)));
    assert_string_equal (ns_content (fx, "/parts"), all);
    assert_string_equal (ns_content (fx, "/staged"), all);
    Dfs__Attr *whole = ns_stat (fx, "/whole");
    Dfs__Attr *parts = ns_stat (fx, "/parts");
    Dfs__Attr *staged = ns_stat (fx, "/staged");
    assert_memory_equal (whole->sha256_tree.data, parts->sha256_tree.data, 32);
    assert_memory_equal (whole->sha256_tree.data, staged->sha256_tree.data, 32);
    all[1398]++;
    assert_ok (ns_put (fx, "c", "/other", all));
    assert_memory_not_equal (whole->sha256_tree.data,
                             ns_stat (fx, "/other")->sha256_tree.data, 32);
}

static void appends_never_depend_on_each_other (void **state)
{
    ns_fixture_t *fx = *state;
    char want[3001] = "";
    for (int i = 0; i < 3000; i++) {
        char tag[2] = {(char)('A' + i % 20), 0};
        Dfs__OpResult *r = ns_commit (fx, ns_commit_op (fx, "ca", "/log", tag));
        assert_ok (ns_code (r));
        assert_int_equal (r->size, 1000 * (i + 1));
        want[i] = tag[0];
        if (i % 500 == 0)
            arena_reset (fx->arena);
    }
    assert_string_equal (ns_content (fx, "/log"), want);
    /* from the middle */
    Dfs__Attr *attr = ns_stat (fx, "/log");
    Dfs__Extent **extents;
    size_t n;
    bool more;
    assert_ok (namespace_extents (fx->ns, attr->inode, attr->version, 1234567, 10,
                                  fx->arena, &extents, &n, &more, NULL));
    assert_int_equal (n, 10);
    assert_true (more);
    assert_int_equal (extents[0]->offset, 1234000);
    assert_ok (namespace_extents (fx->ns, attr->inode, attr->version, 2995000, 10,
                                  fx->arena, &extents, &n, &more, NULL));
    assert_int_equal (n, 5);
    assert_false (more);
    assert_ok (namespace_extents (fx->ns, attr->inode, attr->version, 3000000, 10,
                                  fx->arena, &extents, &n, &more, NULL));
    assert_int_equal (n, 0);
    assert_code (namespace_extents (fx->ns, attr->inode, 1, 0, 10, fx->arena, &extents,
                                    &n, &more, NULL),
                 DFS_ESTALE);
    /* nothing of a version is left when its past is pruned */
    for (int i = 0; i < 100 && namespace_oldest_past (fx->ns) != UINT64_MAX; i++)
        assert_ok (ns_code (ns_prune (fx, fx->time + SECOND, 10000)));
    assert_int_equal (ns_refs (fx, 'A'), 150);
    assert_string_equal (ns_content (fx, "/log"), want);
    assert_ok (ns_put (fx, "a", "/log", ""));
    assert_string_equal (ns_content (fx, "/log"), want);
}

static void trees_of_pages_grow_at_the_right_edge (void **state)
{
    ns_fixture_t *fx = *state;
    fx->session = 5;
    for (uint32_t full = 64; full <= 4096;
         full *= 64) { /* an index page, then two levels */
        char path[16], want[9000] = "";
        snprintf (path, sizeof path, "/f%u", full);
        for (uint32_t i = 0; i < full; i++) {
            fx->done_below = fx->request;
            assert_ok (ns_code (ns_stage (fx, full, i, "AB", 2000ULL * i, 0)));
            memcpy (want + 2 * i, "AB", 3);
            if (i % 64 == 0)
                arena_reset (fx->arena);
        }
        Dfs__OpCommit *c = ns_commit_op (fx, "c", path, "");
        set_field (c, upload, full);
        c->size = 2000ULL * full;
        Dfs__OpResult *r = ns_commit (fx, c);
        assert_ok (ns_code (r));
        while (namespace_next_job (fx->ns))
            assert_ok (ns_code (ns_step (fx, namespace_next_job (fx->ns), 5000)));
        for (int i = 0; i < 200; i++) {
            assert_ok (ns_put (fx, "a", path, i % 50 ? "C" : "DEF"));
            strcat (want, i % 50 ? "C" : "DEF");
        }
        assert_string_equal (ns_content (fx, path), want);
        assert_int_equal (ns_refs (fx, 'D') > 0, 1);
        assert_int_equal (ns_faults (fx), 0);
        assert_ok (ns_rm (fx, path));
        while (namespace_oldest_past (fx->ns) != UINT64_MAX)
            assert_ok (ns_code (ns_prune (fx, fx->time + SECOND, 2000)));
        assert_int_equal (ns_refs (fx, 'A'), 0);
        assert_int_equal (fx->ns->counters[C_PAGES], 0);
    }
}

static void staged_uploads (void **state)
{
    ns_fixture_t *fx = *state;
    fx->session = 77;
    assert_ok (ns_code (ns_stage (fx, 5, 0, "AB", 0, 0)));
    assert_int_equal (ns_refs (fx, 'A'), 1);
    assert_ok (ns_code (ns_stage (fx, 5, 0, "AB", 0, 0)));
    assert_int_equal (ns_refs (fx, 'A'), 1);
    assert_code (ns_code (ns_stage (fx, 5, 0, "AC", 0, 0)), DFS_EEXIST);
    assert_code (ns_code (ns_stage (fx, 5, 0, "AB", 1000, 0)), DFS_EEXIST);
    assert_code (ns_code (ns_stage (fx, 5, 1, "AB", 2000, 2)), DFS_EINVAL);
    assert_code (ns_code (ns_stage (fx, 5, UPLOAD_PAGES, "A", 0, 0)), DFS_ETOOBIG);
    assert_code (ns_code (ns_stage (fx, 5, 1, "", 0, 0)), DFS_EINVAL);
    assert_ok (ns_code (ns_stage (fx, 5, 2, "E", 4000, 0)));
    Dfs__OpCommit *c = ns_commit_op (fx, "c", "/g", "");
    set_field (c, upload, 5);
    c->size = 5000;
    assert_code (ns_code (ns_commit (fx, c)), DFS_EINVAL); /* page 1 is missing */
    assert_ok (ns_code (ns_stage (fx, 5, 1, "CD", 2000, 0)));
    c->upload = 6;
    assert_code (ns_code (ns_commit (fx, c)), DFS_ENOENT);
    c->upload = 5;
    fx->session = 78;
    assert_code (ns_code (ns_commit (fx, c)), DFS_ENOENT); /* of another session */
    fx->session = 77;
    Dfs__OpCommit *tail = ns_commit_op (fx, "c", "/f", "FG");
    set_field (tail, upload, 5);
    assert_code (ns_code (ns_commit (fx, tail)), DFS_EINVAL); /* offsets */
    tail->n_extents = ns_extents (fx, "FG", 5000, &tail->extents, &tail->size);
    tail->size += 5000;
    assert_ok (ns_code (ns_commit (fx, tail)));
    assert_string_equal (ns_content (fx, "/f"), "ABCDEFG");
    assert_int_equal (ns_refs (fx, 'A'), 1);
    assert_code (ns_code (ns_commit (fx, c)), DFS_ENOENT);

    /* append of an upload, and one that is dropped */
    assert_ok (ns_code (ns_stage (fx, 9, 0, "XY", 0, 0)));
    Dfs__OpCommit *more = ns_commit_op (fx, "a", "/f", "");
    set_field (more, upload, 9);
    more->size = 2000;
    assert_ok (ns_code (ns_commit (fx, more)));
    assert_string_equal (ns_content (fx, "/f"), "ABCDEFGXY");
    assert_ok (ns_code (ns_stage (fx, 10, 0, "Z", 0, 0)));
    assert_int_equal (ns_refs (fx, 'Z'), 1);
    Dfs__OpUploadDrop drop = DFS__OP_UPLOAD_DROP__INIT;
    Dfs__Op op = DFS__OP__INIT;
    op.op_case = DFS__OP__OP_UPLOAD_DROP;
    op.upload_drop = &drop;
    drop.upload = 10;
    assert_ok (ns_code (ns_apply (fx, &op)));
    assert_int_equal (ns_refs (fx, 'Z'), 0);
    assert_code (ns_code (ns_apply (fx, &op)), DFS_ENOENT);
}

static void an_upload_follows_the_policy_of_its_file (void **state)
{
    ns_fixture_t *fx = *state;
    copykey_t key = {0};
    chunk_facts_t facts;
    ns_digest ('A', key.digest);
    assert_ok (ns_code (ns_stage (fx, 1, 0, "AB", 0, 0)));
    Dfs__OpCommit *c = ns_commit_op (fx, "c", "/f", "");
    set_field (c, upload, 1);
    set_field (c, policy, 2);
    c->size = 2000;
    assert_ok (ns_code (ns_commit (fx, c)));
    assert_int_equal (namespace_chunk (fx->ns, &key, &facts, NULL), 1);
    assert_int_equal (facts.replicas, 3);
    assert_int_equal (facts.refs, 1);
}

static void long_uploads_leave_a_job (void **state)
{
    ns_fixture_t *fx = *state;
    fx->session = 5;
    const uint32_t pages = UPLOAD_INLINE_PAGES + 300;
    char tags[513];
    memset (tags, 'A', 512);
    tags[512] = 0;
    for (uint32_t i = 0; i < pages; i++) {
        if (i % 64 == 0)
            arena_reset (fx->arena);
        fx->done_below = fx->request;
        assert_ok (ns_code (
            ns_stage (fx, 1, i, i < 8 ? tags : "A",
                      i < 8 ? 512000ULL * i : 4096000 + 1000ULL * (i - 8), 0)));
        assert_ok (ns_code (ns_stage (fx, 2, i, "B", 1000ULL * i, 0)));
    }
    Dfs__OpCommit *c = ns_commit_op (fx, "c", "/big", "");
    set_field (c, upload, 1);
    c->size = 4096000 + 1000ULL * (pages - 8);
    Dfs__OpResult *r = ns_commit (fx, c);
    assert_ok (ns_code (r));
    assert_true (r->job > 0);
    assert_int_equal (ns_refs (fx, 'A'), 4096 + pages - 8);
    assert_code (ns_code (ns_stage (fx, 1, 0, "A", 0, 0)), DFS_ESTALE);
    Dfs__OpUploadDrop drop = DFS__OP_UPLOAD_DROP__INIT;
    Dfs__Op op = DFS__OP__INIT;
    op.op_case = DFS__OP__OP_UPLOAD_DROP;
    op.upload_drop = &drop;
    drop.upload = 2;
    assert_ok (ns_code (ns_apply (fx, &op)));
    assert_int_equal (ns_faults (fx), 0);
    uint64_t job;
    int steps = 0;
    while ((job = namespace_next_job (fx->ns)) != 0) {
        assert_ok (ns_code (ns_step (fx, job, 500)));
        assert_true (++steps < 100);
    }
    assert_true (steps > 4);
    while (namespace_oldest_past (fx->ns) == 0) /* pages that wait for the reaper */
        assert_ok (ns_code (ns_prune (fx, 0, 500)));
    assert_int_equal (ns_refs (fx, 'B'), 0);
    assert_int_equal (ns_refs (fx, 'A'), 4096 + pages - 8);
    /* freed bit by bit: no entry writes more than it may */
    assert_ok (ns_rm (fx, "/big"));
    for (steps = 0; namespace_oldest_past (fx->ns) != UINT64_MAX; steps++) {
        assert_ok (ns_code (ns_prune (fx, fx->time + SECOND, 300)));
        assert_true (steps < 100);
        if (steps == 7)
            assert_int_equal (ns_faults (fx), 0);
    }
    assert_true (steps > 10);
    assert_int_equal (ns_refs (fx, 'A'), 0);
}

static void inline_bytes_are_counted_once (void **state)
{
    ns_fixture_t *fx = *state;
    namespace_totals_t totals;
    assert_code (ns_put (fx, "c", "/a", "1"), DFS_EMISSING); /* bytes did not come */
    Dfs__OpResult *r = ns_commit (fx, ns_commit_op (fx, "c", "/a", "12"));
    assert_int_equal (r->n_missing, 2);
    assert_int_equal (r->missing[0].len, 32);
    assert_ok (ns_put (fx, "ci", "/a", "1"));
    assert_ok (ns_put (fx, "c", "/b", "11")); /* known by now */
    assert_ok (ns_put (fx, "ci", "/c", "A1B2"));
    assert_string_equal (ns_content (fx, "/c"), "A1B2");
    namespace_totals (fx->ns, &totals);
    assert_int_equal (totals.inline_bytes, 20);
    assert_int_equal (totals.bytes_unique, 2020);
    uint8_t digest[32];
    const void *data;
    size_t len;
    ns_digest ('2', digest);
    assert_int_equal (namespace_inline (fx->ns, digest, &data, &len, NULL), 1);
    assert_int_equal (len, 10);
    assert_memory_equal (data, "2222222222", 10);
    ns_digest ('3', digest);
    assert_int_equal (namespace_inline (fx->ns, digest, &data, &len, NULL), 0);
    assert_ok (ns_put (fx, "ci", "/d", "345"));
    assert_code (ns_put (fx, "ci", "/e", "6"),
                 DFS_EQUOTA); /* 55 bytes are the budget */
    assert_ok (ns_rm (fx, "/d"));
    assert_code (ns_put (fx, "ci", "/e", "6"), DFS_EQUOTA); /* the past counts */
    assert_ok (ns_code (ns_prune (fx, fx->time + SECOND, 1000)));
    assert_ok (ns_put (fx, "ci", "/e", "6"));
}

static void inline_bytes_must_be_what_they_say (void **state)
{
    ns_fixture_t *fx = *state;
    Dfs__OpCommit *c = ns_commit_op (fx, "ci", "/a", "1");
    c->inline_[0]->data.data[3] ^= 1;
    assert_code (ns_code (ns_commit (fx, c)), DFS_EINVAL);
    c = ns_commit_op (fx, "ci", "/a", "1");
    c->extents[0]->length = 9;
    c->extents[0]->chunk_length = 9;
    c->size = 9;
    assert_code (ns_code (ns_commit (fx, c)), DFS_EINVAL);
    c = ns_commit_op (fx, "ci", "/a", "1");
    set_field (c->extents[0], domain, 4);
    assert_code (ns_code (ns_commit (fx, c)), DFS_EINVAL);
    c = ns_commit_op (fx, "ci", "/a", "1");
    uint8_t *big = arena_zalloc (fx->arena, 101);
    c->inline_[0]->data.data = big;
    c->inline_[0]->data.len = 101;
    digest_sha256 (big, 101, c->inline_[0]->digest.data);
    c->extents[0]->digest = c->inline_[0]->digest;
    c->extents[0]->length = c->extents[0]->chunk_length = c->size = 101;
    assert_code (ns_code (ns_commit (fx, c)), DFS_ETOOBIG);
}

static void clones_share_pages (void **state)
{
    ns_fixture_t *fx = *state;
    assert_ok (ns_put (fx, "c", "/a", "AB"));
    assert_ok (ns_cp (fx, "/a", "/b"));
    assert_int_equal (ns_refs (fx, 'A'), 1);
    assert_int_not_equal (ns_stat (fx, "/a")->inode, ns_stat (fx, "/b")->inode);
    assert_ok (ns_put (fx, "a", "/b", "C"));
    assert_string_equal (ns_content (fx, "/a"), "AB");
    assert_string_equal (ns_content (fx, "/b"), "ABC");
    assert_ok (ns_cp (fx, "/b", "/a"));
    assert_string_equal (ns_content (fx, "/a"), "ABC");
    assert_code (ns_cp (fx, "/a", "/a"), DFS_EINVAL);
    assert_code (ns_cp (fx, "/none", "/c"), DFS_ENOENT);
    assert_code (ns_cp (fx, "/", "/c"), DFS_EISDIR);
    assert_ok (ns_mkdir (fx, "/d"));
    assert_code (ns_cp (fx, "/a", "/d"), DFS_EISDIR);
    assert_ok (ns_symlink (fx, "a", "/link"));
    assert_ok (ns_cp (fx, "/link", "/copy"));
    assert_string_equal (ns_content (fx, "/copy"), "ABC");
    assert_ok (ns_rm (fx, "/a"));
    assert_ok (ns_rm (fx, "/b"));
    assert_ok (ns_rm (fx, "/copy"));
    assert_ok (ns_code (ns_prune (fx, fx->time + SECOND, 1000)));
    assert_int_equal (ns_refs (fx, 'A'), 0);
}

static void condemned_chunks_must_be_sent_again (void **state)
{
    ns_fixture_t *fx = *state;
    assert_ok (ns_put (fx, "c", "/a", "AB"));
    /* the mark, as the entry that condemns will leave it */
    copykey_t key = {0};
    uint8_t packed[COPYKEY_LEN];
    ns_digest ('A', key.digest);
    copykey_pack (&key, packed);
    uint64_t refs = 1;
    uint32_t policy = 1;
    Dfs__RecChunk chunk = DFS__REC_CHUNK__INIT;
    chunk.length = 1000;
    chunk.n_refs = chunk.n_policy = 1;
    chunk.refs = &refs;
    chunk.policy = &policy;
    set_field (&chunk, condemned, 50);
    op_t op = {.ns = fx->ns, .view = &fx->ns->view};
    assert_ok (
        table_write (&op, T_CHUNK, packed, sizeof packed, &chunk.base, PUT_ANY, NULL));

    Dfs__OpCommit *c = ns_commit_op (fx, "c", "/b", "BABA");
    set_field (c, placed_index, 49);
    Dfs__OpResult *r = ns_commit (fx, c);
    assert_code (ns_code (r), DFS_EMISSING);
    assert_true (r->n_missing >= 1);
    assert_memory_equal (r->missing[0].data, key.digest, 32);
    assert_code (ns_stat_code (fx, "/b"), DFS_ENOENT);
    c->placed_index = 51;
    assert_ok (ns_code (ns_commit (fx, c)));
    chunk_facts_t facts;
    assert_int_equal (namespace_chunk (fx->ns, &key, &facts, NULL), 1);
    assert_int_equal (facts.condemned, 0); /* lifted by the new reference */
}

int main (void)
{
#define TEST(f) cmocka_unit_test_setup_teardown (f, ns_setup, ns_teardown)
    const struct CMUnitTest tests[] = {
        TEST (creates_replaces_and_keeps_the_inode),
        TEST (compares_versions),
        TEST (refuses_malformed_extents),
        TEST (counts_references_by_policy),
        TEST (a_file_keeps_its_policy),
        TEST (tree_hash_depends_on_extents_alone),
        TEST (appends_never_depend_on_each_other),
        TEST (trees_of_pages_grow_at_the_right_edge),
        TEST (staged_uploads),
        TEST (an_upload_follows_the_policy_of_its_file),
        TEST (long_uploads_leave_a_job),
        TEST (inline_bytes_are_counted_once),
        TEST (inline_bytes_must_be_what_they_say),
        TEST (clones_share_pages),
        TEST (condemned_chunks_must_be_sent_again),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("namespace files", tests, NULL, NULL);
}
