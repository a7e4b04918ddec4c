/* SPDX-License-Identifier: MPL-2.0 */
/* Chunks without references: free, condemned, dropped, forgotten; what lifts the mark
 * and what a late commit is told. */
#include <string.h>

#include "common/dfs_error.h"
#include "t/unit/ns_fixture.h"

static uint8_t packed[26][COPYKEY_LEN];

static ProtobufCBinaryData key_of (char tag)
{
    copykey_t key = {0};
    uint8_t *at = packed[tag - 'a'];

    ns_digest (tag, key.digest);
    copykey_pack (&key, at);
    return (ProtobufCBinaryData){.len = COPYKEY_LEN, .data = at};
}

static int condemn (ns_fixture_t *fx, char tag)
{
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpCondemn condemn = DFS__OP_CONDEMN__INIT;
    Dfs__CondemnItem item = DFS__CONDEMN_ITEM__INIT, *items = &item;

    item.key = key_of (tag);
    item.has_length = true;
    item.length = 1000;
    condemn.items = &items;
    condemn.n_items = 1;
    op.op_case = DFS__OP__OP_CONDEMN;
    op.condemn = &condemn;
    return ns_code (ns_apply (fx, &op));
}

static int drop (ns_fixture_t *fx, Dfs__DropWhy why, char tag, uint32_t worker,
                 uint64_t limit, uint32_t *keep, size_t n_keep)
{
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpDrop drop = DFS__OP_DROP__INIT;
    Dfs__DropItem item = DFS__DROP_ITEM__INIT, *items = &item;

    item.key = key_of (tag);
    item.worker = worker;
    item.birth_limit = limit;
    item.keep = keep;
    item.n_keep = n_keep;
    drop.why = why;
    drop.items = &items;
    drop.n_items = 1;
    op.op_case = DFS__OP__OP_DROP;
    op.drop = &drop;
    return ns_code (ns_apply (fx, &op));
}

static int dropped (ns_fixture_t *fx, char tag, uint32_t worker, uint64_t limit)
{
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpDropped done = DFS__OP_DROPPED__INIT;
    Dfs__DropItem item = DFS__DROP_ITEM__INIT, *items = &item;

    item.key = key_of (tag);
    item.worker = worker;
    item.birth_limit = limit;
    done.items = &items;
    done.n_items = 1;
    op.op_case = DFS__OP__OP_DROPPED;
    op.dropped = &done;
    return ns_code (ns_apply (fx, &op));
}

static int forget (ns_fixture_t *fx, char tag)
{
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpForget forget = DFS__OP_FORGET__INIT;
    ProtobufCBinaryData key = key_of (tag);

    forget.keys = &key;
    forget.n_keys = 1;
    op.op_case = DFS__OP__OP_FORGET;
    op.forget = &forget;
    return ns_code (ns_apply (fx, &op));
}

static bool recorded (ns_fixture_t *fx, char tag, chunk_facts_t *facts)
{
    copykey_t key = {0};
    int rc;

    ns_digest (tag, key.digest);
    rc = namespace_chunk (fx->ns, &key, facts, NULL);
    assert_true (rc >= 0);
    return rc == 1;
}

static uint64_t limit_of (ns_fixture_t *fx, char tag, uint32_t worker)
{
    copykey_t key = {0};

    ns_digest (tag, key.digest);
    return namespace_drop_limit (fx->ns, &key, worker);
}

static size_t rows (ns_fixture_t *fx, enum reclaim_list list)
{
    reclaim_row_t out[16], more[16];
    int n = namespace_reclaim_rows (fx->ns, list, NULL, out, 16, NULL);

    assert_true (n >= 0);
    /* The same row by row. */
    for (int i = 0; i + 1 < n; i++) {
        assert_int_equal (namespace_reclaim_rows (fx->ns, list, &out[i], more, 1, NULL),
                          1);
        assert_int_equal (copykey_cmp (&more[0].key, &out[i + 1].key), 0);
    }
    return (size_t)n;
}

static int put_placed (ns_fixture_t *fx, const char *path, const char *tags,
                       uint64_t placed)
{
    Dfs__OpCommit *commit = ns_commit_op (fx, "cr", path, tags);

    commit->has_placed_index = true;
    commit->placed_index = placed;
    return ns_code (ns_commit (fx, commit));
}

