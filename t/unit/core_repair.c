/* SPDX-License-Identifier: MPL-2.0 */
/* Repair: what a death leaves is found by a scan, the most endangered goes first, a
 * failure is tried elsewhere, a mass death is held. */
#include "t/unit/core_cluster.h"

#include <string.h>

#define ALL 0xfffffffeULL

/* Worker ID falls silent until it is dead; its copies are asked for. */
static void die (cluster_core_t *c, uint32_t id, uint64_t alive)
{
    cluster_pass (c, 3 * SEC, alive);
    assert_int_equal (cluster_state (c, id), WORKER_DEAD);
    assert_int_equal (c->scan.worker, id);
    assert_true (c->scan.from_start);
}

/* The answer: chunk I + 1 with copies on the workers of COPIES[I], 3 wanted. */
static void page (cluster_core_t *c, size_t n, const uint64_t *copies, uint64_t length,
                  bool more)
{
    core_chunk_t chunks[8];
    event_t event = {.type = EVENT_SCANNED};

    memset (chunks, 0, sizeof chunks);
    for (size_t i = 0; i < n; i++) {
        chunks[i].key = cluster_key (i + 1);
        chunks[i].refs = 1;
        chunks[i].length = length;
        chunks[i].replicas = 3;
        for (uint32_t id = 1; id < 32; id++)
            if (copies[i] >> id & 1)
                chunks[i].copies[chunks[i].n_copies++] = (core_copy_t){id, 1, false};
    }
    event.u.scanned = (event_scanned_t){c->scan.token, DFS_OK, chunks, n, more};
    cluster_step (c, event);
}

/* Number of the chunk that the I-th order of the last step is about; 0: none. */
static uint64_t ordered (const cluster_core_t *c, size_t i)
{
    const action_t *action = cluster_action (c, ACTION_REPLICATE, i);

    for (uint64_t number = 1; action && number < 64; number++) {
        copykey_t key = cluster_key (number);
        if (copykey_cmp (&key, &action->u.replicate.grant.key) == 0)
            return number;
    }
    return 0;
}

static core_status_t status_of (const cluster_core_t *c)
{
    core_status_t status;

    core_status (c->core, &status);
    return status;
}

static void test_dead_worker (void **state)
{
    cluster_core_t c;
    uint64_t copies[3] = {1 << 1 | 1 << 2 | 1 << 3, 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4,
                          1 << 1};
    const action_replicate_t *order;

    (void)state;
    cluster_make (&c, NULL, 4, 2, 2, NULL);
    assert_int_equal (status_of (&c).health, HEALTH_OK);
    die (&c, 1, ALL & ~2ULL);
    assert_int_equal (status_of (&c).health, HEALTH_DEGRADED);
    page (&c, 3, copies, 1000, false);
    /* One has enough, one can be copied, one is lost. */
    assert_int_equal (cluster_count (&c, ACTION_REPLICATE), 1);
    order = &cluster_want (&c, ACTION_REPLICATE)->u.replicate;
    assert_int_equal (ordered (&c, 0), 1);
    assert_true (order->worker == 2 || order->worker == 3);
    assert_int_equal (order->grant.targets[0], 4);
    assert_int_equal (order->grant.upload, 0);
    assert_int_equal (order->targets[0].port, 7004);
    assert_int_equal (status_of (&c).under_replicated, 2);
    assert_int_equal (status_of (&c).lost, 1);
    assert_int_equal (status_of (&c).health, HEALTH_CRITICAL);
    cluster_change (&c, 4, CHANGE_STORED, 1, 1000);
    assert_int_equal (status_of (&c).under_replicated, 1);
    assert_int_equal (status_of (&c).repair_done, 1);
    /* The lost one heals when the worker is back: two copies are made from it. */
    cluster_join (&c, 1, 0);
    assert_int_equal (status_of (&c).lost, 0);
    assert_int_equal (cluster_count (&c, ACTION_REPLICATE), 2);
    assert_int_equal (ordered (&c, 0), 3);
    assert_int_equal (cluster_want (&c, ACTION_REPLICATE)->u.replicate.worker, 1);
    cluster_free (&c);
}

