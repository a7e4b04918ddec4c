/* SPDX-License-Identifier: MPL-2.0 */
/* Chunks that clients send to a worker: grants, bytes, credits, what goes wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/units.h"
#include "msgs/node.h"
#include "t/unit/worker_rig.h"
#include "worker/context.h"

static const uint32_t first[] = {1}, both[] = {1, 2};

static void upload_is_stored_and_read_back (void **state)
{
    rig_t *rig = *state;
    size_t len = 3 * FRAME_MAX + 12345;
    copykey_t key = rig_store (rig, len, 1, 1);
    rig_send_order (rig, 0, CLIENT, 5, &key, 0, len);
    void *pull = rig_stream (rig, 0, CLIENT);
    rig_expect (rig, pull, 5, len, 1, 0, len);
    rig_close (rig, &pull);
}

static void sizes_around_blocks_and_frames (void **state)
{
    rig_t *rig = *state;
    const size_t sizes[] = {1,         4096,          65535,
                            65536,     65537,         FRAME_MAX - 1,
                            FRAME_MAX, FRAME_MAX + 1, 2 * FRAME_MAX};
    void *pull = NULL;
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        copykey_t key = rig_store (rig, sizes[i], 10 + i, 1);
        rig_send_order (rig, 0, CLIENT, i, &key, 0, sizes[i]);
        if (!pull)
            pull = rig_stream (rig, 0, CLIENT);
        rig_expect (rig, pull, i, sizes[i], 10 + i, 0, sizes[i]);
    }
    rig_close (rig, &pull);
}

static void refused_with (rig_t *rig, const grant_t *grant, const uint8_t *data,
                          size_t len, const upload_t *how, int code)
{
    void *push = rig_push (rig, &rig->client, 0);
    rig_send (rig, push, grant, data, len, how);
    const seen_t *s = rig_wait (rig, REFUSED, 0, &grant->key);
    assert_int_equal (s->code, code);
    assert_int_equal (s->session, how->session);
    assert_int_equal (s->about, 1);
    /* Once, however many frames followed, and nothing is left behind. */
    assert_null (rig_look (rig, REFUSED, 0, &grant->key, 100));
    assert_null (rig_look (rig, CHANGES, 0, &grant->key, 0));
    assert_int_equal (fake_open_appends (fake_of ("w1")), 0);
    rig_close (rig, &push);
}

static void bad_grants_are_refused (void **state)
{
    rig_t *rig = *state;
    size_t len = 2 * FRAME_MAX;
    copykey_t key, other;
    uint8_t *data = rig_chunk (len, 30, &key);
    free (rig_chunk (16, 31, &other));
    upload_t how = {.session = CLIENT};
    grant_t good = rig_grant (rig, &key, len, 1, first), g;

    refused_with (rig, &good, data, len, &(upload_t){.session = CLIENT, .forge = true},
                  DFS_EAUTH);
    g = good;
    g.key_id = 8;
    refused_with (rig, &g, data, len, &how, DFS_EAUTH);
    g = good;
    g.targets[0] = 2;
    refused_with (rig, &g, data, len, &how, DFS_EAUTH);
    g = good;
    g.length++;
    refused_with (rig, &g, data, len, &how, DFS_EAUTH);
    g = good;
    g.expiry_ns = 999 * SEC;
    refused_with (rig, &g, data, len, &how, DFS_ESTALE);
    g = good;
    g.incarnation = 0;
    refused_with (rig, &g, data, len, &how, DFS_ESTALE);
    refused_with (rig, &good, data, len, &(upload_t){.session = CLIENT, .hop = 1},
                  DFS_EAUTH);
    if (rig->secure) {
        /* A client may neither use another's grant nor play a worker. */
        g = good;
        g.client_key[3] ^= 1;
        refused_with (rig, &g, data, len, &how, DFS_EAUTH);
        g = good;
        g.order = 12;
        refused_with (rig, &g, data, len, &how, DFS_EAUTH);
    }
    free (data);
}

static void wrong_bytes_are_refused (void **state)
{
    rig_t *rig = *state;
    const size_t sizes[] = {1000, 3 * FRAME_MAX};
    for (int i = 0; i < 2; i++) {
        copykey_t key;
        size_t len = sizes[i];
        uint8_t *data = rig_chunk (len, 40, &key);
        grant_t grant = rig_grant (rig, &key, len, 2, both);
        /* A byte that does not match its CRC. */
        refused_with (rig, &grant, data, len,
                      &(upload_t){.session = CLIENT, .flip = (int)len / 2},
                      DFS_EDAMAGED);
        /* CRCs that match bytes that do not match the name. */
        data[len / 2] ^= 1;
        refused_with (rig, &grant, data, len, &(upload_t){.session = CLIENT},
                      DFS_EDAMAGED);
        /* Nothing of it went on. */
        assert_null (rig_look (rig, CHANGES, 1, &key, 100));
        free (data);
    }
}

static void frames_out_of_place_are_refused (void **state)
{
    rig_t *rig = *state;
    copykey_t key;
    size_t len = 4 * FRAME_MAX;
    uint8_t *data = rig_chunk (len, 45, &key);
    grant_t grant = rig_grant (rig, &key, len, 1, first);
    void *push = rig_push (rig, &rig->client, 0);
    upload_t how = {.session = CLIENT, .frames = 2};
    rig_send (rig, push, &grant, data, len, &how);
    /* Started over on the same connection: the first attempt leaves nothing. */
    how.frames = 0;
    rig_send (rig, push, &grant, data, len, &how);
    rig_wait (rig, CHANGES, 0, &key);
    assert_int_equal (fake_open_appends (fake_of ("w1")), 0);

    /* A middle without a beginning, as after a restart of the worker. */
    frame_t f = {.kind = FRAME_DATA,
                 .session = CLIENT,
                 .offset = FRAME_MAX,
                 .length = FRAME_MAX,
                 .true_len = len,
                 .stored_len = len,
                 .n_crcs = FRAME_BLOCKS};
    f.key.digest[0] = 7;
    uint8_t header[FRAME_HEADER_MAX];
    size_t n = frame_pack (&f, header);
    zmq_send (push, header, n, ZMQ_SNDMORE);
    zmq_send (push, data, FRAME_MAX, 0);
    assert_int_equal (rig_wait (rig, REFUSED, 0, &f.key)->code, DFS_ESTALE);
    rig_close (rig, &push);
    free (data);
}

