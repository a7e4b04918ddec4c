/* SPDX-License-Identifier: MPL-2.0 */
/* What is looked at again, and when: jobs of the copier as workers change, all chunks
 * as policies do, and uploads that hold nothing. */
#include "t/unit/core_cluster.h"

#include <string.h>

#include "broker/core/copier.h"

#define ALL  0xfffffffeULL
#define MANY 1000 /* jobs: more than one step looks at */

static core_status_t status_of (const cluster_core_t *c)
{
    core_status_t status;

    core_status (c->core, &status);
    return status;
}

/* Answers scans until there are none, with MANY chunks of REPLICAS on the workers of
 * COPIES; so many as fit in a page each time. */
static void play_scans (cluster_core_t *c, uint64_t copies, uint32_t replicas)
{
    static core_chunk_t chunks[256];
    uint64_t last = 0;

    for (size_t at = 0; c->scan.token && c->scan.token != last;) {
        event_t event = {.type = EVENT_SCANNED};
        size_t n = 0;

        if (c->scan.from_start)
            at = 0;
        memset (chunks, 0, sizeof chunks);
        for (; at < MANY && n < c->scan.max && n < 256; at++, n++) {
            chunks[n] = (core_chunk_t){.key = cluster_key (at + 1),
                                       .refs = 1,
                                       .recorded = true,
                                       .length = 1000,
                                       .replicas = replicas};
            for (uint32_t id = 1; id < 32; id++)
                if (copies >> id & 1)
                    chunks[n].copies[chunks[n].n_copies++] =
                        (core_copy_t){id, 50, false};
        }
        last = c->scan.token;
        event.u.scanned =
            (event_scanned_t){c->scan.token, DFS_OK, chunks, n, at < MANY};
        cluster_step (c, event);
    }
}

/* Looks at whatever is to be looked at now. */
static void calm (cluster_core_t *c)
{
    for (int i = 0; i < 100 && core_wake (c->core) <= c->now + 10; i++) {
        c->now += 10;
        cluster_step (c, (event_t){.type = EVENT_TICK});
    }
}

/* True when WORKER's change has made the copier look at its jobs again. */
static bool looks (cluster_core_t *c, uint32_t worker, int condition)
{
    cluster_beat (c, worker, condition, 0, 0);
    return core_wake (c->core) <= c->now + 1;
}

/* A worker that is full one moment and not the next helps no lost chunk, and they stay
 * lost to whoever looks meanwhile. */
static void test_lost (void **state)
{
    cluster_core_t c;
    uint64_t changes, later;
    copykey_t keys[MANY];

    (void)state;
    cluster_make (&c, NULL, 4, 2, 1, NULL);
    cluster_pass (&c, 4 * SEC, ALL & ~2ULL);
    assert_int_equal (cluster_state (&c, 1), WORKER_DEAD);
    play_scans (&c, 1 << 1, 2);
    calm (&c);
    play_scans (&c, 1 << 1, 2);
    calm (&c);
    assert_int_equal (status_of (&c).lost, MANY);
    assert_int_equal (core_lost (c.core, keys, MANY, &changes), MANY);
    for (int i = 0; i < 4; i++) {
        assert_false (looks (&c, 2, i % 2 ? CONDITION_OK : CONDITION_FULL));
        assert_int_equal (status_of (&c).lost, MANY);
    }
    /* One that comes back may have them: they are looked at, and lost until then. */
    cluster_join (&c, 1, 0);
    assert_int_equal (cluster_state (&c, 1), WORKER_UP);
    assert_true (core_wake (c.core) <= c.now + 1);
    cluster_closed (&c, 1);
    cluster_pass (&c, 4 * SEC, ALL & ~2ULL);
    calm (&c);
    assert_int_equal (status_of (&c).health, HEALTH_CRITICAL);
    core_lost (c.core, keys, MANY, &later);
    cluster_free (&c);
}

/* The count never dips while lost jobs are looked at because another worker joins. */
static void test_lost_does_not_flicker (void **state)
{
    cluster_core_t c;
    copykey_t keys[MANY];
    uint64_t changes, later;

    (void)state;
    cluster_make (&c, NULL, 4, 2, 1, NULL);
    cluster_pass (&c, 4 * SEC, ALL & ~2ULL);
    play_scans (&c, 1 << 1, 2);
    calm (&c);
    assert_int_equal (status_of (&c).lost, MANY);
    core_lost (c.core, keys, MANY, &changes);
    cluster_closed (&c, 2);
    cluster_join (&c, 2, 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal (status_of (&c).lost, MANY);
        assert_int_equal (status_of (&c).health, HEALTH_CRITICAL);
        assert_int_equal (core_lost (c.core, keys, MANY, &later), MANY);
        assert_int_equal (later, changes);
        c.now += 1;
        cluster_step (&c, (event_t){.type = EVENT_TICK});
    }
    cluster_free (&c);
}