/* The fewest live copies go first, whatever was found first. */
static void test_order (void **state)
{
    cluster_core_t c;
    core_config_t config = {.seed = 1, .repair_per_worker = 1};
    uint64_t copies[4] = {1 << 1 | 1 << 2 | 1 << 3, 1 << 1 | 1 << 2 | 1 << 3,
                          1 << 1 | 1 << 2, 1 << 1 | 1 << 3};

    (void)state;
    cluster_make (&c, &config, 3, 2, 2, NULL);
    die (&c, 1, ALL & ~2ULL);
    page (&c, 4, copies, 1000, false);
    assert_int_equal (ordered (&c, 0), 3);
    assert_int_equal (ordered (&c, 1), 4);
    assert_int_equal (ordered (&c, 2), 0);
    cluster_free (&c);
}

static void test_tried_elsewhere (void **state)
{
    cluster_core_t c;
    uint64_t copies[1] = {1 << 1 | 1 << 2 | 1 << 3};
    event_t event = {.type = EVENT_ORDER_RESULT};
    uint32_t source;

    (void)state;
    cluster_make (&c, NULL, 5, 2, 2, NULL);
    die (&c, 1, ALL & ~2ULL);
    page (&c, 1, copies, 1000, false);
    source = cluster_want (&c, ACTION_REPLICATE)->u.replicate.worker;
    event.u.order.worker = source;
    event.u.order.order = cluster_want (&c, ACTION_REPLICATE)->u.replicate.order;
    event.u.order.code = DFS_EIO;
    cluster_step (&c, event);
    assert_null (cluster_action (&c, ACTION_REPLICATE, 0));
    assert_int_equal (status_of (&c).repair_failed, 1);
    cluster_pass (&c, SEC, ALL & ~2ULL);
    assert_int_equal (cluster_want (&c, ACTION_REPLICATE)->u.replicate.worker,
                      5 - source);
    /* The source dies: the other one goes on, and makes up for it as well. */
    cluster_closed (&c, 5 - source);
    assert_int_equal (cluster_want (&c, ACTION_REPLICATE)->u.replicate.worker, source);
    /* Sent is not stored. */
    event.u.order.order = cluster_want (&c, ACTION_REPLICATE)->u.replicate.order;
    event.u.order.code = DFS_OK;
    cluster_step (&c, event);
    assert_int_equal (status_of (&c).repair_active, 2);
    cluster_free (&c);
}

/* Copied from a source that is near the target, and from one that clients leave alone.
 */
static void test_source (void **state)
{
    static const char *const places[] = {"dc1/a", "dc1/b", "dc2/c", "dc2/d", "dc3/e"};
    cluster_core_t c;
    uint64_t far[8], near[8];

    (void)state;
    for (size_t i = 0; i < 8; i++) {
        far[i] = 1 << 1 | 1 << 3 | 1 << 5;
        near[i] = 1 << 1 | 1 << 2 | 1 << 3;
    }
    cluster_make (&c, NULL, 5, 2, 2, places);
    die (&c, 5, ALL & ~32ULL);
    page (&c, 8, far, 1000, false);
    assert_int_equal (cluster_count (&c, ACTION_REPLICATE), 8);
    for (size_t i = 0; i < 8; i++) {
        const action_replicate_t *order =
            &cluster_action (&c, ACTION_REPLICATE, i)->u.replicate;

        assert_int_equal (order->worker, order->grant.targets[0] == 2 ? 1 : 3);
    }
    cluster_free (&c);
    cluster_make (&c, NULL, 4, 2, 2, NULL);
    die (&c, 3, ALL & ~8ULL);
    cluster_beat (&c, 1, CONDITION_OK, 0, 8 * 1000 + 1);
    page (&c, 8, near, 1000, false);
    for (size_t i = 0; i < 8; i++)
        assert_int_equal (cluster_action (&c, ACTION_REPLICATE, i)->u.replicate.worker,
                          2);
    cluster_free (&c);
}

/* Repair leaves room to those who read, and takes it when they have gone. */
static void test_readers (void **state)
{
    cluster_core_t c;
    uint64_t copies[8];

    (void)state;
    for (size_t i = 0; i < 8; i++)
        copies[i] = 1 << 1 | 1 << 2 | 1 << 3;
    cluster_make (&c, NULL, 4, 2, 2, NULL);
    die (&c, 1, ALL & ~2ULL);
    cluster_beat (&c, 2, CONDITION_OK, 0, 8 * MIB);
    cluster_beat (&c, 3, CONDITION_OK, 0, 8 * MIB);
    page (&c, 8, copies, 4 * MIB, false);
    assert_int_equal (cluster_count (&c, ACTION_REPLICATE), 4);
    cluster_pass (&c, SEC, ALL & ~2ULL);
    assert_int_equal (cluster_count (&c, ACTION_REPLICATE), 4);
    cluster_free (&c);
}

