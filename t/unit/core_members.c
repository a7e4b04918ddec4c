/* SPDX-License-Identifier: MPL-2.0 */
/* States of workers by hellos, heartbeats, silence and probes; their change sequences.
 */
#include "t/unit/core_cluster.h"

#include <string.h>

#define ALL 0xfffffffeULL

static void test_joins (void **state)
{
    cluster_core_t c;
    const action_t *action;

    (void)state;
    cluster_make (&c, NULL, 2, 2, 2, NULL);
    assert_int_equal (cluster_state (&c, 1), WORKER_UP);
    cluster_member (&c, 3, NULL, false, false);
    assert_int_equal (cluster_state (&c, 3), WORKER_JOINING);
    cluster_hello (&c, 3, 33, 1, 10 * GIB);
    assert_int_equal (cluster_state (&c, 3), WORKER_JOINING);
    action = cluster_want (&c, ACTION_LOOKUP_MARKS);
    assert_int_equal (action->u.marks.worker, 3);

    core_mark_t mark = {.incarnation = 1, .seq = 17};
    event_t event = {.type = EVENT_MARKS_FOUND,
                     .u.marks = {action->u.marks.token, &mark, 1}};
    cluster_step (&c, event);
    action = cluster_want (&c, ACTION_WELCOME);
    assert_int_equal (action->u.welcome.conn, 33);
    assert_int_equal (action->u.welcome.marks[0].seq, 17);
    assert_int_equal (action->u.welcome.marks[0].id[0], 3);
    assert_int_equal (cluster_state (&c, 3), WORKER_UP);
    cluster_pass (&c, 600 * MS, 1 << 1 | 1 << 2);
    action = cluster_want (&c, ACTION_DIRECTORY);
    assert_int_equal (action->u.directory.n, 3);
    assert_int_equal (action->u.directory.workers[2].state, WORKER_UP);
    assert_string_equal (action->u.directory.workers[2].host, "host3");
    cluster_free (&c);
}

static void test_unknown_worker (void **state)
{
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 1, 1, 1, NULL);
    cluster_hello (&c, 9, 99, 1, GIB);
    assert_int_equal (cluster_want (&c, ACTION_CLOSE)->u.close.conn, 99);
    assert_int_equal (cluster_state (&c, 9), WORKER_REMOVED);
    /* A second connection of a worker takes the place of the first. */
    cluster_hello (&c, 1, 50, 1001, GIB);
    assert_int_equal (cluster_want (&c, ACTION_CLOSE)->u.close.conn, 1);
    /* The end of the old one means nothing any more. */
    cluster_closed (&c, 1);
    assert_int_equal (cluster_state (&c, 1), WORKER_UP);
    cluster_free (&c);
}

/* Two intervals of silence: suspect; the timeout: dead; a heartbeat: back. */
static void test_silence (void **state)
{
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    cluster_pass (&c, 10 * SEC, ALL);
    for (uint32_t id = 1; id <= 3; id++)
        assert_int_equal (cluster_state (&c, id), WORKER_UP);
    cluster_pass (&c, 900 * MS, ALL & ~2ULL);
    assert_int_equal (cluster_state (&c, 1), WORKER_UP);
    cluster_pass (&c, 400 * MS, ALL & ~2ULL);
    assert_int_equal (cluster_state (&c, 1), WORKER_SUSPECT);
    cluster_pass (&c, 1100 * MS, ALL & ~2ULL);
    assert_int_equal (cluster_state (&c, 1), WORKER_SUSPECT);
    cluster_pass (&c, 200 * MS, ALL & ~2ULL);
    assert_int_equal (cluster_state (&c, 1), WORKER_DEAD);
    assert_int_equal (cluster_state (&c, 2), WORKER_UP);
    cluster_pass (&c, SEC, ALL & ~2ULL);
    const action_announce_t *announce = &cluster_want (&c, ACTION_ANNOUNCE)->u.announce;
    assert_int_equal (announce->n_lost, 1);
    assert_int_equal (announce->lost[0], 1);
    /* Its connection still stands (it was frozen): it is simply back. */
    cluster_beat (&c, 1, CONDITION_OK, 0, 0);
    assert_int_equal (cluster_state (&c, 1), WORKER_UP);
    assert_int_equal (cluster_want (&c, ACTION_ANNOUNCE)->u.announce.n_lost, 0);
    cluster_free (&c);
}

