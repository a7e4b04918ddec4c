/* SPDX-License-Identifier: MPL-2.0 */
/* Copies that are let go: what the leader tells the workers, on whose word it counts,
 * and when it does nothing. */
#include "t/unit/core_cluster.h"

#include <string.h>

#define ALL 0xfffffffeULL

/* The I-th question for LIST of the last step; 0: none. */
static uint64_t asked (const cluster_core_t *c, int list, size_t i)
{
    const action_t *action;

    for (size_t k = 0; (action = cluster_action (c, ACTION_LOOKUP_RECLAIM, k)); k++)
        if (action->u.reclaim.list == list && i-- == 0)
            return action->u.reclaim.token;
    return 0;
}

static void answer (cluster_core_t *c, uint64_t token, const core_reclaim_t *rows,
                    size_t n, bool held)
{
    event_t event = {.type = EVENT_RECLAIM_FOUND};

    event.u.reclaim.token = token;
    event.u.reclaim.rows = rows;
    event.u.reclaim.n = n;
    event.u.reclaim.held = held;
    cluster_step (c, event);
}

/* A term begins; *HOLD is the question whether reclaim is held. */
static void lead (cluster_core_t *c, const core_reclaim_t *drops, size_t n,
                  uint64_t *hold)
{
    event_t event = {.type = EVENT_ROLE, .u.role = {true, 3, 10}};
    uint64_t token;

    cluster_step (c, event);
    token = asked (c, CORE_LIST_DROPS, 0);
    assert_int_not_equal (token, 0);
    *hold = asked (c, CORE_LIST_CONDEMNED, 0);
    answer (c, token, drops, n, false);
}

static void tell_effect (cluster_core_t *c, core_effect_t effect)
{
    event_t event = {.type = EVENT_EFFECTS, .u.effects = {&effect, 1}};

    cluster_step (c, event);
}

static void proposed (cluster_core_t *c, uint64_t token)
{
    event_t event = {.type = EVENT_PROPOSED, .u.proposed = {token, DFS_OK}};

    cluster_step (c, event);
}

/* A copy goes: ordered, confirmed by the worker's change, taken off the list by an
 * entry; then the worker itself may go. */
static void test_drop (void **state)
{
    cluster_core_t c;
    core_effect_t drop = {.kind = CORE_DROP, .key = cluster_key (1), .worker = 1};
    const action_t *action;
    uint64_t hold;

    (void)state;
    cluster_make (&c, NULL, 4, 2, 2, NULL);
    lead (&c, NULL, 0, &hold);
    drop.limit = 1000;
    drop.trim = true;
    tell_effect (&c, drop);
    /* Not while it is the last one that is there. */
    assert_null (cluster_action (&c, ACTION_DROP_ORDER, 0));
    cluster_found (&c, cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, 1, 100,
                   1, 0, 0);
    assert_null (cluster_action (&c, ACTION_DROP_ORDER, 0));
    cluster_pass (&c, 11 * SEC, ALL);
    assert_null (cluster_action (&c, ACTION_DROP_ORDER, 0));
    assert_int_equal (cluster_count (&c, ACTION_LOOKUP_CHUNKS), 1);
    cluster_found (&c, cluster_want (&c, ACTION_LOOKUP_CHUNKS)->u.chunks.token, 1, 100,
                   1, 1 << 2, 0);
    action = cluster_want (&c, ACTION_DROP_ORDER);
    assert_int_equal (action->u.drop_order.worker, 1);
    assert_int_equal (action->u.drop_order.items[0].limit, 1000);
    cluster_change (&c, 1, CHANGE_GONE, 1, 100);
    action = cluster_want (&c, ACTION_PROPOSE);
    assert_int_equal (action->u.propose.what, PROPOSE_DROPPED);
    hold = action->u.propose.token;
    drop.kind = CORE_DROPPED;
    tell_effect (&c, drop);
    proposed (&c, hold);
    cluster_member (&c, 1, NULL, false, true);
    assert_int_equal (cluster_state (&c, 1), WORKER_REMOVED);
    cluster_free (&c);
}