/* Half of the domains gone at once: only what has one copy left is copied. */
static void test_hold (void **state)
{
    cluster_core_t c;
    core_config_t config = {.seed = 1, .repair_hold_ns = 100 * SEC};
    uint64_t copies[2] = {1 << 1 | 1 << 3 | 1 << 4, 1 << 1 | 1 << 2 | 1 << 5};

    (void)state;
    for (int how = 0; how < 3; how++) {
        cluster_make (&c, &config, 6, 2, 2, NULL);
        cluster_pass (&c, 3 * SEC, ALL & ~14ULL);
        assert_int_equal (cluster_state (&c, 1), WORKER_DEAD);
        assert_int_equal (cluster_state (&c, 3), WORKER_DEAD);
        copies[0] = 1 << 1 | 1 << 4 | 1 << 5;
        copies[1] = 1 << 1 | 1 << 2 | 1 << 5;
        page (&c, 2, copies, 1000, false);
        assert_true (status_of (&c).repair_held);
        assert_true (status_of (&c).repair_held_ns > 0);
        assert_true (status_of (&c).repair_held_ns <= 100 * SEC);
        assert_int_equal (ordered (&c, 0), 2);
        /* Short of copies, and nothing was copied yet: nobody can tell how long. */
        assert_true (status_of (&c).repair_eta_seconds == CORE_ETA_UNKNOWN);
        cluster_change (
            &c, cluster_want (&c, ACTION_REPLICATE)->u.replicate.grant.targets[0],
            CHANGE_STORED, 2, 1000);
        cluster_pass (&c, 50 * SEC, ALL & ~14ULL);
        assert_true (status_of (&c).repair_held);
        if (how == 0) /* told to go on */
            cluster_step (&c, (event_t){.type = EVENT_REPAIR_RESUME});
        else if (how == 1) /* it was a switch */
            cluster_join (&c, 3, 0);
        else /* time is up */
            cluster_pass (&c, 51 * SEC, ALL & ~14ULL);
        assert_false (status_of (&c).repair_held);
        assert_true (status_of (&c).repair_held_ns == 0);
        assert_true (cluster_count (&c, ACTION_REPLICATE) > 0);
        cluster_free (&c);
    }
}

/* A page follows the other; a worker that is back ends it. */
static void test_pages (void **state)
{
    cluster_core_t c;
    uint64_t copies[2] = {1 << 1 | 1 << 2, 1 << 1 | 1 << 2};
    copykey_t last = cluster_key (2);

    (void)state;
    cluster_make (&c, NULL, 4, 2, 2, NULL);
    die (&c, 1, ALL & ~2ULL);
    page (&c, 2, copies, 1000, true);
    assert_int_equal (c.scan.worker, 1);
    assert_false (c.scan.from_start);
    assert_int_equal (copykey_cmp (&c.scan.after, &last), 0);
    cluster_join (&c, 1, 0);
    cluster_scanned (&c);
    assert_null (cluster_action (&c, ACTION_SCAN_WORKER, 0));
    cluster_free (&c);
}

static void test_bandwidth (void **state)
{
    cluster_core_t c;
    core_config_t config = {.seed = 1, .repair_bandwidth = 10 * MIB};
    uint64_t copies[8];
    size_t n;

    (void)state;
    for (size_t i = 0; i < 8; i++)
        copies[i] = 1 << 1 | 1 << 2 | 1 << 3;
    cluster_make (&c, &config, 4, 2, 2, NULL);
    die (&c, 1, ALL & ~2ULL);
    page (&c, 8, copies, 5 * MIB, false);
    n = cluster_count (&c, ACTION_REPLICATE);
    assert_int_equal (n, 2);
    cluster_pass (&c, 1050 * MS, ALL & ~2ULL);
    n = cluster_count (&c, ACTION_REPLICATE);
    assert_in_range (n, 1, 3);
    /* Between two orders it has the rate that it is bound to. */
    for (uint64_t chunk = 1; status_of (&c).repair_active > 0; chunk++) {
        assert_in_range (chunk, 1, 7);
        cluster_change (&c, 4, CHANGE_STORED, chunk, 5 * MIB);
        if (chunk < 3)
            cluster_pass (&c, 300 * MS, ALL & ~2ULL);
    }
    assert_in_range (status_of (&c).repair_bytes_per_second, MIB, 50 * MIB);
    cluster_free (&c);
}