static void a_chunk_goes_step_by_step (void **state)
{
    ns_fixture_t *fx = *state;
    const namespace_effect_t *effects;
    chunk_facts_t facts;
    uint64_t c;

    assert_ok (ns_put (fx, "c", "/f", "ab"));
    assert_ok (ns_put (fx, "c", "/g", "b"));
    assert_ok (ns_rm (fx, "/f"));
    /* The past still has it. */
    assert_int_equal (rows (fx, LIST_FREE), 0);
    assert_ok (condemn (fx, 'a'));
    assert_true (recorded (fx, 'a', &facts));
    assert_int_equal (facts.condemned, 0);
    assert_ok (ns_code (ns_prune (fx, fx->time, 1000)));
    assert_int_equal (ns_refs (fx, 'a'), 0);
    assert_int_equal (ns_refs (fx, 'b'), 1);
    assert_true (recorded (fx, 'a', &facts));
    assert_int_equal (facts.freed, namespace_applied (fx->ns));
    assert_int_equal (rows (fx, LIST_FREE), 1);
    /* Nothing is dropped that was not condemned. */
    assert_ok (drop (fx, DFS__DROP_WHY__DROP_RECLAIM, 'a', 1, 5, NULL, 0));
    assert_int_equal (rows (fx, LIST_DROPS), 0);
    assert_ok (condemn (fx, 'a'));
    c = namespace_applied (fx->ns);
    assert_int_equal (namespace_effects (fx->ns, &effects), 1);
    assert_int_equal (effects[0].kind, EFFECT_CONDEMNED);
    assert_int_equal (effects[0].index, c);
    assert_int_equal (rows (fx, LIST_FREE), 0);
    assert_int_equal (rows (fx, LIST_CONDEMNED), 1);
    assert_true (recorded (fx, 'a', &facts));
    assert_int_equal (facts.condemned, c);
    /* Only copies born before the condemnation. */
    assert_ok (drop (fx, DFS__DROP_WHY__DROP_RECLAIM, 'a', 1, c + 1, NULL, 0));
    assert_int_equal (rows (fx, LIST_DROPS), 0);
    assert_ok (drop (fx, DFS__DROP_WHY__DROP_RECLAIM, 'a', 1, c, NULL, 0));
    assert_ok (drop (fx, DFS__DROP_WHY__DROP_RECLAIM, 'a', 2, c, NULL, 0));
    assert_int_equal (limit_of (fx, 'a', 1), c);
    assert_int_equal (limit_of (fx, 'b', 1), 0);
    ns_reopen (fx, false);
    assert_int_equal (limit_of (fx, 'a', 2), c);
    assert_int_equal (rows (fx, LIST_DROPS), 2);
    assert_ok (forget (fx, 'a'));
    assert_true (recorded (fx, 'a', &facts));
    assert_ok (dropped (fx, 'a', 1, c));
    assert_ok (
        dropped (fx, 'a', 2, c - 1)); /* an older order than the one that is out */
    assert_int_equal (rows (fx, LIST_DROPS), 1);
    assert_ok (dropped (fx, 'a', 2, c));
    assert_ok (forget (fx, 'a'));
    assert_false (recorded (fx, 'a', &facts));
    assert_int_equal (rows (fx, LIST_CONDEMNED), 0);
    /* Who was answered before it went has to ask again. */
    assert_code (put_placed (fx, "/h", "a", c - 1), DFS_EMISSING);
    assert_ok (put_placed (fx, "/h", "a", c + 1));
    assert_int_equal (ns_refs (fx, 'a'), 1);
}