/* Rows of a worker that is no member any more are confirmed by that. */
static void test_drop_of_removed (void **state)
{
    cluster_core_t c;
    core_reclaim_t row = {.key = cluster_key (1), .worker = 9, .limit = 90};
    const action_t *action;
    uint64_t hold;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    lead (&c, &row, 1, &hold);
    action = cluster_want (&c, ACTION_PROPOSE);
    assert_int_equal (action->u.propose.what, PROPOSE_DROPPED);
    assert_int_equal (action->u.propose.items[0].worker, 9);
    cluster_free (&c);
}

/* What a leader finds on the list is ordered once it knows that nothing is held, and
 * when a hold ends. */
static void test_hold (void **state)
{
    cluster_core_t c;
    core_reclaim_t row = {.key = cluster_key (1), .worker = 1, .limit = 90};
    core_effect_t change = {.kind = CORE_HOLD};
    uint64_t hold;

    (void)state;
    cluster_make (&c, NULL, 3, 2, 2, NULL);
    lead (&c, &row, 1, &hold);
    assert_null (cluster_action (&c, ACTION_DROP_ORDER, 0));
    answer (&c, hold, NULL, 0, true);
    assert_null (cluster_action (&c, ACTION_DROP_ORDER, 0));
    tell_effect (&c, change);
    hold = asked (&c, CORE_LIST_CONDEMNED, 0);
    answer (&c, hold, NULL, 0, false);
    assert_int_equal (cluster_want (&c, ACTION_DROP_ORDER)->u.drop_order.n, 1);
    cluster_free (&c);
}

/* --- trim --- */

/* Chunks 1 and 2, one copy wanted, two there: on workers 1 and 2, on 3 and 4. */
static void two_chunks (core_chunk_t chunks[2])
{
    memset (chunks, 0, 2 * sizeof *chunks);
    for (uint32_t i = 0; i < 2; i++) {
        chunks[i].key = cluster_key (1 + i);
        chunks[i].refs = 1;
        chunks[i].recorded = true;
        chunks[i].length = 100;
        chunks[i].replicas = 1;
        for (uint32_t k = 1; k <= 2; k++)
            chunks[i].copies[chunks[i].n_copies++] =
                (core_copy_t){2 * i + k, 50, false};
    }
}

/* A page shows both; up to the orders to hash; ORDERS by worker. */
static void surplus_seen (cluster_core_t *c, uint64_t orders[6])
{
    core_chunk_t chunks[2];
    event_t event = {.type = EVENT_SCANNED};
    const action_t *action;

    two_chunks (chunks);
    event.u.scanned.token = c->scan.token;
    event.u.scanned.chunks = chunks;
    event.u.scanned.n = 2;
    cluster_step (c, event);
    cluster_pass (c, 100 * MS, ALL);
    event = (event_t){.type = EVENT_CHUNKS_FOUND};
    event.u.chunks.token = cluster_want (c, ACTION_LOOKUP_CHUNKS)->u.chunks.token;
    event.u.chunks.chunks = chunks;
    event.u.chunks.n = 2;
    cluster_step (c, event);
    memset (orders, 0, 6 * sizeof *orders);
    for (size_t i = 0; (action = cluster_action (c, ACTION_VERIFY_ORDER, i)); i++)
        orders[action->u.verify_order.worker] = action->u.verify_order.order;
}

static void begin_trim (cluster_core_t *c, uint64_t orders[6])
{
    uint64_t hold;

    lead (c, NULL, 0, &hold);
    answer (c, hold, NULL, 0, false);
    surplus_seen (c, orders);
}

static void hashed (cluster_core_t *c, uint32_t worker, uint64_t order, uint64_t chunk,
                    int code)
{
    core_verified_t result = {.key = cluster_key (chunk), .code = code};
    event_t event = {.type = EVENT_ORDER_RESULT};

    event.u.order.worker = worker;
    event.u.order.order = order;
    event.u.order.verified = &result;
    event.u.order.n = 1;
    cluster_step (c, event);
}