/* A copy reported as damaged is looked at and made good. */
static void test_damaged (void **state)
{
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    cluster_change (&c, 1, CHANGE_DAMAGED, 9, 1000);
    assert_int_equal (cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.n, 1);
    cluster_found (&c, cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, 9, 1000,
                   1, 1 << 2, 0);
    assert_int_equal (ordered (&c, 0), 9);
    assert_int_equal (cluster_want (&c, ACTION_REPLICATE)->u.replicate.worker, 2);
    cluster_free (&c);
}

/* The worker as status shows it. */
static core_worker_status_t worker_of (const cluster_core_t *c, uint32_t id)
{
    core_worker_status_t all[32];
    size_t n = core_workers (c->core, all, 32);

    for (size_t i = 0; i < n; i++)
        if (all[i].id == id)
            return all[i];
    assert_true (false);
    return all[0];
}

/* What a drained worker has gets copies elsewhere; then it may go, and not before. */
static void test_drain (void **state)
{
    cluster_core_t c;
    uint64_t copies[2] = {1 << 1 | 1 << 2 | 1 << 3, 1 << 2 | 1 << 3 | 1 << 4};

    (void)state;
    cluster_make (&c, NULL, 4, 2, 2, NULL);
    assert_int_equal (core_may_remove (c.core, 1), DFS_EINUSE);
    assert_int_equal (core_may_remove (c.core, 9), DFS_ENOENT);
    cluster_member (&c, 1, NULL, true, false);
    assert_int_equal (cluster_state (&c, 1), WORKER_DRAINING);
    assert_int_equal (c.scan.worker, 1);
    assert_false (worker_of (&c, 1).drained);
    page (&c, 2, copies, 1000, false);
    assert_int_equal (cluster_count (&c, ACTION_REPLICATE), 1);
    assert_int_equal (ordered (&c, 0), 1);
    assert_int_equal (cluster_want (&c, ACTION_REPLICATE)->u.replicate.grant.targets[0],
                      4);
    /* It is no repair: nothing is short of copies, and nobody is worried. */
    assert_int_equal (status_of (&c).under_replicated, 0);
    assert_int_equal (status_of (&c).moves, 1);
    assert_int_equal (status_of (&c).health, HEALTH_OK);
    assert_false (worker_of (&c, 1).drained);
    assert_int_equal (core_may_remove (c.core, 1), DFS_EINUSE);
    cluster_change (&c, 4, CHANGE_STORED, 1, 1000);
    assert_int_equal (status_of (&c).moves, 0);
    assert_true (worker_of (&c, 1).drained);
    assert_int_equal (core_may_remove (c.core, 1), DFS_OK);
    cluster_free (&c);
}

/* Taken back: what still waits is not copied any more. */
static void test_undrain (void **state)
{
    cluster_core_t c;
    uint64_t copies[1] = {1 << 1 | 1 << 2 | 1 << 3};

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    cluster_member (&c, 1, NULL, true, false);
    page (&c, 1, copies, 1000, false);
    assert_int_equal (cluster_count (&c, ACTION_REPLICATE), 0);
    assert_int_equal (status_of (&c).moves, 1);
    assert_false (worker_of (&c, 1).drained);
    cluster_member (&c, 1, NULL, false, false);
    assert_int_equal (cluster_state (&c, 1), WORKER_UP);
    assert_int_equal (status_of (&c).moves, 0);
    assert_int_equal (core_may_remove (c.core, 1), DFS_EINUSE);
    cluster_free (&c);
}

