/* SPDX-License-Identifier: MPL-2.0 */
/* Place, grants, Durable and the check of a Commit. */
#include "t/unit/core_cluster.h"

#include <stdio.h>
#include <string.h>

#define ALL 0xfffffffeULL

static const core_placed_t *placed_with (cluster_core_t *c, uint64_t number,
                                         uint64_t refs, uint64_t copies,
                                         uint64_t condemned)
{
    cluster_place (c, 1, number, 1000, 0);
    cluster_found (c, cluster_want (c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, number,
                   1000, refs, copies, condemned);
    return &cluster_want (c, ACTION_PLACED)->u.placed.items[0];
}

static void test_have_or_send (void **state)
{
    cluster_core_t c;
    const core_placed_t *placed;

    (void)state;
    cluster_make (&c, NULL, 4, 2, 2, NULL);
    placed = placed_with (&c, 1, 3, 1 << 1 | 1 << 2, 0);
    assert_true (placed->have);
    assert_int_equal (placed->copies, 2);
    assert_int_equal (placed->index, 100);
    /* Short of copies: one more, elsewhere. */
    placed = placed_with (&c, 2, 3, 1 << 1, 0);
    assert_false (placed->have);
    assert_int_equal (placed->code, 0);
    assert_int_equal (placed->grant.n_targets, 1);
    assert_int_not_equal (placed->grant.targets[0], 1);
    assert_int_equal (placed->copies, 2);
    /* Condemned: sent again, whoever has it. */
    placed = placed_with (&c, 3, 0, 1 << 1 | 1 << 2, 60);
    assert_false (placed->have);
    assert_int_equal (placed->grant.n_targets, 2);
    /* Copies on a worker that is not up do not count. */
    cluster_closed (&c, 1);
    placed = placed_with (&c, 4, 3, 1 << 1 | 1 << 2, 0);
    assert_false (placed->have);
    assert_int_equal (placed->grant.n_targets, 1);
    cluster_free (&c);
}

static void test_grant (void **state)
{
    cluster_core_t c;
    const action_placed_t *placed;
    const grant_t *grant;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    cluster_put (&c, 5, 40 * MIB);
    placed = &cluster_want (&c, ACTION_PLACED)->u.placed;
    grant = &placed->items[0].grant;
    assert_int_equal (placed->n_workers, 2);
    assert_int_equal (placed->workers[0].id, grant->targets[0]);
    assert_int_equal (placed->workers[0].port, 7000 + grant->targets[0]);
    assert_int_equal (grant->upload, 7);
    assert_int_equal (grant->birth, 100);
    assert_int_equal (grant->length, 40 * MIB);
    assert_int_equal (grant->incarnation, 3);
    assert_int_equal (grant->term, 9);
    assert_true (grant->expiry_ns > 1000000 * SEC + c.now);
    assert_int_equal (placed->items[0].credit, 16 * MIB);
    /* All of a small one at once. */
    assert_int_equal (cluster_put (&c, 6, 4096)->credit, 0);
    cluster_free (&c);
}

static void test_bad_items (void **state)
{
    cluster_core_t c;
    event_place_item_t items[3] = {{.key = cluster_key (1), .length = 0},
                                   {.key = cluster_key (2), .length = 65 * MIB},
                                   {.key = cluster_key (3), .length = 10}};
    event_t event = {.type = EVENT_PLACE, .u.place = {1, 4, 7, 0, items, 2}};

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    cluster_step (&c, event);
    assert_int_equal (cluster_want (&c, ACTION_PLACED)->u.placed.items[0].code,
                      DFS_EINVAL);
    assert_int_equal (cluster_want (&c, ACTION_PLACED)->u.placed.items[1].code,
                      DFS_EINVAL);
    event.u.place.session = 99;
    cluster_step (&c, event);
    assert_int_equal (cluster_want (&c, ACTION_PLACED)->u.placed.items[0].code,
                      DFS_ESTALE);
    event.u.place.session = 1;
    event.u.place.policy = 5;
    cluster_step (&c, event);
    assert_int_equal (cluster_want (&c, ACTION_PLACED)->u.placed.items[0].code,
                      DFS_EINVAL);
    /* The same chunk twice: one question, one answer. */
    items[0] = items[1] = items[2];
    event.u.place.policy = 1;
    event.u.place.n = 3;
    cluster_step (&c, event);
    assert_int_equal (cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.n, 1);
    cluster_found (&c, cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, 3, 10,
                   0, 0, 0);
    assert_int_equal (cluster_want (&c, ACTION_PLACED)->u.placed.n, 1);
    assert_true (cluster_want (&c, ACTION_PLACED)->u.placed.last);
    /* Known with another length. */
    cluster_place (&c, 9, 8, 1000, 0);
    cluster_found (&c, cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, 8, 999,
                   1, 6, 0);
    assert_int_equal (cluster_want (&c, ACTION_PLACED)->u.placed.items[0].code,
                      DFS_EINVAL);
    cluster_free (&c);
}

static void test_domains (void **state)
{
    static const char *const places[] = {"dc/r1/a", "dc/r1/b", "dc/r1/c",
                                         "dc/r1/d", "dc/r2/e", "dc/r3/f"};
    cluster_core_t c;
    int first[7] = {0};

    (void)state;
    cluster_make (&c, NULL, 6, 3, 2, places);
    for (uint64_t i = 1; i <= 200; i++) {
        const core_placed_t *placed = cluster_put (&c, i, 1000);
        int racks = 0;

        assert_int_equal (placed->grant.n_targets, 3);
        for (int k = 0; k < 3; k++) {
            uint32_t id = placed->grant.targets[k];
            racks |= id <= 4 ? 1 : id == 5 ? 2 : 4;
            first[id]++;
        }
        assert_int_equal (racks, 7);
    }
    /* Within the large rack everybody gets some. */
    for (int id = 1; id <= 4; id++)
        assert_true (first[id] > 20);
    cluster_free (&c);
}

/* Puts N chunks from number FIRST on: each gets a copy in the racks of NEED (bits) and
 * none on worker NOT. */
static void put_many (cluster_core_t *c, uint64_t first, size_t n, uint32_t need,
                      uint32_t not, const uint32_t *rack)
{
    for (size_t i = 0; i < n; i++) {
        const core_placed_t *placed = cluster_put (c, first + i, 1000);
        uint32_t racks = 0;

        assert_int_equal (placed->grant.n_targets, 3);
        for (uint32_t k = 0; k < 3; k++) {
            uint32_t id = placed->grant.targets[k];

            assert_int_not_equal (id, not );
            assert_int_not_equal (id, placed->grant.targets[(k + 1) % 3]);
            racks |= 1U << rack[id];
        }
        assert_int_equal (racks, need);
    }
}

/* Of more workers than are looked at one by one those are met that stand alone, however
 * few, also when somebody has moved or gone. */
static void test_many_workers (void **state)
{
    enum { N = 60 };
    static char places[N][16];
    const char *locations[N];
    uint32_t rack[N + 1];
    cluster_core_t c;

    (void)state;
    for (uint32_t i = 0; i < N; i++) {
        rack[i + 1] = i == 20 || i == 41 ? 2 : i % 2;
        snprintf (places[i], sizeof places[i], "dc/r%u/h%u", rack[i + 1], i);
        locations[i] = places[i];
    }
    cluster_make (&c, NULL, N, 3, 3, locations);
    put_many (&c, 1, 100, 7, 0, rack);
    rack[21] = 0;
    cluster_member (&c, 21, "dc/r0/h99", false, false);
    put_many (&c, 201, 100, 7, 0, rack);
    cluster_closed (&c, 42);
    put_many (&c, 401, 100, 3, 42, rack);
    cluster_join (&c, 42, 0);
    put_many (&c, 601, 100, 7, 0, rack);
    cluster_free (&c);
}

/* More room, more chunks; no room, none. */
static void test_weights (void **state)
{
    cluster_core_t c;
    int got[4] = {0};

    (void)state;
    cluster_make (&c, NULL, 3, 1, 1, NULL);
    cluster_beat (&c, 1, CONDITION_OK, 90 * GIB, 0);
    cluster_beat (&c, 3, CONDITION_OK, 100 * GIB, 0);
    for (uint64_t i = 1; i <= 300; i++)
        got[cluster_put (&c, i, 1000)->grant.targets[0]]++;
    assert_int_equal (got[3], 0);
    assert_true (got[1] > 5);
    assert_true (got[2] > 4 * got[1]);
    cluster_free (&c);
}

static void test_avoid (void **state)
{
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    for (uint64_t i = 1; i < 30; i++) {
        const grant_t *grant;

        cluster_place (&c, i, i, 1000, 2);
        cluster_found (&c, cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, i,
                       1000, 0, 0, 0);
        grant = &cluster_want (&c, ACTION_PLACED)->u.placed.items[0].grant;
        assert_int_not_equal (grant->targets[0], 2);
        assert_int_not_equal (grant->targets[1], 2);
    }
    /* Nobody else: better than nothing. */
    cluster_closed (&c, 1);
    cluster_place (&c, 50, 50, 1000, 2);
    cluster_found (&c, cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, 50,
                   1000, 0, 0, 0);
    assert_int_equal (
        cluster_want (&c, ACTION_PLACED)->u.placed.items[0].grant.n_targets, 2);
    cluster_free (&c);
}

/* While a worker may come back the item waits; when it is dead, fewer will do. */
static void test_waits_for_workers (void **state)
{
    cluster_core_t c;
    const core_placed_t *placed;

    (void)state;
    cluster_make (&c, NULL, 3, 3, 2, NULL);
    cluster_closed (&c, 3);
    cluster_place (&c, 1, 1, 1000, 0);
    cluster_found (&c, cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, 1, 1000,
                   0, 0, 0);
    assert_null (cluster_action (&c, ACTION_PLACED, 0));
    cluster_pass (&c, 2200 * MS, ALL & ~8ULL);
    assert_null (cluster_action (&c, ACTION_PLACED, 0));
    cluster_pass (&c, 400 * MS, ALL & ~8ULL);
    assert_int_equal (cluster_state (&c, 3), WORKER_DEAD);
    placed = &cluster_want (&c, ACTION_PLACED)->u.placed.items[0];
    assert_int_equal (placed->grant.n_targets, 2);
    assert_int_equal (placed->copies, 2);
    /* One more dead: too few. */
    cluster_closed (&c, 2);
    cluster_pass (&c, 3 * SEC, ALL & ~12ULL);
    assert_int_equal (cluster_put (&c, 2, 1000)->code, DFS_ENOREPLICAS);
    cluster_free (&c);
}

/* Workers that never were or are full are not dead: no fewer copies. */
static void test_too_few (void **state)
{
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 2, 3, 1, NULL);
    assert_int_equal (cluster_put (&c, 1, 1000)->code, DFS_ENOREPLICAS);
    cluster_free (&c);
    cluster_make (&c, NULL, 3, 3, 1, NULL);
    cluster_beat (&c, 2, CONDITION_FULL, 0, 0);
    assert_int_equal (cluster_put (&c, 1, 1000)->code, DFS_ENOREPLICAS);
    cluster_beat (&c, 2, CONDITION_OK, 100 * GIB - 65 * MIB, 0);
    assert_int_equal (cluster_put (&c, 2, 64 * MIB)->code, 0);
    cluster_free (&c);
}