static void probe_answer (cluster_core_t *c, uint64_t probe, int outcome)
{
    cluster_step (
        c, (event_t){.type = EVENT_PROBE_RESULT, .u.probe = {1, probe, outcome}});
}

/* Lets probes of worker 1 be answered by OUTCOME for AFTER; others stay alive. */
static void pass_probed (cluster_core_t *c, uint64_t after, int outcome)
{
    for (uint64_t end = c->now + after; c->now < end;) {
        cluster_pass (c, 10 * MS, ALL & ~2ULL);
        const action_t *probe = cluster_action (c, ACTION_PROBE, 0);
        if (probe)
            probe_answer (c, probe->u.probe.probe, outcome);
    }
}

static void test_closed_and_refused (void **state)
{
    cluster_core_t c;
    const action_t *probe;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    cluster_closed (&c, 1);
    assert_int_equal (cluster_state (&c, 1), WORKER_SUSPECT);
    probe = cluster_want (&c, ACTION_PROBE);
    assert_int_equal (probe->u.probe.worker, 1);
    assert_int_equal (probe->u.probe.port, 7001);
    assert_string_equal (probe->u.probe.host, "host1");
    probe_answer (&c, probe->u.probe.probe, PROBE_REFUSED);
    pass_probed (&c, 900 * MS, PROBE_REFUSED);
    assert_int_equal (cluster_state (&c, 1), WORKER_SUSPECT);
    pass_probed (&c, 350 * MS, PROBE_REFUSED);
    assert_int_equal (cluster_state (&c, 1), WORKER_DEAD);
    cluster_free (&c);
}

/* An open port or silence of the network proves nothing: only time does. */
static void test_closed_and_open (void **state)
{
    cluster_core_t c;

    (void)state;
    for (int outcome = PROBE_OPEN; outcome <= PROBE_SILENT; outcome += PROBE_SILENT) {
        cluster_make (&c, NULL, 3, 2, 2, NULL);
        cluster_closed (&c, 1);
        probe_answer (&c, cluster_want (&c, ACTION_PROBE)->u.probe.probe, outcome);
        pass_probed (&c, 2300 * MS, outcome);
        assert_int_equal (cluster_state (&c, 1), WORKER_SUSPECT);
        pass_probed (&c, 300 * MS, outcome);
        assert_int_equal (cluster_state (&c, 1), WORKER_DEAD);
        cluster_free (&c);
    }
}

static void test_other_process (void **state)
{
    cluster_core_t c;
    event_t event = {.type = EVENT_HEARTBEAT};

    (void)state;
    cluster_make (&c, NULL, 2, 2, 2, NULL);
    cluster_pass (&c, 800 * MS, ALL & ~2ULL);
    /* A late heartbeat of the process before keeps nobody alive. */
    event.u.heartbeat.worker = 1;
    event.u.heartbeat.incarnation = 4711;
    cluster_step (&c, event);
    cluster_pass (&c, 600 * MS, ALL & ~2ULL);
    assert_int_equal (cluster_state (&c, 1), WORKER_SUSPECT);
    cluster_free (&c);
}

static void test_drain_and_remove (void **state)
{
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    cluster_member (&c, 1, NULL, true, false);
    assert_int_equal (cluster_state (&c, 1), WORKER_DRAINING);
    for (uint64_t i = 1; i < 40; i++) {
        const core_placed_t *placed = cluster_put (&c, i, 1000);
        assert_int_equal (placed->grant.n_targets, 2);
        assert_int_not_equal (placed->grant.targets[0], 1);
        assert_int_not_equal (placed->grant.targets[1], 1);
    }
    cluster_member (&c, 1, NULL, false, false);
    assert_int_equal (cluster_state (&c, 1), WORKER_UP);
    cluster_member (&c, 2, NULL, false, true);
    assert_int_equal (cluster_state (&c, 2), WORKER_REMOVED);
    assert_int_equal (cluster_want (&c, ACTION_CLOSE)->u.close.worker, 2);
    assert_int_equal (cluster_want (&c, ACTION_DIRECTORY)->u.directory.n, 2);
    cluster_free (&c);
}