/* A drained worker that dies leaves a repair, as any other. */
static void test_drained_dies (void **state)
{
    cluster_core_t c;
    uint64_t copies[1] = {1 << 1 | 1 << 2 | 1 << 3};

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    cluster_member (&c, 1, NULL, true, false);
    page (&c, 1, copies, 1000, false);
    assert_int_equal (status_of (&c).under_replicated, 0);
    die (&c, 1, ALL & ~2ULL);
    page (&c, 1, copies, 1000, false);
    assert_int_equal (status_of (&c).under_replicated, 1);
    assert_int_equal (core_may_remove (c.core, 1), DFS_EINUSE);
    cluster_free (&c);
}

/* More copies than there are workers, or room: it is not queued, and one can see why.
 */
static void test_few_workers (void **state)
{
    cluster_core_t c;
    uint64_t copies[3] = {1 << 2 | 1 << 3, 1 << 2, 1 << 2 | 1 << 3};

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    die (&c, 1, ALL & ~2ULL);
    page (&c, 3, copies, MIB, false);
    assert_int_equal (ordered (&c, 0), 2);
    assert_int_equal (status_of (&c).under_replicated, 3);
    assert_int_equal (status_of (&c).repair_waiting, 2);
    assert_int_equal (status_of (&c).repair_queued, 0);
    assert_int_equal (status_of (&c).waiting_few[3], 2);
    assert_int_equal (status_of (&c).takers, 2);
    cluster_change (&c, 3, CHANGE_STORED, 2, MIB);
    assert_int_equal (status_of (&c).waiting_few[3], 3);
    /* Nothing is in the air: there is no rate, and no time that it will take. */
    assert_int_equal (status_of (&c).repair_done, 1);
    assert_int_equal (status_of (&c).repair_bytes_per_second, 0);
    assert_int_equal (status_of (&c).repair_eta_seconds, 0);
    cluster_join (&c, 1, 0);
    assert_int_equal (status_of (&c).repair_waiting, 0);
    assert_int_equal (status_of (&c).waiting_few[3], 0);
    assert_int_equal (cluster_count (&c, ACTION_REPLICATE), 3);
    cluster_free (&c);
}

/* A worker is left, and has no room: that is another reason. */
static void test_no_room (void **state)
{
    cluster_core_t c;
    uint64_t copies[1] = {1 << 2 | 1 << 3};

    (void)state;
    cluster_make (&c, NULL, 4, 2, 2, NULL);
    die (&c, 1, ALL & ~2ULL);
    cluster_beat (&c, 4, CONDITION_OK, 100 * GIB - 100 * MIB, 0);
    page (&c, 1, copies, 200 * MIB, false);
    assert_int_equal (status_of (&c).repair_waiting, 1);
    assert_int_equal (status_of (&c).waiting_room, 1);
    assert_int_equal (status_of (&c).waiting_few[3], 0);
    cluster_beat (&c, 4, CONDITION_OK, 0, 0);
    cluster_pass (&c, 11 * SEC, ALL & ~2ULL);
    assert_int_equal (cluster_count (&c, ACTION_REPLICATE), 1);
    assert_int_equal (status_of (&c).waiting_room, 0);
    cluster_free (&c);
}

/* Two racks, one was away: copies that had to share a rack are counted, and mended when
 * it is back. */
static void test_crowded (void **state)
{
    static const char *const locations[] = {"dc/r1/a", "dc/r1/b", "dc/r1/c", "dc/r2/d"};
    cluster_core_t c;
    uint64_t copies[2] = {1 << 1 | 1 << 2 | 1 << 3, 1 << 1 | 1 << 2 | 1 << 4};

    (void)state;
    cluster_make (&c, NULL, 4, 2, 2, locations);
    die (&c, 4, ALL & ~16ULL);
    cluster_scanned (&c);
    cluster_step (&c, (event_t){.type = EVENT_LOOK_AGAIN});
    assert_int_equal (c.scan.worker, 0);
    copies[1] = 1 << 1 | 1 << 2 | 1 << 3;
    page (&c, 2, copies, 1000, false);
    assert_int_equal (status_of (&c).crowded[0], 0);
    assert_int_equal (status_of (&c).crowded[1], 2);
    assert_int_equal (cluster_count (&c, ACTION_REPLICATE), 0);
    cluster_join (&c, 4, 0);
    assert_int_equal (c.scan.worker, 0);
    assert_true (c.scan.from_start);
    copies[1] = 1 << 1 | 1 << 2 | 1 << 4;
    page (&c, 2, copies, 1000, false);
    assert_int_equal (status_of (&c).crowded[1], 1);
    assert_int_equal (ordered (&c, 0), 1);
    assert_int_equal (cluster_want (&c, ACTION_REPLICATE)->u.replicate.grant.targets[0],
                      4);
    /* Counted anew when it is done: one copy is too many now. */
    cluster_change (&c, 4, CHANGE_STORED, 1, 1000);
    assert_int_equal (c.scan.worker, 0);
    copies[0] = 1 << 1 | 1 << 2 | 1 << 3 | 1 << 4;
    page (&c, 2, copies, 1000, false);
    assert_int_equal (status_of (&c).crowded[1], 0);
    assert_int_equal (status_of (&c).surplus, 1);
    assert_int_equal (cluster_count (&c, ACTION_REPLICATE), 0);
    cluster_free (&c);
}