static void test_durable (void **state)
{
    cluster_core_t c;
    const core_placed_t *placed;
    const action_durable_t *durable;
    uint32_t a, b;
    core_worker_status_t workers[3];

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    placed = cluster_put (&c, 1, 1000);
    a = placed->grant.targets[0];
    b = placed->grant.targets[1];
    core_workers (c.core, workers, 3);
    assert_int_equal (workers[a - 1].granted, 1000);
    cluster_change (&c, a, CHANGE_STORED, 1, 1000);
    assert_null (cluster_action (&c, ACTION_DURABLE, 0));
    core_workers (c.core, workers, 3);
    assert_int_equal (workers[a - 1].granted, 0);
    assert_int_equal (workers[b - 1].granted, 1000);
    cluster_change (&c, b, CHANGE_STORED, 1, 1000);
    durable = &cluster_want (&c, ACTION_DURABLE)->u.durable;
    assert_int_equal (durable->n, 1);
    assert_int_equal (durable->session, 1);
    assert_int_equal (durable->items[0].upload, 7);
    assert_int_equal (durable->items[0].copies, 2);
    assert_int_equal (durable->items[0].code, 0);
    core_workers (c.core, workers, 3);
    assert_int_equal (workers[b - 1].granted, 0);
    /* A repeat says nothing. */
    cluster_change (&c, b, CHANGE_RENEWED, 1, 1000);
    assert_null (cluster_action (&c, ACTION_DURABLE, 0));
    cluster_free (&c);
}