/* The drops that were proposed for CHUNK; 0: none. */
static uint32_t let_go (const cluster_core_t *c, uint64_t chunk)
{
    copykey_t key = cluster_key (chunk);
    const action_t *action;

    for (size_t i = 0; (action = cluster_action (c, ACTION_PROPOSE, i)); i++)
        for (size_t k = 0;
             action->u.propose.what == PROPOSE_DROP && k < action->u.propose.n; k++)
            if (copykey_cmp (&action->u.propose.items[k].key, &key) == 0)
                return action->u.propose.items[k].worker;
    return 0;
}

/* Of chunk 1 or 2, whose other copy was to be hashed. */
static uint32_t let_go_of (const uint64_t orders[6], uint64_t chunk)
{
    uint32_t first = chunk == 1 ? 1 : 3;

    return orders[first] ? first + 1 : first;
}

static void test_trim (void **state)
{
    cluster_core_t c;
    core_config_t config = {.seed = 1, .trim_delay_ns = MS};
    uint64_t orders[6];
    uint32_t keep, other;

    (void)state;
    cluster_make (&c, &config, 5, 1, 1, NULL);
    begin_trim (&c, orders);
    keep = orders[1] ? 1 : 2;
    other = orders[3] ? 3 : 4;
    hashed (&c, keep, orders[keep], 1, DFS_OK);
    assert_null (cluster_action (&c, ACTION_PROPOSE, 0));
    hashed (&c, other, orders[other], 2, DFS_EDAMAGED);
    /* The other one of the good copy goes; where the copy is bad, nothing does. */
    assert_int_equal (let_go (&c, 1), 3 - keep);
    assert_int_equal (let_go (&c, 2), 0);
    cluster_free (&c);
}

static uint64_t surplus (const cluster_core_t *c)
{
    core_status_t status;

    core_status (c->core, &status);
    return status.surplus;
}

/* What status says is counted again soon after copies were let go, the second time too.
 */
static void test_recount (void **state)
{
    cluster_core_t c;
    core_config_t config = {.seed = 1, .trim_delay_ns = MS};
    uint64_t orders[6], token;

    (void)state;
    cluster_make (&c, &config, 5, 1, 1, NULL);
    begin_trim (&c, orders);
    for (int round = 0; round < 2; round++) {
        if (round > 0)
            surplus_seen (&c, orders);
        assert_int_equal (surplus (&c), 2);
        hashed (&c, orders[1] ? 1 : 2, orders[orders[1] ? 1 : 2], 1, DFS_OK);
        hashed (&c, orders[3] ? 3 : 4, orders[orders[3] ? 3 : 4], 2, DFS_OK);
        token = cluster_want (&c, ACTION_PROPOSE)->u.propose.token;
        for (uint64_t i = 1; i <= 2; i++)
            tell_effect (&c, (core_effect_t){.kind = CORE_DROP,
                                             .key = cluster_key (i),
                                             .worker = let_go_of (orders, i),
                                             .limit = 51,
                                             .trim = true});
        c.scan.token = 0;
        proposed (&c, token);
        cluster_pass (&c, 10 * SEC, ALL);
        assert_int_not_equal (c.scan.token, 0);
        if (round == 0)
            continue; /* it finds as many again */
        cluster_scanned (&c);
        assert_int_equal (surplus (&c), 0);
    }
    cluster_free (&c);
}

/* A worker whose copy was hashed comes back with another disk before the others have
 * answered: its word counts no longer. */
static void test_wiped (void **state)
{
    cluster_core_t c;
    core_config_t config = {.seed = 1, .trim_delay_ns = MS};
    core_store_t store = {.incarnation = 77, .capacity = 100 * GIB};
    core_mark_t mark = {.incarnation = 77};
    event_t event = {.type = EVENT_WORKER_HELLO};
    uint64_t orders[6];
    uint32_t keep, other;

    (void)state;
    cluster_make (&c, &config, 5, 1, 1, NULL);
    begin_trim (&c, orders);
    keep = orders[1] ? 1 : 2;
    other = orders[3] ? 3 : 4;
    hashed (&c, keep, orders[keep], 1, DFS_OK);
    cluster_closed (&c, keep);
    store.id[0] = mark.id[0] = 99;
    event.u.hello = (event_hello_t){.worker = keep,
                                    .conn = 500,
                                    .incarnation = 9999,
                                    .stores = &store,
                                    .n_stores = 1};
    cluster_step (&c, event);
    event = (event_t){.type = EVENT_MARKS_FOUND};
    event.u.marks.token = cluster_want (&c, ACTION_LOOKUP_MARKS)->u.marks.token;
    event.u.marks.marks = &mark;
    event.u.marks.n = 1;
    cluster_step (&c, event);
    assert_int_equal (cluster_state (&c, keep), WORKER_UP);
    hashed (&c, other, orders[other], 2, DFS_OK);
    assert_int_equal (let_go (&c, 1), 0);
    assert_int_equal (let_go (&c, 2), 7 - other);
    cluster_free (&c);
}