/* Who comes and goes all the time gets nothing new for a while. */
static void test_flaps (void **state)
{
    cluster_core_t c;
    core_worker_status_t shown[8];
    int to_it = 0;

    (void)state;
    cluster_make (&c, NULL, 4, 2, 2, NULL);
    for (int i = 0; i < 5; i++) {
        cluster_pass (&c, 100 * MS, ALL & ~2ULL);
        cluster_closed (&c, 1);
        cluster_join (&c, 1, 0);
    }
    assert_int_equal (cluster_state (&c, 1), WORKER_UP);
    assert_int_equal (core_workers (c.core, shown, 8), 4);
    assert_int_equal (shown[0].flaps, 5);
    assert_in_range (shown[0].damped_ns, SEC, 60 * SEC);
    assert_int_equal (shown[1].damped_ns, 0);
    for (uint64_t i = 1; i < 40; i++) {
        const core_placed_t *placed = cluster_put (&c, i, 1000);
        to_it += placed->grant.targets[0] == 1 || placed->grant.targets[1] == 1;
    }
    assert_int_equal (to_it, 0);
    cluster_pass (&c, 60 * SEC, ALL);
    for (uint64_t i = 100; i < 140; i++) {
        const core_placed_t *placed = cluster_put (&c, i, 1000);
        to_it += placed->grant.targets[0] == 1 || placed->grant.targets[1] == 1;
    }
    assert_true (to_it > 5);
    core_workers (c.core, shown, 8);
    assert_int_equal (shown[0].damped_ns, 0);
    cluster_free (&c);
}

/* --- change sequences --- */

static void send_changes (cluster_core_t *c, uint64_t first, size_t n)
{
    core_change_t items[8];
    event_t event = {.type = EVENT_CHANGES};

    memset (items, 0, sizeof items);
    for (size_t i = 0; i < n; i++)
        items[i] = (core_change_t){CHANGE_STORED, cluster_key (first + i), 1, 10, 0};
    event.u.changes.worker = 1;
    event.u.changes.conn = 1;
    event.u.changes.store[0] = 1;
    event.u.changes.incarnation = 1;
    event.u.changes.first_seq = first;
    event.u.changes.items = items;
    event.u.changes.n = n;
    cluster_step (c, event);
}

static void test_changes (void **state)
{
    cluster_core_t c;
    event_t event = {.type = EVENT_LOCATIONS_APPLIED};
    const action_apply_t *apply;

    (void)state;
    cluster_make (&c, NULL, 1, 1, 1, NULL);
    send_changes (&c, 1, 3);
    apply = &cluster_want (&c, ACTION_LOCATIONS_APPLY)->u.apply;
    assert_int_equal (apply->first_seq, 1);
    assert_int_equal (apply->n, 3);
    assert_null (cluster_action (&c, ACTION_CHANGES_ACK, 0));
    event.u.applied = (event_applied_t){apply->token, DFS_OK, 3};
    /* Sent again in part: only what is new goes on. */
    send_changes (&c, 2, 4);
    apply = &cluster_want (&c, ACTION_LOCATIONS_APPLY)->u.apply;
    assert_int_equal (apply->first_seq, 4);
    assert_int_equal (apply->n, 2);
    send_changes (&c, 1, 5);
    assert_null (cluster_action (&c, ACTION_LOCATIONS_APPLY, 0));
    cluster_step (&c, event);
    assert_int_equal (cluster_want (&c, ACTION_CHANGES_ACK)->u.ack.mark.seq, 3);
    /* A hole: asked for once, then the connection begins anew. */
    send_changes (&c, 9, 1);
    assert_null (cluster_action (&c, ACTION_LOCATIONS_APPLY, 0));
    assert_int_equal (cluster_want (&c, ACTION_CHANGES_ACK)->u.ack.mark.seq, 3);
    send_changes (&c, 10, 1);
    assert_null (cluster_action (&c, ACTION_CHANGES_ACK, 0));
    assert_null (cluster_action (&c, ACTION_CLOSE, 0));
    cluster_pass (&c, 2500 * MS, ALL);
    send_changes (&c, 11, 1);
    assert_int_equal (cluster_want (&c, ACTION_CLOSE)->u.close.conn, 1);
    cluster_free (&c);
}

static void test_changes_stale (void **state)
{
    cluster_core_t c;
    event_t event = {.type = EVENT_LOCATIONS_APPLIED};

    (void)state;
    cluster_make (&c, NULL, 1, 1, 1, NULL);
    send_changes (&c, 1, 3);
    event.u.applied.token = cluster_want (&c, ACTION_LOCATIONS_APPLY)->u.apply.token;
    event.u.applied.code = DFS_ESTALE;
    cluster_step (&c, event);
    assert_int_equal (cluster_want (&c, ACTION_CHANGES_ACK)->u.ack.mark.seq, 0);
    send_changes (&c, 1, 3);
    assert_int_equal (cluster_want (&c, ACTION_LOCATIONS_APPLY)->u.apply.first_seq, 1);
    cluster_free (&c);
}

