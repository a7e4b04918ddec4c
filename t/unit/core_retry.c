/* SPDX-License-Identifier: MPL-2.0 */
/* Copies that do not come about: tried otherwise, given up when they are no necessity,
 * never multiplied. A small cluster is played: each order is answered as the test says,
 * each look-up and page with the copies that there are then. */
#include "t/unit/core_cluster.h"

#include <string.h>

#include "broker/core/chunks.h"
#include "broker/core/copier.h"
#include "broker/core/trim.h"

#define ALL   0xfffffffeULL
#define RACKS "r1/a", "r1/b", "r1/c", "r1/d", "r1/e", "r1/f", "r2/g"

typedef struct play {
    cluster_core_t c;
    uint64_t alive;
    uint64_t copies; /* of the one chunk, number 1 */
    uint32_t replicas;
    uint64_t refuse;     /* orders to these targets fail */
    int code;            /* with that; DFS_ENOSPC: the target refuses it */
    uint32_t fail_pages; /* the next ones */
    uint32_t orders[32];
    uint32_t most; /* copies there were at once */
    uint64_t passes;
} play_t;

static void play_make (play_t *p, size_t n, uint32_t replicas, const char *const *where)
{
    memset (p, 0, sizeof *p);
    p->alive = ALL;
    p->replicas = replicas;
    p->code = DFS_EUNAVAIL;
    cluster_make (&p->c, NULL, n, replicas, replicas, where);
}

static core_status_t status_of_core (const cluster_core_t *c)
{
    core_status_t status;

    core_status (c->core, &status);
    return status;
}

static core_status_t status_of (const play_t *p)
{
    return status_of_core (&p->c);
}

static core_chunk_t chunk_of (const play_t *p)
{
    core_chunk_t chunk = {.key = cluster_key (1),
                          .refs = 1,
                          .recorded = true,
                          .length = 1000,
                          .replicas = p->replicas};

    for (uint32_t id = 1; id < 32; id++)
        if (p->copies >> id & 1)
            chunk.copies[chunk.n_copies++] = (core_copy_t){id, 50, false};
    return chunk;
}

static void answer_order (play_t *p, const action_replicate_t *order)
{
    uint32_t target = order->grant.targets[0];
    event_t event = {.type = EVENT_ORDER_RESULT};

    p->orders[target]++;
    if (!(p->refuse >> target & 1)) {
        p->copies |= 1ULL << target;
        cluster_change (&p->c, target, CHANGE_STORED, 1, 1000);
    } else if (p->code == DFS_ENOSPC) {
        event.type = EVENT_REFUSED;
        event.u.refused = (event_refused_t){
            .worker = target, .key = cluster_key (1), .code = p->code};
        cluster_step (&p->c, event);
    } else if (p->code != DFS_OK) { /* OK: no answer at all */
        event.u.order.worker = order->worker;
        event.u.order.order = order->order;
        event.u.order.code = p->code;
        cluster_step (&p->c, event);
    }
}

/* Answers what the last step asked for, and what that asks for. */
static void play_answers (play_t *p)
{
    for (int turn = 0; turn < 1000; turn++) {
        action_replicate_t orders[16];
        uint64_t token = p->c.scan.token, lookup = 0;
        core_chunk_t chunk = chunk_of (p);
        size_t n = 0;
        const action_t *action;

        while (n < 16 && (action = cluster_action (&p->c, ACTION_REPLICATE, n)))
            orders[n++] = action->u.replicate;
        if ((action = cluster_action (&p->c, ACTION_LOOKUP_CHUNKS, 0)))
            lookup = action->u.chunks.token;
        p->c.scan.token = 0;
        actions_reset (p->c.actions);
        for (size_t i = 0; i < n; i++)
            answer_order (p, &orders[i]);
        if (lookup != 0)
            cluster_step (&p->c, (event_t){.type = EVENT_CHUNKS_FOUND,
                                           .u.chunks = {lookup, DFS_OK, &chunk, 1}});
        if (token != 0 && p->fail_pages > 0) {
            p->fail_pages--;
            cluster_step (&p->c, (event_t){.type = EVENT_SCANNED,
                                           .u.scanned = {token, DFS_EIO, NULL, 0}});
        } else if (token != 0) {
            p->passes++;
            cluster_step (&p->c,
                          (event_t){.type = EVENT_SCANNED,
                                    .u.scanned = {token, DFS_OK, &chunk, 1, false}});
        }
        if ((uint32_t)__builtin_popcountll (p->copies) > p->most)
            p->most = (uint32_t)__builtin_popcountll (p->copies);
        if (n == 0 && lookup == 0 && token == 0)
            return;
    }
    assert_true (false); /* it never comes to rest */
}