static void refused (cluster_core_t *c, uint32_t worker, uint64_t number, int code)
{
    event_t event = {.type = EVENT_REFUSED};

    event.u.refused = (event_refused_t){worker, 1, 7, cluster_key (number), code};
    cluster_step (c, event);
}

static void test_refused (void **state)
{
    cluster_core_t c;
    const core_placed_t *placed;
    const action_replicate_t *order;
    uint32_t a, b;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    /* By the first: nobody has it. */
    placed = cluster_put (&c, 1, 1000);
    refused (&c, placed->grant.targets[0], 1, DFS_EAGAIN);
    assert_int_equal (cluster_want (&c, ACTION_DURABLE)->u.durable.items[0].code,
                      DFS_EAGAIN);
    /* The content is wrong: said so. */
    placed = cluster_put (&c, 2, 1000);
    refused (&c, placed->grant.targets[0], 2, DFS_EDAMAGED);
    assert_int_equal (cluster_want (&c, ACTION_DURABLE)->u.durable.items[0].code,
                      DFS_EDAMAGED);
    /* By the second: the first passes it on to somebody else. */
    placed = cluster_put (&c, 3, 1000);
    a = placed->grant.targets[0];
    b = placed->grant.targets[1];
    refused (&c, b, 3, DFS_ENOSPC);
    assert_null (cluster_action (&c, ACTION_DURABLE, 0));
    cluster_change (&c, a, CHANGE_STORED, 3, 1000);
    assert_null (cluster_action (&c, ACTION_DURABLE, 0));
    order = &cluster_want (&c, ACTION_REPLICATE)->u.replicate;
    assert_int_equal (order->worker, a);
    assert_int_equal (order->grant.n_targets, 1);
    assert_int_equal (order->grant.targets[0], 6 - a - b);
    assert_int_equal (order->grant.order, order->order);
    assert_int_equal (order->grant.length, 1000);
    cluster_change (&c, 6 - a - b, CHANGE_STORED, 3, 1000);
    assert_int_equal (cluster_want (&c, ACTION_DURABLE)->u.durable.items[0].copies, 2);
    cluster_free (&c);
}