/* Copies that are to leave a worker are no unmet rule; and what had to share a domain
 * is counted again when repair has made it so, without a rejoin or an operator. */
static void test_crowded_counted (void **state)
{
    static const char *const locations[] = {"dc/r1/a", "dc/r1/b", "dc/r1/c", "dc/r2/d"};
    cluster_core_t c;
    uint64_t copies[1] = {1 << 1 | 1 << 2 | 1 << 3};

    (void)state;
    cluster_make (&c, NULL, 4, 2, 2, NULL);
    cluster_beat (&c, 1, CONDITION_FAILING, 0, 0);
    assert_int_equal (c.scan.worker, 0);
    page (&c, 1, copies, 1000, false);
    assert_int_equal (ordered (&c, 0), 1);
    for (int level = 0; level < CORE_DOMAIN_LEVELS; level++)
        assert_int_equal (status_of (&c).crowded[level], 0);
    cluster_free (&c);

    /* The other rack dies; what it had goes to this one. */
    cluster_make (&c, NULL, 4, 2, 2, locations);
    die (&c, 4, ALL & ~16ULL);
    copies[0] = 1 << 1 | 1 << 2 | 1 << 4;
    page (&c, 1, copies, 1000, false);
    assert_int_equal (cluster_want (&c, ACTION_REPLICATE)->u.replicate.grant.targets[0],
                      3);
    cluster_change (&c, 3, CHANGE_STORED, 1, 1000);
    cluster_pass (&c, 5 * SEC, ALL & ~16ULL);
    assert_int_equal (c.scan.worker, 0);
    assert_true (c.scan.from_start);
    copies[0] = 1 << 1 | 1 << 2 | 1 << 3;
    page (&c, 1, copies, 1000, false);
    assert_int_equal (status_of (&c).crowded[0], 0);
    assert_int_equal (status_of (&c).crowded[1], 1);
    /* Once is enough. */
    cluster_pass (&c, 60 * SEC, ALL & ~16ULL);
    assert_int_equal (cluster_count (&c, ACTION_SCAN_WORKER), 0);
    cluster_free (&c);
}

/* A death is a worry until what it took is there again, and no longer. */
static void test_health (void **state)
{
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 4, 2, 2, NULL);
    die (&c, 1, ALL & ~2ULL);
    cluster_pass (&c, 2 * SEC, ALL & ~2ULL);
    assert_int_equal (status_of (&c).health, HEALTH_DEGRADED); /* not looked at yet */
    cluster_scanned (&c);
    assert_int_equal (status_of (&c).health, HEALTH_OK);
    assert_int_equal (core_may_remove (c.core, 1), DFS_OK);
    cluster_free (&c);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_dead_worker),     cmocka_unit_test (test_order),
        cmocka_unit_test (test_tried_elsewhere), cmocka_unit_test (test_source),
        cmocka_unit_test (test_readers),         cmocka_unit_test (test_hold),
        cmocka_unit_test (test_pages),           cmocka_unit_test (test_bandwidth),
        cmocka_unit_test (test_damaged),         cmocka_unit_test (test_drain),
        cmocka_unit_test (test_undrain),         cmocka_unit_test (test_drained_dies),
        cmocka_unit_test (test_crowded),         cmocka_unit_test (test_health),
        cmocka_unit_test (test_crowded_counted), cmocka_unit_test (test_few_workers),
        cmocka_unit_test (test_no_room),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("core_repair", tests, NULL, NULL);
}