/* --- what waits for workers that are away --- */

#define CONDEMNED 600

/* Chunk I was condemned at 10 + I and has one copy, on worker 3. */
static void answer_list (cluster_core_t *c, const action_reclaim_t *ask)
{
    core_reclaim_t rows[CORE_RECLAIM_ROWS];
    event_t event = {.type = EVENT_RECLAIM_FOUND};
    uint64_t first = ask->from_start ? 0 : ask->after.index - 9;
    size_t n = 0;

    memset (rows, 0, sizeof rows);
    for (uint64_t i = first;
         ask->list == CORE_LIST_CONDEMNED && i < CONDEMNED && n < ask->max; i++) {
        rows[n].key = cluster_key (i);
        rows[n].index = 10 + i;
        rows[n++].time_ns = SEC;
    }
    event.u.reclaim.token = ask->token;
    event.u.reclaim.rows = rows;
    event.u.reclaim.n = n;
    event.u.reclaim.more = n > 0 && first + n < CONDEMNED;
    cluster_step (c, event);
}

static void answer_chunks (cluster_core_t *c, const action_lookup_chunks_t *ask)
{
    static core_chunk_t chunks[CORE_RECLAIM_ROWS];
    event_t event = {.type = EVENT_CHUNKS_FOUND};

    memset (chunks, 0, sizeof chunks);
    for (size_t i = 0; i < ask->n; i++) {
        uint64_t number = 0;
        copykey_t key = cluster_key (number);

        while (copykey_cmp (&key, &ask->keys[i]) != 0)
            key = cluster_key (++number);
        chunks[i].key = key;
        chunks[i].recorded = true;
        chunks[i].length = 100;
        chunks[i].condemned = 10 + number;
        chunks[i].n_copies = 1;
        chunks[i].copies[0] = (core_copy_t){3, 5, false};
    }
    event.u.chunks.token = ask->token;
    event.u.chunks.chunks = chunks;
    event.u.chunks.n = ask->n;
    cluster_step (c, event);
}

/* Answers what reclaim asks for a while; returns how many chunks it looked at, *DROPS
 * gets the copies that it wants dropped. */
static size_t rounds (cluster_core_t *c, uint64_t time, uint64_t alive, size_t *drops)
{
    uint64_t end = c->now + time;
    size_t looked = 0;

    *drops = 0;
    while (c->now < end) {
        action_t ask = {0};
        copykey_t keys[CORE_RECLAIM_ROWS];
        const action_t *action;

        cluster_pass (c, 20 * MS, alive);
        for (;;) {
            if ((action = cluster_action (c, ACTION_LOOKUP_RECLAIM, 0))) {
                ask = *action;
                answer_list (c, &ask.u.reclaim);
            } else if ((action = cluster_action (c, ACTION_LOOKUP_CHUNKS, 0))) {
                ask = *action;
                memcpy (keys, ask.u.chunks.keys, ask.u.chunks.n * sizeof *keys);
                ask.u.chunks.keys = keys;
                looked += ask.u.chunks.n;
                answer_chunks (c, &ask.u.chunks);
            } else if ((action = cluster_action (c, ACTION_PROPOSE, 0))) {
                if (action->u.propose.what == PROPOSE_DROP)
                    *drops += action->u.propose.n;
                proposed (c, action->u.propose.token);
            } else {
                break;
            }
        }
    }
    return looked;
}

/* Chunks whose copies are all on a worker that is away are looked at once, not in each
 * round; when it is back they go. */
