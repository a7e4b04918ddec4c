/* SPDX-License-Identifier: MPL-2.0 */
/* Copies that do not come about: tried otherwise, given up when they are no necessity,
 * never multiplied. A small cluster is played: each order is answered as the test says,
 * each look-up and page with the copies that there are then. */
#include "t/unit/core_cluster.h"

#include <string.h>

#include "broker/core/trim.h"

#define ALL   0xfffffffeULL
#define RACKS "r1/a", "r1/b", "r1/c", "r1/d", "r1/e", "r1/f", "r2/g"

typedef struct play {
    cluster_core_t c;
    uint64_t alive;
    uint64_t copies; /* of the one chunk, number 1 */
    uint32_t replicas;
    uint64_t refuse; /* orders to these targets fail */
    int code;        /* with that; DFS_ENOSPC: the target refuses it */
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

static core_status_t status_of (const play_t *p)
{
    core_status_t status;

    core_status (p->c.core, &status);
    return status;
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
        if (token != 0) {
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

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_target_out_of_reach),
        cmocka_unit_test (test_rack_out_of_reach),
        cmocka_unit_test (test_crowded_refused),
        cmocka_unit_test (test_policy_lowered),
        cmocka_unit_test (test_last_copy_while_held),
        cmocka_unit_test (test_move_in_use),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("core_retry", tests, NULL, NULL);
}