/* Chunks that want more copies than there are workers wait for one that takes them, not
 * for one that ceases to. */
static void test_stuck (void **state)
{
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 1, NULL);
    cluster_step (&c, (event_t){.type = EVENT_LOOK_AGAIN});
    play_scans (&c, 1 << 1 | 1 << 2 | 1 << 3, 5);
    calm (&c);
    assert_int_equal (status_of (&c).under_replicated, MANY);
    assert_false (looks (&c, 3, CONDITION_FULL));
    assert_true (looks (&c, 3, CONDITION_OK));
    calm (&c);
    assert_false (looks (&c, 3, CONDITION_OK));
    cluster_free (&c);
}

static void set_policy (cluster_core_t *c, uint32_t replicas)
{
    event_t event = {.type = EVENT_POLICY};

    event.u.policy = (core_policy_t){1, replicas, 1};
    cluster_step (c, event);
}

/* All chunks are looked at when a policy asks for another number of copies, and not
 * when it is only told again; what a log took that is more than can be kept is no news.
 */
static void test_policies (void **state)
{
    cluster_core_t c;
    uint64_t token;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 1, NULL);
    for (uint32_t replicas = 3; replicas < 16; replicas += 9) {
        play_scans (&c, 1 << 1 | 1 << 2 | 1 << 3, 3);
        token = c.scan.token;
        set_policy (&c, replicas);
        assert_int_not_equal (c.scan.token, token);
        play_scans (&c, 1 << 1 | 1 << 2 | 1 << 3, 3);
        token = c.scan.token;
        for (int i = 0; i < 3; i++) {
            set_policy (&c, replicas);
            assert_int_equal (c.scan.token, token);
        }
    }
    cluster_free (&c);
}

/* Uploads of which nothing was placed are not kept, however many come. */
static void test_unused_uploads (void **state)
{
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 1, NULL);
    for (uint64_t i = 0; i < 1000; i++) {
        event_place_item_t item = {.key = cluster_key (1), .length = 0};
        event_t event = {.type = EVENT_PLACE,
                         .u.place = {1, i + 1, 1000 + i, 0, &item, 1}};

        cluster_step (&c, event);
        assert_int_equal (cluster_want (&c, ACTION_PLACED)->u.placed.items[0].code,
                          DFS_EINVAL);
    }
    assert_int_equal (status_of (&c).uploads, 0);
    cluster_free (&c);
}

/* The page that was asked for: N chunks from number FIRST on, of LENGTH, REPLICAS
 * wanted, all on the workers of COPIES; MORE follow. */
static void page (cluster_core_t *c, uint64_t first, size_t n, uint64_t copies,
                  uint32_t replicas, uint64_t length, bool more)
{
    core_chunk_t chunks[64];
    event_t event = {.type = EVENT_SCANNED};

    memset (chunks, 0, sizeof chunks);
    for (size_t i = 0; i < n; i++) {
        chunks[i] = (core_chunk_t){.key = cluster_key (first + i),
                                   .refs = 1,
                                   .length = length,
                                   .replicas = replicas};
        for (uint32_t id = 1; id < 32; id++)
            if (copies >> id & 1)
                chunks[i].copies[chunks[i].n_copies++] = (core_copy_t){id, 1, false};
    }
    event.u.scanned = (event_scanned_t){c->scan.token, DFS_OK, chunks, n, more};
    cluster_step (c, event);
}

typedef struct order {
    uint64_t number; /* of its chunk */
    uint32_t target;
} order_t;

/* The copy orders of the last step, behind the N that there are; returns how many. */
static size_t note_orders (const cluster_core_t *c, order_t *orders, size_t n)
{
    const action_t *action;

    for (size_t i = 0; (action = cluster_action (c, ACTION_REPLICATE, i)); i++) {
        const grant_t *grant = &action->u.replicate.grant;

        for (uint64_t number = 1; number < 64; number++) {
            copykey_t key = cluster_key (number);

            if (copykey_cmp (&key, &grant->key) == 0)
                orders[n++] = (order_t){number, grant->targets[0]};
        }
    }
    return n;
}

