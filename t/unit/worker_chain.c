/* SPDX-License-Identifier: MPL-2.0 */
/* Chunks that workers send on to the next: chains of an upload, orders to replicate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "msgs/check.h"
#include "t/unit/worker_rig.h"
#include "worker/context.h"

static const uint32_t both[] = {1, 2};

static void chain_reaches_the_second_worker (void **state)
{
    rig_t *rig = *state;
    const size_t sizes[] = {3000, FRAME_MAX, 5 * FRAME_MAX + 999};
    void *pull = NULL;
    for (unsigned i = 0; i < 3; i++) {
        copykey_t key = rig_store (rig, sizes[i], 90 + i, 2);
        const seen_t *s = rig_wait (rig, CHANGES, 1, &key);
        assert_int_equal (s->kind, STORED);
        assert_int_equal (s->birth, 100);
        assert_int_equal (s->upload, 77);
        rig_send_order (rig, 1, CLIENT + 1, i, &key, 0, sizes[i]);
        if (!pull)
            pull = rig_stream (rig, 1, CLIENT + 1);
        rig_expect (rig, pull, i, sizes[i], 90 + i, 0, sizes[i]);
    }
    rig_close (rig, &pull);
}

static void chain_goes_on_where_the_copy_was (void **state)
{
    rig_t *rig = *state;
    const size_t sizes[] = {3000, 2 * FRAME_MAX};
    for (unsigned i = 0; i < 2; i++) {
        copykey_t key = rig_store (rig, sizes[i], 100 + i, 1);
        assert_null (rig_look (rig, CHANGES, 1, &key, 50));
        copykey_t same;
        uint8_t *data = rig_chunk (sizes[i], 100 + i, &same);
        grant_t grant = rig_grant (rig, &key, sizes[i], 2, both);
        void *push = rig_push (rig, &rig->client, 0);
        rig_send (rig, push, &grant, data, sizes[i], &(upload_t){.session = CLIENT});
        rig_wait (rig, CHANGES, 1, &key);
        rig_close (rig, &push);
        free (data);
    }
}

static void dead_next_hop_is_reported (void **state)
{
    rig_t *rig = *state;
    rig_stop (rig, 1);
    copykey_t keys[2];
    for (unsigned i = 0; i < 2; i++)
        keys[i] = rig_store (rig, i ? 2 * FRAME_MAX : 2000, 110 + i, 2);
    for (unsigned i = 0; i < 2; i++) {
        const seen_t *s = rig_wait (rig, REFUSED, 0, &keys[i]);
        assert_int_equal (s->code, DFS_EUNAVAIL);
        assert_int_equal (s->about, 2);
        assert_int_equal (s->session, CLIENT);
        assert_int_equal (s->upload, 77);
    }
    rig_start (rig, 1);
}

static void replicate (rig_t *rig, const copykey_t *key, size_t len, uint64_t order)
{
    const uint32_t target[] = {2};
    grant_t grant = rig_grant (rig, key, len, 1, target);
    memset (grant.client_key, 0, sizeof grant.client_key);
    grant.order = order;
    grant.upload = 0;
    uint8_t packed[GRANT_LEN_MAX];
    Dfs__CopyKey k = DFS__COPY_KEY__INIT;
    check_put_copykey (key, &k);
    Dfs__Replicate body = DFS__REPLICATE__INIT;
    body.order = order;
    body.key = &k;
    body.grant.data = packed;
    body.grant.len = grant_pack (&grant, rig->hmac, packed);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_REPLICATE;
    env.replicate = &body;
    rig_order (rig, 0, &env);
}

static void replicate_order_makes_a_copy (void **state)
{
    rig_t *rig = *state;
    const size_t sizes[] = {3000, 4 * FRAME_MAX};
    for (unsigned i = 0; i < 2; i++) {
        copykey_t key = rig_store (rig, sizes[i], 120 + i, 1);
        replicate (rig, &key, sizes[i], 500 + i);
        assert_int_equal (rig_wait (rig, CHANGES, 1, &key)->kind, STORED);
    }
    copykey_t none = {.domain = 0};
    replicate (rig, &none, 100, 600);
    const seen_t *s = rig_wait (rig, ORDER_RESULT, 0, NULL);
    assert_int_equal (s->order, 600);
    assert_int_equal (s->code, DFS_ENOENT);

    copykey_t key = rig_store (rig, 3 * FRAME_MAX, 130, 1);
    fake_damage (fake_of ("w1"), &key);
    replicate (rig, &key, 3 * FRAME_MAX, 601);
    s = rig_wait (rig, ORDER_RESULT, 0, NULL);
    assert_int_equal (s->order, 601);
    assert_int_equal (s->code, DFS_EDAMAGED);
    assert_null (rig_look (rig, CHANGES, 1, &key, 50));
}

static void many_chunks_in_both_directions (void **state)
{
    rig_t *rig = *state;
    enum { N = 24 };
    static const uint32_t back[] = {2, 1};
    void *push[2] = {rig_push (rig, &rig->client, 0), rig_push (rig, &rig->client, 1)};
    copykey_t keys[N];
    for (unsigned i = 0; i < N; i++) {
        size_t len = 2 * FRAME_MAX + 1000 * i;
        uint8_t *data = rig_chunk (len, 200 + i, &keys[i]);
        grant_t grant = rig_grant (rig, &keys[i], len, 2, i % 2 ? back : both);
        rig_send (rig, push[i % 2], &grant, data, len, &(upload_t){.session = CLIENT});
        free (data);
    }
    for (unsigned i = 0; i < N; i++) {
        rig_wait (rig, CHANGES, 0, &keys[i]);
        rig_wait (rig, CHANGES, 1, &keys[i]);
    }
    rig_close (rig, &push[0]);
    rig_close (rig, &push[1]);
}

int main (int argc, char **argv)
{
    context_open ();
    const struct CMUnitTest tests[] = {
        SECURE (chain_reaches_the_second_worker),
        OPEN (chain_reaches_the_second_worker),
        SECURE (chain_goes_on_where_the_copy_was),
        SECURE (dead_next_hop_is_reported),
        SECURE (replicate_order_makes_a_copy),
        SECURE (many_chunks_in_both_directions),
        OPEN (many_chunks_in_both_directions),
    };
    if (argc > 1) /* a pattern of names */
        cmocka_set_test_filter (argv[1]);
    cmocka_set_message_output (CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests_name ("worker_chain", tests, NULL, NULL);
    context_close ();
    return failed;
}