static void store_trouble_is_reported (void **state)
{
    rig_t *rig = *state;
    store_t *store = fake_of ("w1");
    const size_t sizes[] = {5000, 2 * FRAME_MAX};
    for (int i = 0; i < 2; i++) {
        copykey_t key;
        uint8_t *data = rig_chunk (sizes[i], 50, &key);
        grant_t grant = rig_grant (rig, &key, sizes[i], 1, first);
        upload_t how = {.session = CLIENT};
        fake_fail_begin (store, DFS_ENOSPC);
        refused_with (rig, &grant, data, sizes[i], &how, DFS_ENOSPC);
        fake_fail_commit (store, DFS_EIO);
        refused_with (rig, &grant, data, sizes[i], &how, DFS_EIO);
        free (data);
    }
    fake_condition (store, CONDITION_FULL);
    for (int i = 0; i < 500 && rig->condition != CONDITION_FULL; i++)
        rig_pump (rig, 20);
    assert_int_equal (rig->condition, CONDITION_FULL);
}

static void what_is_there_is_reported_again (void **state)
{
    rig_t *rig = *state;
    const size_t sizes[] = {7000, 2 * FRAME_MAX};
    for (int i = 0; i < 2; i++) {
        copykey_t key = rig_store (rig, sizes[i], 60, 1);
        copykey_t same;
        uint8_t *data = rig_chunk (sizes[i], 60, &same);
        grant_t grant = rig_grant (rig, &key, sizes[i], 1, first);
        grant.upload = 78;
        void *push = rig_push (rig, &rig->client, 0);
        rig_send (rig, push, &grant, data, sizes[i], &(upload_t){.session = CLIENT});
        const seen_t *s = rig_wait (rig, CHANGES, 0, &key);
        assert_int_equal (s->kind, STORED);
        assert_int_equal (s->upload, 78);
        assert_int_equal (s->birth, 100);
        /* A newer birth is a change of its own. */
        grant.birth = 200;
        rig_send (rig, push, &grant, data, sizes[i], &(upload_t){.session = CLIENT});
        s = rig_wait (rig, CHANGES, 0, &key);
        assert_int_equal (s->kind, DFS__LOCATION_KIND__LOCATION_RENEWED);
        assert_int_equal (s->birth, 200);
        rig_close (rig, &push);
        free (data);
    }
}

static void credits_cover_every_byte (void **state)
{
    rig_t *rig = *state;
    copykey_t key;
    size_t len = 6 * FRAME_MAX + 70000;
    uint8_t *data = rig_chunk (len, 70, &key);
    grant_t grant = rig_grant (rig, &key, len, 1, first);
    void *push = rig_push (rig, &rig->client, 0);
    rig_send (rig, push, &grant, data, len,
              &(upload_t){.session = CLIENT, .flags = FRAME_CREDIT});
    uint64_t consumed = 0;
    while (consumed < len) {
        const seen_t *s = rig_wait (rig, CREDIT, 0, &key);
        assert_int_equal (s->session, CLIENT);
        assert_true (s->consumed > consumed);
        consumed = s->consumed;
    }
    assert_int_equal (consumed, len);
    rig_close (rig, &push);
    free (data);
}

static void lost_connection_aborts (void **state)
{
    rig_t *rig = *state;
    copykey_t key;
    size_t len = 4 * FRAME_MAX;
    uint8_t *data = rig_chunk (len, 80, &key);
    grant_t grant = rig_grant (rig, &key, len, 1, first);
    void *push = rig_push (rig, &rig->client, 0);
    rig_send (rig, push, &grant, data, len,
              &(upload_t){.session = CLIENT, .frames = 2, .flags = FRAME_CREDIT});
    rig_wait (rig, CREDIT, 0, &key);
    assert_int_equal (fake_open_appends (fake_of ("w1")), 1);
    rig_close (rig, &push);
    /* Sooner than silence alone would end it: a frame that was still queued when the
     * connection closed does not make it live on. */
    uint64_t deadline = clock_mono () + 20 * SEC;
    while (fake_open_appends (fake_of ("w1")) && clock_mono () < deadline)
        rig_pump (rig, 20);
    assert_int_equal (fake_open_appends (fake_of ("w1")), 0);
    free (data);
}

int main (int argc, char **argv)
{
    context_open ();
    const struct CMUnitTest tests[] = {
        SECURE (upload_is_stored_and_read_back),
        OPEN (upload_is_stored_and_read_back),
        SECURE (sizes_around_blocks_and_frames),
        SECURE (bad_grants_are_refused),
        OPEN (bad_grants_are_refused),
        SECURE (wrong_bytes_are_refused),
        SECURE (frames_out_of_place_are_refused),
        SECURE (store_trouble_is_reported),
        SECURE (what_is_there_is_reported_again),
        SECURE (credits_cover_every_byte),
        SECURE (lost_connection_aborts),
    };
    if (argc > 1) /* a pattern of names */
        cmocka_set_test_filter (argv[1]);
    cmocka_set_message_output (CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests_name ("worker_ingest", tests, NULL, NULL);
    context_close ();
    return failed;
}