/* The pages behind one that could not be stored are not a whole listing. */
static void test_listing_fails (void **state)
{
    cluster_core_t c;
    event_t page = {.type = EVENT_CHANGES};
    event_t event = {.type = EVENT_LOCATIONS_APPLIED};
    core_change_t item = {CHANGE_STORED, cluster_key (1), 90, 1000, 0};

    (void)state;
    cluster_make (&c, NULL, 1, 1, 1, NULL);
    page.u.changes.worker = page.u.changes.store[0] = 1;
    page.u.changes.conn = 1;
    page.u.changes.incarnation = 1;
    page.u.changes.inventory = true;
    page.u.changes.items = &item;
    page.u.changes.n = 1;
    cluster_step (&c, page);
    assert_true (cluster_want (&c, ACTION_LOCATIONS_APPLY)->u.apply.inventory_begin);
    event.u.applied.token = cluster_want (&c, ACTION_LOCATIONS_APPLY)->u.apply.token;
    event.u.applied.code = DFS_EIO;
    cluster_step (&c, event);
    assert_int_equal (cluster_want (&c, ACTION_CLOSE)->u.close.conn, 1);
    page.u.changes.inventory_end = true;
    page.u.changes.first_seq = 5;
    cluster_step (&c, page);
    assert_null (cluster_action (&c, ACTION_LOCATIONS_APPLY, 0));
    cluster_free (&c);
}

#define EVERYBODY 0xfffffffeULL

static void role (cluster_core_t *c, bool leader, uint64_t term)
{
    cluster_step (c, (event_t){.type = EVENT_ROLE, .u.role = {leader, 3, term}});
}

static core_status_t status_of (const cluster_core_t *c)
{
    core_status_t status;

    core_status (c->core, &status);
    return status;
}

/* A term begins while a worker is silent whose connection stands: when it is heard
 * again all is known, without a hello. */
static void test_silent_at_election (void **state)
{
    core_config_t config = {.seed = 1, .upload_timeout_ns = SEC};
    cluster_core_t c;

    (void)state;
    cluster_make (&c, &config, 3, 2, 2, NULL);
    cluster_pass (&c, 1300 * MS, EVERYBODY & ~2ULL);
    assert_int_equal (cluster_state (&c, 1), WORKER_SUSPECT);
    role (&c, false, 10);
    role (&c, true, 10);
    cluster_pass (&c, SEC / 2, EVERYBODY & ~2ULL);
    assert_true (status_of (&c).reclaim_waits);
    cluster_pass (&c, 10 * SEC, EVERYBODY);
    assert_int_equal (cluster_state (&c, 1), WORKER_UP);
    assert_false (status_of (&c).reclaim_waits);
    cluster_free (&c);
}

/* Workers that died long ago do not vanish together when another broker leads; those
 * that were there until now do. */
static void test_long_dead (void **state)
{
    uint64_t alive = EVERYBODY;
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 6, 2, 2, NULL);
    for (int dead = 1; dead <= 3; dead++) {
        alive &= ~(1ULL << dead);
        cluster_pass (&c, 100 * SEC, alive);
        assert_false (status_of (&c).repair_held);
    }
    role (&c, false, 10);
    role (&c, true, 10);
    cluster_pass (&c, 20 * SEC, alive);
    assert_int_equal (cluster_state (&c, 1), WORKER_DEAD);
    assert_false (status_of (&c).repair_held);
    cluster_pass (&c, 20 * SEC, EVERYBODY);
    for (uint32_t id = 1; id <= 3; id++)
        cluster_join (&c, id, 0);
    role (&c, false, 11);
    role (&c, true, 11);
    cluster_pass (&c, 20 * SEC, EVERYBODY & ~(2ULL | 4 | 8));
    assert_true (status_of (&c).repair_held);
    cluster_free (&c);
}