static void play (play_t *p, uint64_t seconds)
{
    play_answers (p);
    for (uint64_t i = 0; i < seconds * 10; i++) {
        cluster_pass (&p->c, 100 * MS, p->alive);
        play_answers (p);
    }
}

/* The last copy's best place cannot be reached from where it is: another will do. */
static void test_target_out_of_reach (void **state)
{
    static const char *const where[] = {RACKS};
    play_t p;

    (void)state;
    play_make (&p, 7, 2, where);
    p.copies = 1 << 1 | 1 << 2;
    p.refuse = 1 << 7;
    p.alive = ALL & ~4ULL;
    play (&p, 6);
    assert_int_equal (p.orders[7] > 0, true);
    assert_in_range (p.most, 3, 3); /* with that of the dead one */
    cluster_free (&p.c);
}

/* Nor a whole rack, of more workers than are remembered. */
static void test_rack_out_of_reach (void **state)
{
    static const char *const where[] = {"r1/a", "r1/b", "r1/c", "r2/d", "r2/e",
                                        "r2/f", "r2/g", "r2/h", "r2/i", "r2/j"};
    play_t p;

    (void)state;
    play_make (&p, 10, 2, where);
    p.copies = 1 << 1 | 1 << 2;
    p.refuse = 0x7f << 4;
    p.alive = ALL & ~4ULL;
    play (&p, 60);
    assert_true (p.copies & 1 << 3);
    cluster_free (&p.c);
}

/* Copies of one rack, and the other takes nothing: they stay as they are. */
static void test_crowded_refused (void **state)
{
    static const char *const where[] = {RACKS};
    static const int codes[] = {DFS_EUNAVAIL, DFS_ENOSPC, DFS_OK};
    play_t p;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        play_make (&p, 7, 2, where);
        p.copies = 1 << 1 | 1 << 2;
        p.refuse = 1 << 7;
        p.code = codes[i];
        cluster_step (&p.c, (event_t){.type = EVENT_LOOK_AGAIN});
        play (&p, 300);
        assert_true (p.orders[7] > 0);
        assert_int_equal (p.most, 2);
        /* It ends, and neither tries nor looks without pause. */
        assert_in_range (p.orders[7], 1, 64);
        assert_in_range (p.passes, 1, 64);
        assert_int_equal (status_of (&p).moves, 0);
        p.refuse = 0;
        cluster_step (&p.c, (event_t){.type = EVENT_LOOK_AGAIN});
        play (&p, 30);
        assert_true (p.copies & 1 << 7);
        assert_int_equal (p.most, 3);
        cluster_free (&p.c);
    }
}

/* A policy that asks for more than there are workers, taken back. */
static void test_policy_lowered (void **state)
{
    play_t p;

    (void)state;
    play_make (&p, 3, 2, NULL);
    p.copies = 1 << 1 | 1 << 2;
    p.replicas = 5;
    cluster_step (&p.c, (event_t){.type = EVENT_POLICY, .u.policy = {1, 5, 2}});
    play (&p, 30);
    assert_int_equal (p.most, 3);
    assert_int_equal (status_of (&p).under_replicated, 1);
    p.replicas = 2;
    cluster_step (&p.c, (event_t){.type = EVENT_POLICY, .u.policy = {1, 2, 2}});
    play (&p, 30);
    assert_int_equal (status_of (&p).under_replicated, 0);
    assert_int_equal (status_of (&p).moves, 0);
    assert_int_equal (status_of (&p).health, HEALTH_OK);
    cluster_free (&p.c);
}

/* A chunk in the queue that is held falls to one copy: that is not held. */
static void test_last_copy_while_held (void **state)
{
    play_t p;

    (void)state;
    play_make (&p, 6, 3, NULL);
    p.copies = 1 << 1 | 1 << 4 | 1 << 5;
    p.alive = ALL & ~(2ULL | 4 | 8);
    play (&p, 4);
    assert_true (status_of (&p).repair_held);
    assert_int_equal (p.most, 3);
    p.alive &= ~(1ULL << 4);
    play (&p, 10);
    assert_true (status_of (&p).repair_held);
    assert_true (p.copies & 1 << 6);
    cluster_free (&p.c);
}

/* A page that could not be read is read again: nothing of a dead or drained worker is
 * passed over. */
static void test_page_fails (void **state)
{
    play_t p;

    (void)state;
    for (int drained = 0; drained < 2; drained++) {
        play_make (&p, 4, 2, NULL);
        p.copies = 1 << 1 | 1 << 2;
        play (&p, 1);
        p.fail_pages = 3;
        if (drained)
            cluster_member (&p.c, 1, NULL, true, false);
        else
            p.alive = ALL & ~2ULL;
        while (p.fail_pages > 0) {
            play (&p, 1);
            assert_int_equal (core_may_remove (p.c.core, 1), DFS_EINUSE);
        }
        play (&p, 10);
        assert_int_equal (p.most, 3);
        assert_int_equal (core_may_remove (p.c.core, 1), DFS_OK);
        cluster_free (&p.c);
    }
}