/* A target that goes away is not waited for. */
static void test_target_goes (void **state)
{
    cluster_core_t c;
    const core_placed_t *placed;
    uint32_t a, b;

    (void)state;
    cluster_make (&c, NULL, 4, 2, 2, NULL);
    placed = cluster_put (&c, 1, 1000);
    a = placed->grant.targets[0];
    b = placed->grant.targets[1];
    cluster_closed (&c, b);
    assert_null (cluster_action (&c, ACTION_DURABLE, 0));
    cluster_change (&c, a, CHANGE_STORED, 1, 1000);
    assert_int_equal (cluster_want (&c, ACTION_REPLICATE)->u.replicate.worker, a);
    placed = cluster_put (&c, 2, 1000);
    a = placed->grant.targets[0];
    cluster_closed (&c, a);
    assert_int_equal (cluster_want (&c, ACTION_DURABLE)->u.durable.items[0].code,
                      DFS_EAGAIN);
    cluster_free (&c);
}

/* A disk that comes back empty had no copies, whatever was said of them before. */
static void test_disk_replaced (void **state)
{
    cluster_core_t c;
    core_store_t store = {.incarnation = 2, .capacity = 100 * GIB};
    event_t event = {.type = EVENT_WORKER_HELLO};
    copykey_t key = cluster_key (1);
    uint32_t a, b;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    a = cluster_put (&c, 1, 1000)->grant.targets[0];
    b = cluster_want (&c, ACTION_PLACED)->u.placed.items[0].grant.targets[1];
    cluster_change (&c, a, CHANGE_STORED, 1, 1000);
    cluster_change (&c, b, CHANGE_STORED, 1, 1000);
    store.id[0] = (uint8_t)a;
    event.u.hello = (event_hello_t){
        .worker = a, .conn = 77, .incarnation = 5, .stores = &store, .n_stores = 1};
    cluster_step (&c, event);
    cluster_step (&c, (event_t){.type = EVENT_COMMIT, .u.commit = {1, 7, 1, &key, 1}});
    cluster_found (&c, cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, 1, 1000,
                   0, 1ULL << b, 0);
    assert_int_equal (cluster_want (&c, ACTION_COMMIT_REFUSED)->u.commit_refused.code,
                      DFS_EMISSING);
    cluster_free (&c);
}