/* What is told again and is the same is told to nobody. */
static void test_directory_once (void **state)
{
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 5, 2, 2, NULL);
    for (uint32_t id = 1; id <= 5; id++) {
        cluster_member (&c, id, NULL, false, false);
        assert_null (cluster_action (&c, ACTION_DIRECTORY, 0));
    }
    cluster_member (&c, 3, NULL, true, false);
    assert_int_equal (cluster_state (&c, 3), WORKER_DRAINING);
    assert_int_equal (cluster_count (&c, ACTION_DIRECTORY), 1);
    cluster_member (&c, 3, NULL, false, false);
    assert_int_equal (cluster_state (&c, 3), WORKER_UP);
    cluster_free (&c);
}

/* Where a running worker says that it stands is not undone by its record. */
static void test_location_of_hello (void **state)
{
    core_store_t store = {.id = {1}, .incarnation = 1, .capacity = 100 * GIB};
    event_t event = {.type = EVENT_WORKER_HELLO};
    core_worker_status_t workers[2];
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 2, 2, 2, NULL);
    event.u.hello = (event_hello_t){.worker = 1,
                                    .conn = 77,
                                    .incarnation = 1001,
                                    .location = "dc2/rack/host",
                                    .stores = &store,
                                    .n_stores = 1};
    cluster_step (&c, event);
    cluster_member (&c, 1, NULL, true, false);
    assert_int_equal (core_workers (c.core, workers, 2), 2);
    assert_string_equal (workers[0].location, "dc2/rack/host");
    cluster_member (&c, 2, "dc3/rack/host", false, false);
    assert_int_equal (core_workers (c.core, workers, 2), 2);
    assert_string_equal (workers[1].location, "dc3/rack/host");
    cluster_free (&c);
}

/* Changes that come again, because their acknowledgement got lost, are acknowledged. */
static void test_acknowledged_again (void **state)
{
    core_change_t change = {CHANGE_STORED, cluster_key (1), 90, 100, 7};
    event_t event = {.type = EVENT_CHANGES};
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 2, 2, 2, NULL);
    event.u.changes = (event_changes_t){.worker = 1,
                                        .conn = 1,
                                        .store = {1},
                                        .incarnation = 1,
                                        .first_seq = 1,
                                        .last_seq = 1,
                                        .items = &change,
                                        .n = 1};
    cluster_step (&c, event);
    cluster_want (&c, ACTION_LOCATIONS_APPLY);
    cluster_step (&c, event);
    assert_null (cluster_action (&c, ACTION_LOCATIONS_APPLY, 0));
    cluster_want (&c, ACTION_CHANGES_ACK);
    cluster_free (&c);
}

/* The broker was away, and all that was sent to it meanwhile is still to be read. */
static void test_broker_late (void **state)
{
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 5, 2, 2, NULL);
    for (int stall = 0; stall < 4; stall++) {
        cluster_pass (&c, 8 * SEC, ALL);
        c.now += 3300 * MS;
        for (uint32_t id = 1; id <= 5; id++)
            cluster_beat (&c, id, CONDITION_OK, 0, 0);
        for (uint32_t id = 1; id <= 5; id++)
            assert_int_equal (cluster_state (&c, id), WORKER_UP);
    }
    assert_int_equal (cluster_put (&c, 1, 1000)->grant.n_targets, 2);
    /* One that does not speak up is dead all the same, though it is always late. */
    for (int i = 0; i < 10; i++) {
        c.now += SEC;
        for (uint32_t id = 2; id <= 5; id++)
            cluster_beat (&c, id, CONDITION_OK, 0, 0);
    }
    assert_int_equal (cluster_state (&c, 1), WORKER_DEAD);
    assert_int_equal (cluster_state (&c, 2), WORKER_UP);
    cluster_free (&c);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_joins),
        cmocka_unit_test (test_unknown_worker),
        cmocka_unit_test (test_silence),
        cmocka_unit_test (test_closed_and_refused),
        cmocka_unit_test (test_closed_and_open),
        cmocka_unit_test (test_other_process),
        cmocka_unit_test (test_drain_and_remove),
        cmocka_unit_test (test_flaps),
        cmocka_unit_test (test_changes),
        cmocka_unit_test (test_changes_stale),
        cmocka_unit_test (test_listing_fails),
        cmocka_unit_test (test_silent_at_election),
        cmocka_unit_test (test_long_dead),
        cmocka_unit_test (test_acknowledged_again),
        cmocka_unit_test (test_directory_once),
        cmocka_unit_test (test_location_of_hello),
        cmocka_unit_test (test_broker_late),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("core_members", tests, NULL, NULL);
}
