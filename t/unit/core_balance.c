/* SPDX-License-Identifier: MPL-2.0 */
/* Rebalance: how much is moved at once by itself and when it was asked for, what
 * clients have to do with it, and what is said of its end; of whom surplus copies go.
 */
#include "t/unit/core_cluster.h"

#include <string.h>

#define ALL 0xfffffffeULL

static core_status_t status_of (const cluster_core_t *c)
{
    core_status_t status;

    core_status (c->core, &status);
    return status;
}

/* A term begins; nothing is being dropped. */
static void lead (cluster_core_t *c)
{
    event_t event = {.type = EVENT_RECLAIM_FOUND};
    const action_t *action;

    cluster_step (c, (event_t){.type = EVENT_ROLE, .u.role = {true, 3, 10}});
    for (size_t i = 0; (action = cluster_action (c, ACTION_LOOKUP_RECLAIM, i)); i++)
        if (action->u.reclaim.list == CORE_LIST_DROPS)
            event.u.reclaim.token = action->u.reclaim.token;
    assert_int_not_equal (event.u.reclaim.token, 0);
    cluster_step (c, event);
}

static void begin (cluster_core_t *c)
{
    cluster_make (c, NULL, 3, 2, 2, NULL);
    lead (c);
    while (c->scan.token > 0 && cluster_action (c, ACTION_SCAN_WORKER, 0))
        cluster_scanned (c);
    cluster_pass (c, 2 * SEC, ALL);
}

/* The question how much each worker holds. */
static uint64_t asked (const cluster_core_t *c)
{
    return cluster_want (c, ACTION_LOOKUP_BYTES)->u.bytes.token;
}

/* Its answer: workers 1, 2 and 3 hold so much of their 100 GiB. */
static void bytes (cluster_core_t *c, uint64_t token, uint64_t one, uint64_t two,
                   uint64_t three)
{
    core_bytes_t rows[3] = {{1, one}, {2, two}, {3, three}};
    event_t event = {.type = EVENT_BYTES_FOUND};

    event.u.bytes.token = token;
    event.u.bytes.rows = rows;
    event.u.bytes.n = 3;
    cluster_step (c, event);
}

/* The page that was asked for: eight chunks with copies on 1 and 2, and more behind. */
static void page (cluster_core_t *c, uint64_t from)
{
    core_chunk_t chunks[8];
    event_t event = {.type = EVENT_SCANNED};

    memset (chunks, 0, sizeof chunks);
    for (size_t i = 0; i < 8; i++) {
        chunks[i].key = cluster_key (from + i);
        chunks[i].refs = 1;
        chunks[i].length = 4 * MIB;
        chunks[i].replicas = 2;
        chunks[i].copies[chunks[i].n_copies++] = (core_copy_t){1, 1, false};
        chunks[i].copies[chunks[i].n_copies++] = (core_copy_t){2, 1, false};
    }
    event.u.scanned = (event_scanned_t){c->scan.token, DFS_OK, chunks, 8, true};
    cluster_step (c, event);
}

/* Copies that are on their way when SECONDS of it have passed; CLIENTS read. */
static uint64_t moves_in (unsigned seconds, bool ask, bool clients)
{
    cluster_core_t c;
    uint64_t token, moves;

    begin (&c);
    token = asked (&c);
    if (ask)
        cluster_step (&c, (event_t){.type = EVENT_REBALANCE});
    bytes (&c, token, 50 * GIB, 50 * GIB, 0);
    for (unsigned k = 0; k < 10 * seconds; k++) {
        if (clients)
            cluster_beat (&c, 2, CONDITION_OK, 0, 64 * MIB);
        if (c.scan.worker > 0 && c.scan.token > 0) {
            page (&c, 1 + 8 * k);
            if (!cluster_action (&c, ACTION_SCAN_WORKER, 0))
                c.scan.token = 0;
        }
        if (cluster_action (&c, ACTION_LOOKUP_BYTES, 0))
            bytes (&c, asked (&c), 50 * GIB, 50 * GIB, 0);
        c.now += 100 * MS;
        cluster_step (&c, (event_t){.type = EVENT_TICK});
        for (uint32_t id = 1; id <= 3 && k % 4 == 0; id++)
            if (id != 2 || !clients)
                cluster_beat (&c, id, CONDITION_OK, 0, 0);
    }
    moves = status_of (&c).rebalance_moves;
    cluster_free (&c);
    return moves;
}