/* What the locations said of a worker before its first hello may be of a disk that it
 * has lost. */
static void test_disk_lost_while_away (void **state)
{
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    cluster_member (&c, 4, "h4", false, false);
    cluster_place (&c, 1, 1, 1000, 0);
    cluster_found (&c, cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, 1, 1000,
                   0, 1 << 1 | 1 << 4, 0);
    assert_int_equal (
        cluster_want (&c, ACTION_PLACED)->u.placed.items[0].grant.n_targets, 1);
    cluster_join (&c, 4, 0);
    c.workers = 4;
    cluster_pass (&c, 30 * SEC, ALL); /* the grant's target never reports */
    for (size_t i = 0; i < cluster_count (&c, ACTION_DURABLE); i++)
        assert_true (cluster_action (&c, ACTION_DURABLE, i)->u.durable.items[0].code <
                     0);
    cluster_free (&c);
}

static void test_late (void **state)
{
    cluster_core_t c;
    event_t event = {.type = EVENT_PROGRESS};

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    cluster_put (&c, 1, 1000);
    cluster_pass (&c, 4 * SEC, ALL);
    assert_null (cluster_action (&c, ACTION_DURABLE, 0));
    /* Bytes move: more time. */
    event.u.progress = (event_progress_t){1, 1, 7, cluster_key (1), 500};
    cluster_step (&c, event);
    cluster_pass (&c, 4 * SEC, ALL);
    assert_null (cluster_action (&c, ACTION_DURABLE, 0));
    /* The same news again: none. */
    cluster_step (&c, event);
    cluster_pass (&c, 2 * SEC, ALL);
    assert_int_equal (cluster_want (&c, ACTION_DURABLE)->u.durable.items[0].code,
                      DFS_EAGAIN);
    cluster_free (&c);
}

/* Grants that run out together make the next ones wait twice as long, not 2^n times. */
static void test_late_together (void **state)
{
    cluster_core_t c;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    for (uint64_t i = 1; i <= 6; i++)
        cluster_put (&c, i, 1000);
    cluster_pass (&c, 6 * SEC, ALL);
    cluster_put (&c, 7, 1000);
    cluster_pass (&c, 9 * SEC, ALL);
    assert_null (cluster_action (&c, ACTION_DURABLE, 0));
    cluster_pass (&c, 2 * SEC, ALL);
    assert_int_equal (cluster_want (&c, ACTION_DURABLE)->u.durable.items[0].code,
                      DFS_EAGAIN);
    cluster_free (&c);
}

static void commit (cluster_core_t *c, uint64_t first, size_t n)
{
    copykey_t keys[8];
    event_t event = {.type = EVENT_COMMIT, .u.commit = {1, 77, 0, keys, n}};

    for (size_t i = 0; i < n; i++)
        keys[i] = cluster_key (first + i);
    cluster_step (c, event);
}

static void test_commit (void **state)
{
    cluster_core_t c;
    const core_placed_t *placed;
    const action_commit_refused_t *no;
    uint32_t a, b;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    commit (&c, 1, 0);
    assert_int_equal (cluster_want (&c, ACTION_COMMIT_OK)->u.commit_ok.copies,
                      UINT32_MAX);
    placed = cluster_put (&c, 1, 1000);
    a = placed->grant.targets[0];
    b = placed->grant.targets[1];
    cluster_change (&c, a, CHANGE_STORED, 1, 1000);
    commit (&c, 1, 1);
    no = &cluster_want (&c, ACTION_COMMIT_REFUSED)->u.commit_refused;
    assert_int_equal (no->code, DFS_EMISSING);
    assert_int_equal (no->token, 77);
    assert_int_equal (no->n, 1);
    cluster_change (&c, b, CHANGE_STORED, 1, 1000);
    commit (&c, 1, 1);
    assert_int_equal (cluster_want (&c, ACTION_COMMIT_OK)->u.commit_ok.copies, 2);
    /* A damaged copy does not count. */
    cluster_change (&c, b, CHANGE_DAMAGED, 1, 1000);
    commit (&c, 1, 1);
    assert_int_equal (cluster_want (&c, ACTION_COMMIT_REFUSED)->u.commit_refused.n, 1);
    cluster_change (&c, b, CHANGE_STORED, 1, 1000);
    /* Not known here: storage knows. */
    commit (&c, 1, 2);
    assert_int_equal (cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.n, 1);
    cluster_found (&c, cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, 2, 10,
                   1, 1 << 1 | 1 << 3, 0);
    assert_int_equal (cluster_want (&c, ACTION_COMMIT_OK)->u.commit_ok.copies, 2);
    commit (&c, 3, 1);
    cluster_found (&c, cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, 3, 10,
                   1, 1 << 1, 0);
    assert_int_equal (cluster_want (&c, ACTION_COMMIT_REFUSED)->u.commit_refused.n, 1);
    cluster_free (&c);
}