static void test_away (void **state)
{
    cluster_core_t c;
    core_config_t config = {
        .seed = 1, .upload_timeout_ns = SEC, .reclaim_grace_ns = 4 * SEC};
    uint64_t hold;
    size_t drops, looked;

    (void)state;
    cluster_make (&c, &config, 3, 2, 2, NULL);
    lead (&c, NULL, 0, &hold);
    answer (&c, hold, NULL, 0, false);
    cluster_closed (&c, 3);
    /* Once while it is suspect, perhaps, and once when it is dead. */
    looked = rounds (&c, 8 * SEC, 6, &drops);
    assert_int_equal (cluster_state (&c, 3), WORKER_DEAD);
    assert_true (looked >= CONDEMNED && looked <= 2 * CONDEMNED);
    assert_int_equal (drops, 0);
    assert_int_equal (rounds (&c, 60 * SEC, 6, &drops), 0);
    assert_int_equal (drops, 0);
    cluster_join (&c, 3, 0);
    assert_true (rounds (&c, 3 * SEC, ALL, &drops) >= CONDEMNED);
    assert_true (drops >= CONDEMNED);
    cluster_free (&c);
}

static void verify_ask (cluster_core_t *c, uint64_t *orders, const core_chunk_t *chunks,
                        size_t n)
{
    event_t event = {.type = EVENT_VERIFY, .u.verify = {1, 6, chunks, n, false}};
    const action_t *action;

    cluster_step (c, event);
    for (size_t i = 0; (action = cluster_action (c, ACTION_VERIFY_ORDER, i)); i++)
        orders[action->u.verify_order.worker] = action->u.verify_order.order;
}

static const action_verify_reply_t *verify_told (const cluster_core_t *c, int code)
{
    const action_verify_reply_t *reply =
        &cluster_want (c, ACTION_VERIFY_REPLY)->u.verify_reply;

    assert_int_equal (reply->code, code);
    return reply;
}

/* A copy that goes while it is looked for is not missing; one that goes with nobody's
 * word is. */
static void test_verify_leaving (void **state)
{
    cluster_core_t c;
    uint64_t hold;
    core_reclaim_t listed = {.key = cluster_key (1), .worker = 1, .limit = 9};
    core_effect_t effect = {
        .kind = CORE_DROP, .worker = 2, .key = cluster_key (2), .limit = 9};
    core_chunk_t chunks[3];
    uint64_t orders[5];
    const action_verify_reply_t *reply;

    (void)state;
    cluster_make (&c, NULL, 4, 2, 2, NULL);
    lead (&c, &listed, 1, &hold);
    for (uint32_t id = 1; id <= 4; id++)
        cluster_join (&c, id, 0);
    memset (chunks, 0, sizeof chunks);
    for (uint32_t i = 0; i < 3; i++) {
        chunks[i].key = cluster_key (i + 1);
        chunks[i].refs = 1;
        chunks[i].n_copies = 2;
        chunks[i].copies[0].worker = i + 1;
        chunks[i].copies[1].worker = 4;
    }
    verify_ask (&c, orders, chunks, 3);
    /* Chunk 1 was leaving before; 2 has gone before its worker answers. */
    tell_effect (&c, effect);
    effect.kind = CORE_DROPPED;
    tell_effect (&c, effect);
    for (uint32_t id = 1; id <= 3; id++)
        hashed (&c, id, orders[id], id, DFS_ENOENT);
    for (uint32_t id = 1; id <= 3; id++)
        hashed (&c, 4, orders[4], id, DFS_OK);
    reply = verify_told (&c, DFS_OK);
    assert_int_equal (reply->n, 4);
    for (size_t i = 0; i < reply->n; i++)
        assert_int_equal (reply->replicas[i].code,
                          reply->replicas[i].worker == 4 ? DFS_OK : DFS_ENOENT);

    /* What went a moment ago may still be found; where nothing else was, the client
     * asks again. */
    chunks[1].n_copies = 1;
    verify_ask (&c, orders, &chunks[1], 1);
    hashed (&c, 2, orders[2], 2, DFS_ENOENT);
    verify_told (&c, DFS_EAGAIN);
    cluster_pass (&c, 61 * SEC, ALL);
    verify_ask (&c, orders, &chunks[1], 1);
    hashed (&c, 2, orders[2], 2, DFS_ENOENT);
    reply = verify_told (&c, DFS_OK);
    assert_int_equal (reply->replicas[0].code, DFS_ENOENT);
    /* The same with one copy of two that it shall have. */
    chunks[0].n_copies = chunks[0].replicas = 2;
    verify_ask (&c, orders, chunks, 1);
    hashed (&c, 1, orders[1], 1, DFS_ENOENT);
    hashed (&c, 4, orders[4], 1, DFS_OK);
    verify_told (&c, DFS_EAGAIN);
    cluster_free (&c);
}