/* 2 MiB/s for each worker by itself, an eighth of that beside clients; at once what may
 * be in the air when somebody asks for it. */
static void test_pace (void **state)
{
    (void)state;
    assert_in_range (moves_in (2, false, false), 2, 5);
    assert_in_range (moves_in (4, false, true), 1, 1);
    assert_true (moves_in (2, true, false) > 8);
    assert_true (moves_in (2, true, true) > 8);
}

static size_t said (const cluster_core_t *c)
{
    size_t n = 0;
    const action_t *action;

    for (size_t i = 0; (action = cluster_action (c, ACTION_LOG, i)); i++)
        n += strncmp (action->u.log.event, "rebalance_", 10) == 0;
    return n;
}

/* Nothing of the fullest worker may go anywhere else: that is an end, too, and is said
 * once, however often it is looked at again. */
static void test_stuck (void **state)
{
    cluster_core_t c;

    (void)state;
    begin (&c);
    assert_false (status_of (&c).rebalance_stuck);
    bytes (&c, asked (&c), 50 * GIB, 50 * GIB, 0);
    assert_int_equal (said (&c), 0);
    cluster_scanned (&c);
    assert_int_equal (said (&c), 1);
    assert_false (status_of (&c).rebalancing);
    assert_true (status_of (&c).rebalance_stuck);
    assert_int_equal (status_of (&c).fill_farthest_worker, 3);
    assert_int_equal (status_of (&c).fill_farthest / 10, 33);
    for (unsigned i = 0; i < 3; i++) {
        cluster_pass (&c, (60 * SEC << i) + SEC, ALL);
        assert_int_equal (said (&c), 0);
        bytes (&c, asked (&c), 50 * GIB, 50 * GIB, 0);
        assert_int_equal (said (&c), 0);
        cluster_scanned (&c);
        assert_int_equal (said (&c), 0);
    }
    assert_true (status_of (&c).rebalance_stuck);
    assert_true (status_of (&c).rebalance_ended_ns > 300 * SEC);
    /* Others have filled up. */
    cluster_step (&c, (event_t){.type = EVENT_REBALANCE});
    bytes (&c, asked (&c), 50 * GIB, 50 * GIB, 49 * GIB);
    assert_int_equal (said (&c), 1);
    assert_true (status_of (&c).rebalance_even);
    assert_int_equal (status_of (&c).rebalance_ended_ns, 0);
    assert_int_equal (status_of (&c).rebalance_looks, 5);
    cluster_free (&c);
}

/* Of equals that of the fullest worker goes: with each that goes it is another one. */
static void test_trimmed (void **state)
{
    enum { N = 12, COPIES = 5 };
    cluster_core_t c;
    core_config_t config = {.seed = 1, .trim_delay_ns = MS};
    core_chunk_t chunks[N];
    event_t event = {.type = EVENT_SCANNED};
    const action_t *action;

    (void)state;
    cluster_make (&c, &config, COPIES, 2, 2, NULL);
    memset (chunks, 0, sizeof chunks);
    for (uint32_t i = 0; i < N; i++) {
        chunks[i].key = cluster_key (1 + i);
        chunks[i].refs = 1;
        chunks[i].recorded = true;
        chunks[i].length = 4 * MIB;
        chunks[i].replicas = 2;
        for (uint32_t id = 1; id <= COPIES; id++)
            chunks[i].copies[chunks[i].n_copies++] = (core_copy_t){id, 50, false};
    }
    lead (&c);
    event.u.scanned = (event_scanned_t){c.scan.token, DFS_OK, chunks, N, false};
    cluster_step (&c, event);
    cluster_pass (&c, 100 * MS, ALL);
    event = (event_t){.type = EVENT_CHUNKS_FOUND};
    event.u.chunks.token = cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token;
    event.u.chunks.chunks = chunks;
    event.u.chunks.n = N;
    for (uint32_t id = 1; id <= COPIES; id++)
        cluster_beat (&c, id, CONDITION_OK, 10 * GIB, 0);
    cluster_step (&c, event);
    assert_int_equal (cluster_count (&c, ACTION_VERIFY_ORDER), COPIES);
    for (size_t i = 0; (action = cluster_action (&c, ACTION_VERIFY_ORDER, i)); i++)
        assert_in_range (action->u.verify_order.n, N - 3, N - 2);
    cluster_free (&c);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_pace),
        cmocka_unit_test (test_stuck),
        cmocka_unit_test (test_trimmed),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("core_balance", tests, NULL, NULL);
}