static void a_reference_lifts_the_mark (void **state)
{
    ns_fixture_t *fx = *state;
    chunk_facts_t facts;
    uint64_t c;

    assert_ok (ns_put (fx, "c", "/f", "a"));
    assert_ok (ns_rm (fx, "/f"));
    assert_ok (ns_code (ns_prune (fx, fx->time, 1000)));
    assert_ok (condemn (fx, 'a'));
    c = namespace_applied (fx->ns);
    assert_code (put_placed (fx, "/f", "a", c - 1), DFS_EMISSING);
    assert_ok (put_placed (fx, "/f", "a", c));
    assert_true (recorded (fx, 'a', &facts));
    assert_int_equal (facts.condemned, 0);
    assert_int_equal (facts.refs, 1);
    assert_int_equal (rows (fx, LIST_CONDEMNED), 0);
    /* An order that was on its way finds that it has no reason. */
    assert_ok (drop (fx, DFS__DROP_WHY__DROP_RECLAIM, 'a', 1, c, NULL, 0));
    assert_ok (forget (fx, 'a'));
    assert_int_equal (rows (fx, LIST_DROPS), 0);
    assert_int_equal (ns_refs (fx, 'a'), 1);
    /* A free one that is used again is free no longer. */
    assert_ok (ns_rm (fx, "/f"));
    assert_ok (ns_code (ns_prune (fx, fx->time, 1000)));
    assert_int_equal (rows (fx, LIST_FREE), 1);
    assert_ok (put_placed (fx, "/f", "a", c));
    assert_int_equal (rows (fx, LIST_FREE), 0);
}

static void unknown_ones_get_a_record (void **state)
{
    ns_fixture_t *fx = *state;
    chunk_facts_t facts;
    uint64_t c;

    assert_ok (condemn (fx, 'z'));
    c = namespace_applied (fx->ns);
    assert_true (recorded (fx, 'z', &facts));
    assert_int_equal (facts.length, 1000);
    assert_code (put_placed (fx, "/f", "z", c - 1), DFS_EMISSING);
    /* Again, for copies that are younger. */
    assert_ok (condemn (fx, 'z'));
    assert_true (recorded (fx, 'z', &facts));
    assert_int_equal (facts.condemned, c + 2);
    assert_int_equal (rows (fx, LIST_CONDEMNED), 1);
    assert_ok (drop (fx, DFS__DROP_WHY__DROP_RECLAIM, 'z', 7, c + 2, NULL, 0));
    assert_ok (dropped (fx, 'z', 7, c + 2));
    assert_ok (forget (fx, 'z'));
    assert_false (recorded (fx, 'z', &facts));
}

static void a_trim_needs_what_is_asked_for (void **state)
{
    ns_fixture_t *fx = *state;
    uint32_t keep[] = {2, 3, 3, 1};
    const int TRIM = DFS__DROP_WHY__DROP_TRIM;

    assert_ok (ns_put (fx, "c", "/f", "a"));
    assert_ok (drop (fx, TRIM, 'a', 1, 9, keep, 1));
    assert_ok (drop (fx, TRIM, 'a', 1, 9, keep + 1, 2)); /* twice the same */
    assert_ok (drop (fx, TRIM, 'a', 1, 9, keep + 2, 2)); /* the one that goes */
    assert_ok (drop (fx, TRIM, 'b', 1, 9, keep, 2));     /* no such chunk */
    assert_int_equal (rows (fx, LIST_DROPS), 0);
    assert_ok (drop (fx, TRIM, 'a', 1, 9, keep, 2));
    assert_int_equal (limit_of (fx, 'a', 1), 9);
    /* The one that is leaving is counted on by nobody. */
    keep[2] = 1;
    assert_ok (drop (fx, TRIM, 'a', 2, 9, keep + 1, 2));
    assert_int_equal (rows (fx, LIST_DROPS), 1);
    assert_ok (dropped (fx, 'a', 1, 9));
    assert_int_equal (limit_of (fx, 'a', 1), 0);
}

static void undone_and_held (void **state)
{
    ns_fixture_t *fx = *state;
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpUncondemn undo = DFS__OP_UNCONDEMN__INIT;
    Dfs__OpReclaimHold hold = DFS__OP_RECLAIM_HOLD__INIT;
    static char why[] = "too much is unknown";
    chunk_facts_t facts;
    reclaim_hold_t held;

    for (char tag = 'a'; tag < 'i'; tag++)
        assert_ok (condemn (fx, tag));
    undo.max_records = 10;
    op.op_case = DFS__OP__OP_UNCONDEMN;
    op.uncondemn = &undo;
    for (int i = 0; i < 8 && rows (fx, LIST_CONDEMNED) > 0; i++)
        assert_ok (ns_code (ns_apply (fx, &op)));
    assert_int_equal (rows (fx, LIST_CONDEMNED), 0);
    assert_int_equal (rows (fx, LIST_FREE), 8);
    assert_true (recorded (fx, 'c', &facts));
    assert_int_equal (facts.condemned, 0);
    namespace_reclaim_hold (fx->ns, &held);
    assert_false (held.held);
    hold.held = true;
    hold.why = why;
    op.op_case = DFS__OP__OP_RECLAIM_HOLD;
    op.reclaim_hold = &hold;
    assert_ok (ns_code (ns_apply (fx, &op)));
    ns_reopen (fx, false);
    namespace_reclaim_hold (fx->ns, &held);
    assert_true (held.held);
    assert_string_equal (held.why, why);
    assert_int_equal (held.index, namespace_applied (fx->ns));
}