/* Of two that are drained each tells how much it still has to be rid of, itself. */
static void test_own_moves (void **state)
{
    cluster_core_t c;
    order_t orders[5];
    size_t n_orders = 0;

    (void)state;
    cluster_make (&c, NULL, 5, 2, 2, NULL);
    cluster_member (&c, 1, NULL, true, false);
    cluster_member (&c, 2, NULL, true, false);
    assert_int_equal (c.scan.worker, 1);
    page (&c, 1, 3, 1 << 1 | 1 << 3, 2, 1000, false);
    n_orders = note_orders (&c, orders, n_orders);
    assert_int_equal (core_worker_leaving (c.core, 1), 3);
    assert_int_equal (c.scan.worker, 2);
    page (&c, 11, 2, 1 << 2 | 1 << 3, 2, 1000, false);
    n_orders = note_orders (&c, orders, n_orders);
    assert_int_equal (n_orders, 5);
    assert_int_equal (core_worker_leaving (c.core, 1), 3);
    assert_int_equal (core_worker_leaving (c.core, 2), 2);
    assert_int_equal (core_worker_leaving (c.core, 3), 0);
    assert_int_equal (core_worker_leaving (c.core, 9), 0);
    assert_int_equal (status_of (&c).moves, 5);
    while (n_orders > 0) {
        n_orders--;
        cluster_change (&c, orders[n_orders].target, CHANGE_STORED,
                        orders[n_orders].number, 1000);
        assert_int_equal (core_worker_leaving (c.core, 1), n_orders < 3 ? n_orders : 3);
        assert_int_equal (core_worker_leaving (c.core, 2),
                          n_orders > 3 ? n_orders - 3 : 0);
    }
    cluster_member (&c, 1, NULL, false, true);
    assert_int_equal (core_worker_leaving (c.core, 1), 0);
    cluster_free (&c);
}

/* Moves that have no place do not hide a repair that is under way. */
static void test_busy (void **state)
{
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 1, NULL);
    cluster_member (&c, 1, NULL, true, false);
    page (&c, 1, 8, 1 << 1 | 1 << 2 | 1 << 3, 3, 1000, true);
    assert_int_equal (status_of (&c).waiting_moves, 8);
    assert_int_equal (copier_busy (c.core), 0);
    page (&c, 11, 1, 1 << 2, 2, 1000, false);
    assert_int_equal (cluster_count (&c, ACTION_REPLICATE), 1);
    assert_int_equal (copier_busy (c.core), 1);
    cluster_change (&c, 3, CHANGE_STORED, 11, 1000);
    assert_int_equal (copier_busy (c.core), 0);
    assert_int_equal (status_of (&c).waiting_moves, 8);
    cluster_free (&c);
}

/* Clients that read pause and go on: repair takes their room step by step. */
static void test_opening (void **state)
{
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 4, 2, 2, NULL);
    cluster_pass (&c, 3 * SEC, ALL & ~2ULL);
    assert_int_equal (c.scan.worker, 1);
    cluster_beat (&c, 2, CONDITION_OK, 0, 8 * MIB);
    cluster_beat (&c, 3, CONDITION_OK, 0, 8 * MIB);
    page (&c, 1, 40, 1 << 1 | 1 << 2 | 1 << 3, 3, 4 * MIB, false);
    assert_int_equal (status_of (&c).repair_active, 4);
    cluster_pass (&c, 900 * MS, ALL & ~2ULL);
    assert_int_equal (status_of (&c).repair_active, 4);
    cluster_pass (&c, SEC, ALL & ~2ULL);
    assert_int_equal (status_of (&c).repair_active, 8);
    cluster_pass (&c, SEC, ALL & ~2ULL);
    assert_int_equal (status_of (&c).repair_active, 16);
    /* The next read: what is in the air stays, nothing is added. */
    cluster_beat (&c, 2, CONDITION_OK, 0, 8 * MIB);
    cluster_beat (&c, 3, CONDITION_OK, 0, 8 * MIB);
    cluster_change (&c, 4, CHANGE_STORED, 1, 4 * MIB);
    cluster_pass (&c, 100 * MS, ALL & ~2ULL);
    assert_int_equal (status_of (&c).repair_active, 15);
    /* All that the target takes, when nobody has read for long. */
    cluster_pass (&c, 5 * SEC, ALL & ~2ULL);
    assert_int_equal (status_of (&c).repair_active, 24);
    cluster_free (&c);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_lost),
        cmocka_unit_test (test_lost_does_not_flicker),
        cmocka_unit_test (test_stuck),
        cmocka_unit_test (test_policies),
        cmocka_unit_test (test_unused_uploads),
        cmocka_unit_test (test_own_moves),
        cmocka_unit_test (test_busy),
        cmocka_unit_test (test_opening),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("core_sorting", tests, NULL, NULL);
}