/* What a client waits for is answered with as many copies as will do when the others
 * do not come about, however good their places look. */
static void test_put_out_of_reach (void **state)
{
    play_t p;
    const core_placed_t *placed;
    uint32_t first;
    int durable = 0;

    (void)state;
    memset (&p, 0, sizeof p);
    p.alive = ALL;
    p.code = DFS_EUNAVAIL;
    cluster_make (&p.c, NULL, 3, 2, 1, NULL);
    placed = cluster_put (&p.c, 1, 1000);
    first = placed->grant.targets[0];
    p.refuse = ALL & ~(1ULL << first);
    cluster_change (&p.c, first, CHANGE_STORED, 1, 1000);
    p.copies = 1ULL << first;
    cluster_step (&p.c, (event_t){.type = EVENT_REFUSED,
                                  .u.refused = {.worker = placed->grant.targets[1],
                                                .session = 1,
                                                .upload = 7,
                                                .key = cluster_key (1),
                                                .code = DFS_EUNAVAIL}});
    for (int i = 0; i < 100 && durable == 0; i++) {
        const action_t *action = cluster_action (&p.c, ACTION_REPLICATE, 0);
        action_replicate_t order;

        durable += (int)cluster_count (&p.c, ACTION_DURABLE);
        if (action) {
            order = action->u.replicate;
            answer_order (&p, &order);
        } else {
            cluster_pass (&p.c, 100 * MS, p.alive);
        }
    }
    assert_int_equal (durable, 1);
    cluster_free (&p.c);
}

/* Page of N chunks from number FROM on, each with copies on the workers of COPIES. */
static void give_page (cluster_core_t *c, uint64_t from, size_t n, uint64_t copies,
                       uint32_t replicas, bool more)
{
    core_chunk_t chunks[256];
    event_t event = {.type = EVENT_SCANNED};

    memset (chunks, 0, sizeof chunks);
    for (size_t i = 0; i < n; i++) {
        chunks[i].key = cluster_key (from + i);
        chunks[i].refs = 1;
        chunks[i].recorded = true;
        chunks[i].length = 1000;
        chunks[i].replicas = replicas;
        for (uint32_t id = 1; id < 32; id++)
            if (copies >> id & 1)
                chunks[i].copies[chunks[i].n_copies++] = (core_copy_t){id, 50, false};
    }
    event.u.scanned = (event_scanned_t){c->scan.token, DFS_OK, chunks, n, more};
    c->scan.token = 0;
    cluster_step (c, event);
}

/* However many chunks a worker takes down, the copier holds so many and no more, and
 * the scan goes on where it stopped when there is room. */
static void test_bounded (void **state)
{
    cluster_core_t c;
    core_config_t config = {.seed = 1, .max_repairs = 100};
    uint64_t pages = 0;

    (void)state;
    cluster_make (&c, &config, 3, 2, 2, NULL);
    cluster_pass (&c, 3 * SEC, ALL & ~2ULL);
    for (; c.scan.token != 0 && pages < 50; pages++)
        give_page (&c, pages * 200 + 1, 200, 1 << 1 | 1 << 2, 2, true);
    assert_in_range (status_of_core (&c).under_replicated, 200, 400);
    assert_in_range (pages, 1, 2);
    for (uint64_t i = 1; i <= pages * 200; i++)
        cluster_change (&c, 3, CHANGE_STORED, i, 1000);
    assert_int_equal (status_of_core (&c).under_replicated, 0);
    assert_int_not_equal (c.scan.token, 0);
    assert_false (c.scan.from_start);
    cluster_free (&c);
}

/* Chunks that nothing can be done for do not keep others from being repaired, nor do
 * they become more and more. */
static void test_stuck_and_others (void **state)
{
    cluster_core_t c;
    core_config_t config = {.seed = 1, .max_repairs = 4};

    (void)state;
    cluster_make (&c, &config, 5, 3, 2, NULL);
    cluster_pass (&c, 3 * SEC, ALL & ~2ULL);
    give_page (&c, 1, 4, 0x3e, 5, true);
    assert_int_equal (cluster_count (&c, ACTION_REPLICATE), 0);
    give_page (&c, 10, 2, 1 << 1 | 1 << 2 | 1 << 3, 3, true);
    assert_int_equal (cluster_count (&c, ACTION_REPLICATE), 2);
    give_page (&c, 20, 4, 0x3e, 5, true);
    give_page (&c, 30, 4, 0x3e, 5, false);
    cluster_pass (&c, 15 * SEC, ALL & ~2ULL);
    assert_int_equal (status_of_core (&c).under_replicated, 6);
    cluster_free (&c);
}