/* Files of more extents than an entry may touch are freed over several. */
static void freed_in_pieces (void **state)
{
    ns_fixture_t *fx = *state;
    char tags[27];

    for (int i = 0; i < 26; i++)
        tags[i] = (char)('a' + i);
    tags[26] = 0;
    assert_ok (ns_put (fx, "c", "/f", tags));
    assert_ok (ns_rm (fx, "/f"));
    for (int i = 0; i < 40 && rows (fx, LIST_FREE) < 16; i++) {
        assert_ok (ns_code (ns_prune (fx, fx->time, 16)));
        assert_int_equal (ns_faults (fx), 0);
    }
    assert_int_equal (rows (fx, LIST_FREE), 16);
}

static int between (ns_fixture_t *fx, char tag, size_t digits, copykey_t *out)
{
    uint8_t from[32] = {0}, to[32];

    memset (to, 0xff, sizeof to);
    if (tag) {
        uint8_t digest[32];
        ns_digest (tag, digest);
        memcpy (from, digest, digits);
        memcpy (to, digest, digits);
    }
    return namespace_chunks_between (fx->ns, from, to, out, 4, NULL);
}

static uint64_t since (ns_fixture_t *fx, char tag)
{
    copykey_t key = {0};
    chunk_facts_t facts;

    ns_digest (tag, key.digest);
    assert_true (recorded (fx, tag, &facts));
    return namespace_chunk_since (fx->ns, &key, &facts);
}

static void what_a_person_asks_of_a_chunk (void **state)
{
    ns_fixture_t *fx = *state;
    namespace_totals_t totals;
    copykey_t out[4];
    uint8_t digest[32];

    assert_ok (ns_put (fx, "c", "/f", "abc"));
    assert_int_equal (between (fx, 0, 0, out), 3);
    assert_int_equal (between (fx, 'b', 8, out), 1);
    ns_digest ('b', digest);
    assert_memory_equal (out[0].digest, digest, 32);
    assert_int_equal (between (fx, 'd', 8, out), 0);
    assert_int_equal (since (fx, 'b'), 0);
    assert_ok (ns_rm (fx, "/f"));
    assert_ok (ns_code (ns_prune (fx, fx->time + SECOND, 1000)));
    uint64_t freed = since (fx, 'b');
    assert_int_equal (freed, namespace_time (fx->ns));
    assert_ok (condemn (fx, 'b'));
    assert_int_equal (since (fx, 'b'), namespace_time (fx->ns));
    assert_true (since (fx, 'b') > freed);
    assert_int_equal (since (fx, 'c'), freed);
    namespace_totals (fx->ns, &totals);
    assert_int_equal (totals.reclaimed, 0);
    assert_ok (forget (fx, 'b'));
    namespace_totals (fx->ns, &totals);
    assert_int_equal (totals.reclaimed, 1);
    assert_int_equal (totals.reclaimed_bytes, 1000);
}

int main (void)
{
#define CASE(fn) cmocka_unit_test_setup_teardown (fn, ns_setup, ns_teardown)
    const struct CMUnitTest tests[] = {
        CASE (a_chunk_goes_step_by_step),
        CASE (a_reference_lifts_the_mark),
        CASE (unknown_ones_get_a_record),
        CASE (a_trim_needs_what_is_asked_for),
        CASE (undone_and_held),
        CASE (freed_in_pieces),
        CASE (what_a_person_asks_of_a_chunk),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("ns_reclaim", tests, NULL, NULL);
}