static void commit_length (cluster_core_t *c, uint64_t number, uint64_t length)
{
    copykey_t key = cluster_key (number);
    event_t event = {.type = EVENT_COMMIT, .u.commit = {1, 77, 0, &key, 1, &length}};

    cluster_step (c, event);
}

/* What a client says of a length is believed by nobody but itself. */
static void test_lengths (void **state)
{
    cluster_core_t c;
    const core_placed_t *placed;
    uint32_t a, b;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    cluster_put (&c, 1, 999);
    /* Another upload knows better, and gets a grant for what it has. */
    event_place_item_t item = {.key = cluster_key (1), .length = 1000};
    event_t event = {.type = EVENT_PLACE, .u.place = {1, 5, 8, 0, &item, 1}};
    cluster_step (&c, event);
    cluster_found (&c, cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, 1, 0, 0,
                   0, 0);
    placed = &cluster_want (&c, ACTION_PLACED)->u.placed.items[0];
    assert_int_equal (placed->code, 0);
    assert_int_equal (placed->grant.length, 1000);
    a = placed->grant.targets[0];
    b = placed->grant.targets[1];
    /* Once it is stored, the wrong one hears so, and may not commit. */
    cluster_change (&c, a, CHANGE_STORED, 1, 1000);
    assert_int_equal (cluster_want (&c, ACTION_DURABLE)->u.durable.items[0].code,
                      DFS_EINVAL);
    cluster_change (&c, b, CHANGE_STORED, 1, 1000);
    assert_int_equal (cluster_want (&c, ACTION_DURABLE)->u.durable.items[0].code, 0);
    cluster_place (&c, 6, 1, 999, 0);
    assert_int_equal (cluster_want (&c, ACTION_PLACED)->u.placed.items[0].code,
                      DFS_EINVAL);
    commit_length (&c, 1, 999);
    assert_int_equal (cluster_want (&c, ACTION_COMMIT_REFUSED)->u.commit_refused.code,
                      DFS_EINVAL);
    commit_length (&c, 1, 1000);
    assert_non_null (cluster_action (&c, ACTION_COMMIT_OK, 0));
    /* The same where storage has to be asked. */
    commit_length (&c, 2, 11);
    cluster_found (&c, cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, 2, 10,
                   0, 1 << 1 | 1 << 2, 0);
    assert_int_equal (cluster_want (&c, ACTION_COMMIT_REFUSED)->u.commit_refused.code,
                      DFS_EINVAL);
    cluster_free (&c);
}

/* A worker that comes back sends changes again: what it had, and has no longer, is not
 * counted on the way to what it has. */