/* One that is removed though it has copies: they are made anew, from what all chunks
 * have, as what it had is forgotten. */
static void test_removed (void **state)
{
    play_t p;

    (void)state;
    play_make (&p, 4, 2, NULL);
    p.copies = 1 << 1 | 1 << 2;
    play (&p, 1);
    cluster_member (&p.c, 1, NULL, false, true);
    assert_int_equal (p.c.scan.worker, 0);
    assert_int_not_equal (p.c.scan.token, 0);
    play (&p, 5);
    assert_int_equal (p.most, 3);
    cluster_free (&p.c);
}

/* A move whose chunk is in use waits; it does not ask without end. */
static void test_move_in_use (void **state)
{
    cluster_core_t c;
    copykey_t key = cluster_key (1);
    size_t asked = 0;

    (void)state;
    cluster_make (&c, NULL, 4, 2, 2, NULL);
    for (uint64_t token = 1; token < 40; token++) {
        event_t event = {.type = EVENT_RECLAIM_FOUND, .u.reclaim.token = token};

        cluster_step (&c, event);
    }
    cluster_scanned (&c);
    cluster_place (&c, 1, 1, 1000, 0);
    cluster_found (&c, cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, 1, 1000,
                   1, 1 << 1 | 1 << 2 | 1 << 3, 0);
    assert_true (cluster_want (&c, ACTION_PLACED)->u.placed.items[0].have);
    c.core->out = c.actions;
    trim_note (c.core, &key, 1);
    c.core->out = NULL;
    cluster_step (&c, (event_t){.type = EVENT_TICK});
    for (int i = 0; i < 300 && asked < 100; i++) {
        const action_t *ask = cluster_action (&c, ACTION_LOOKUP_CHUNKS, 0);

        asked += ask != NULL;
        if (ask)
            cluster_found (&c, ask->u.chunks.token, 1, 1000, 1,
                           1 << 1 | 1 << 2 | 1 << 3, 0);
        else
            cluster_pass (&c, SEC, ALL);
    }
    assert_in_range (asked, 3, 20); /* in five minutes */
    cluster_free (&c);
}

/* The chunk, on 1 and 2, is to go to 4, which takes it without a word. */
static void begin_move (play_t *p)
{
    core_chunk_t found;
    chunk_t *chunk;

    play_make (p, 5, 2, NULL);
    p->copies = 1 << 1 | 1 << 2;
    p->refuse = 1 << 4;
    p->code = DFS_OK;
    play (p, 1);
    found = chunk_of (p);
    p->c.core->out = p->c.actions;
    chunk = chunks_get (p->c.core, &found.key, found.length);
    chunks_merge (p->c.core, chunk, &found);
    copier_move (p->c.core, chunk, 3, 4);
    p->c.core->out = NULL;
    cluster_step (&p->c, (event_t){.type = EVENT_TICK});
    play (p, 1);
    assert_int_equal (p->orders[4], 1);
    assert_int_equal (status_of (p).moves, 1);
}

/* The target of a move dies: the move is given up, nothing waits for it. */
static void test_move_to_dead (void **state)
{
    play_t p;

    (void)state;
    begin_move (&p);
    p.alive &= ~(1ULL << 4);
    play (&p, 5);
    assert_int_equal (cluster_state (&p.c, 4), WORKER_DEAD);
    assert_int_equal (status_of (&p).moves, 0);
    assert_int_equal (status_of (&p).repair_queued, 0);
    assert_int_equal (p.most, 2);
    cluster_free (&p.c);
}

/* A worker that has a copy dies with it: repair does not wait for the target. */
static void test_repair_of_move (void **state)
{
    play_t p;

    (void)state;
    begin_move (&p);
    p.alive &= ~(1ULL << 4 | 1ULL << 1);
    play (&p, 8);
    assert_int_equal (cluster_state (&p.c, 1), WORKER_DEAD);
    assert_int_equal (p.orders[3] + p.orders[5], 1);
    assert_int_equal (status_of (&p).under_replicated, 0);
    assert_int_equal (status_of (&p).moves, 0);
    assert_int_equal (status_of (&p).repair_queued, 0);
    cluster_free (&p.c);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_target_out_of_reach),
        cmocka_unit_test (test_rack_out_of_reach),
        cmocka_unit_test (test_crowded_refused),
        cmocka_unit_test (test_policy_lowered),
        cmocka_unit_test (test_last_copy_while_held),
        cmocka_unit_test (test_page_fails),
        cmocka_unit_test (test_put_out_of_reach),
        cmocka_unit_test (test_bounded),
        cmocka_unit_test (test_stuck_and_others),
        cmocka_unit_test (test_removed),
        cmocka_unit_test (test_move_in_use),
        cmocka_unit_test (test_move_to_dead),
        cmocka_unit_test (test_repair_of_move),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("core_retry", tests, NULL, NULL);
}