/* --- a file that is deleted while its chunk waits for copies --- */

/* Chunk 1 has copies on workers 2 and 3, three are wanted, and nobody else is there.
 * Returns the question for free chunks that was asked meanwhile, 0 none. */
static uint64_t stuck (cluster_core_t *c, const core_config_t *config)
{
    core_chunk_t chunk = {.key = cluster_key (1), .refs = 1, .recorded = true};
    event_t event = {.type = EVENT_SCANNED};
    core_status_t status;
    uint64_t hold, token;

    cluster_make (c, config, 3, 3, 2, NULL);
    lead (c, NULL, 0, &hold);
    answer (c, hold, NULL, 0, false);
    cluster_scanned (c);
    cluster_closed (c, 1);
    cluster_pass (c, 4 * SEC, 12);
    token = asked (c, CORE_LIST_FREE, 0);
    assert_int_equal (cluster_state (c, 1), WORKER_DEAD);
    chunk.length = 1000;
    chunk.replicas = 3;
    for (uint32_t id = 1; id <= 3; id++)
        chunk.copies[chunk.n_copies++] = (core_copy_t){id, 50, false};
    event.u.scanned = (event_scanned_t){c->scan.token, DFS_OK, &chunk, 1, false};
    cluster_step (c, event);
    core_status (c->core, &status);
    assert_int_equal (status.under_replicated, 1);
    assert_int_equal (status.lost, 0);
    return token;
}

static void test_condemned_while_stuck (void **state)
{
    core_effect_t condemned = {.kind = CORE_CONDEMNED, .key = cluster_key (1)};
    core_status_t status;
    cluster_core_t c;

    (void)state;
    stuck (&c, NULL);
    condemned.index = 200;
    tell_effect (&c, condemned);
    cluster_pass (&c, 60 * SEC, 12);
    core_status (c.core, &status);
    assert_int_equal (status.under_replicated, 0);
    assert_int_equal (status.lost, 0);
    assert_int_not_equal (status.health, HEALTH_CRITICAL);
    cluster_free (&c);
}

/* The repair that waits for it does not keep it from being condemned. */
static void test_freed_while_stuck (void **state)
{
    core_config_t config = {
        .seed = 1, .upload_timeout_ns = SEC, .reclaim_grace_ns = 4 * SEC};
    core_reclaim_t row = {.key = cluster_key (1), .index = 90, .time_ns = SEC};
    const action_t *action;
    cluster_core_t c;
    uint64_t token;

    (void)state;
    token = stuck (&c, &config);
    for (int i = 0; i < 100 && !token; i++) {
        cluster_pass (&c, 100 * MS, 12);
        token = asked (&c, CORE_LIST_FREE, 0);
    }
    assert_int_not_equal (token, 0);
    answer (&c, token, &row, 1, false);
    action = cluster_want (&c, ACTION_PROPOSE);
    assert_int_equal (action->u.propose.what, PROPOSE_CONDEMN);
    assert_int_equal (copykey_cmp (&action->u.propose.items[0].key, &row.key), 0);
    cluster_free (&c);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (test_drop),
        cmocka_unit_test (test_drop_of_removed),
        cmocka_unit_test (test_hold),
        cmocka_unit_test (test_trim),
        cmocka_unit_test (test_recount),
        cmocka_unit_test (test_wiped),
        cmocka_unit_test (test_away),
        cmocka_unit_test (test_condemned_while_stuck),
        cmocka_unit_test (test_freed_while_stuck),
        cmocka_unit_test (test_verify_leaving),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("core_reclaim", tests, NULL, NULL);
}