static void test_replayed (void **state)
{
    cluster_core_t c;
    core_change_t items[2] = {{CHANGE_STORED, cluster_key (1), 90, 1000, 0},
                              {CHANGE_GONE, cluster_key (1), 90, 0, 0}};
    core_mark_t mark = {.incarnation = 1};
    core_store_t store = {.incarnation = 1, .capacity = 100 * GIB, .last_seq = 2};
    event_t event = {.type = EVENT_WORKER_HELLO};

    (void)state;
    cluster_make (&c, NULL, 3, 1, 1, NULL);
    store.id[0] = 1;
    event.u.hello =
        (event_hello_t){.worker = 1, .conn = 9, .stores = &store, .n_stores = 1};
    cluster_step (&c, event);
    event = (event_t){.type = EVENT_MARKS_FOUND};
    event.u.marks.token = cluster_want (&c, ACTION_LOOKUP_MARKS)->u.marks.token;
    event.u.marks.marks = &mark;
    event.u.marks.n = 1;
    cluster_step (&c, event);
    cluster_place (&c, 1, 1, 1000, 1); /* on any of the others */
    cluster_found (&c, cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, 1, 0, 0,
                   0, 0);
    for (uint64_t i = 0; i < 2; i++) {
        event = (event_t){.type = EVENT_CHANGES};
        event.u.changes.worker = 1;
        event.u.changes.conn = 9;
        event.u.changes.store[0] = 1;
        event.u.changes.incarnation = 1;
        event.u.changes.first_seq = i + 1;
        event.u.changes.items = &items[i];
        event.u.changes.n = 1;
        cluster_step (&c, event);
        assert_null (cluster_action (&c, ACTION_DURABLE, 0));
    }
    cluster_free (&c);
}

static void test_pins_end (void **state)
{
    cluster_core_t c;
    core_config_t config = {.seed = 1, .upload_timeout_ns = 60 * SEC};
    copykey_t key = cluster_key (1);
    core_status_t status;

    (void)state;
    cluster_make (&c, &config, 3, 1, 1, NULL);
    for (uint64_t i = 1; i <= 3; i++)
        cluster_change (&c, cluster_put (&c, i, 10)->grant.targets[0], CHANGE_STORED, i,
                        10);
    core_status (c.core, &status);
    assert_int_equal (status.pins, 3);
    assert_int_equal (status.uploads, 1);
    cluster_step (&c, (event_t){.type = EVENT_COMMITTED, .u.committed = {1, &key, 1}});
    core_status (c.core, &status);
    assert_int_equal (status.pins, 2);
    /* They outlive the session, but not the timeout. */
    cluster_step (&c, (event_t){.type = EVENT_SESSION_GONE, .u.session = {.id = 1}});
    core_status (c.core, &status);
    assert_int_equal (status.pins, 2);
    cluster_pass (&c, 62 * SEC, ALL);
    core_status (c.core, &status);
    assert_int_equal (status.pins, 0);
    assert_int_equal (status.uploads, 0);
    cluster_free (&c);
}

/* Memory is bounded: the oldest durable pins are forgotten, waiting ones refused. */
static void test_bounds (void **state)
{
    cluster_core_t c;
    core_config_t config = {.seed = 1, .max_pins = 10, .max_parked = 2};
    core_status_t status;

    (void)state;
    cluster_make (&c, &config, 3, 1, 1, NULL);
    for (uint64_t i = 1; i <= 30; i++)
        cluster_change (&c, cluster_put (&c, i, 10)->grant.targets[0], CHANGE_STORED, i,
                        10);
    core_status (c.core, &status);
    assert_int_equal (status.pins, 10);
    for (uint64_t i = 31; i <= 40; i++)
        assert_int_equal (cluster_put (&c, i, 10)->code, 0);
    cluster_place (&c, 41, 41, 10, 0);
    assert_int_equal (cluster_want (&c, ACTION_PLACED)->u.placed.items[0].code,
                      DFS_EAGAIN);
    cluster_free (&c);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_have_or_send),
        cmocka_unit_test (test_grant),
        cmocka_unit_test (test_bad_items),
        cmocka_unit_test (test_domains),
        cmocka_unit_test (test_many_workers),
        cmocka_unit_test (test_weights),
        cmocka_unit_test (test_avoid),
        cmocka_unit_test (test_waits_for_workers),
        cmocka_unit_test (test_too_few),
        cmocka_unit_test (test_durable),
        cmocka_unit_test (test_refused),
        cmocka_unit_test (test_target_goes),
        cmocka_unit_test (test_disk_replaced),
        cmocka_unit_test (test_disk_lost_while_away),
        cmocka_unit_test (test_late),
        cmocka_unit_test (test_late_together),
        cmocka_unit_test (test_commit),
        cmocka_unit_test (test_lengths),
        cmocka_unit_test (test_replayed),
        cmocka_unit_test (test_pins_end),
        cmocka_unit_test (test_bounds),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("core_place", tests, NULL, NULL);
}
