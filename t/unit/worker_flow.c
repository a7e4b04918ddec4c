/* SPDX-License-Identifier: MPL-2.0 */
/* A worker's sockets, from outside: what a broker, a client and another worker see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/units.h"
#include "msgs/check.h"
#include "msgs/node.h"
#include "t/unit/worker_rig.h"
#include "worker/context.h"

#define CHANGES      DFS__ENVELOPE__BODY_CHANGES
#define REFUSED      DFS__ENVELOPE__BODY_REFUSED
#define CREDIT       DFS__ENVELOPE__BODY_CREDIT
#define STREAM_READY DFS__ENVELOPE__BODY_STREAM_READY
#define SEND_REFUSED DFS__ENVELOPE__BODY_SEND_REFUSED
#define YIELDED      DFS__ENVELOPE__BODY_YIELDED
#define ORDER_RESULT DFS__ENVELOPE__BODY_ORDER_RESULT
#define STORED       DFS__LOCATION_KIND__LOCATION_STORED
#define CLIENT       0x99u

static const uint32_t first[] = {1}, both[] = {1, 2};

static int secure_rig (void **state)
{
    *state = rig_new (true);
    return 0;
}

static int open_rig (void **state)
{
    *state = rig_new (false);
    return 0;
}

static int drop_rig (void **state)
{
    rig_t *rig = *state;
    rig_destroy (&rig);
    return 0;
}

/* Sends a fresh chunk of LEN bytes to worker 1 under a grant for N workers. */
static copykey_t store_one (rig_t *rig, size_t len, unsigned seed, uint32_t n)
{
    copykey_t key;
    uint8_t *data = rig_chunk (len, seed, &key);
    grant_t grant = rig_grant (rig, &key, len, n, both);
    void *push = rig_push (rig, &rig->client, 0);
    rig_send (rig, push, &grant, data, len, &(upload_t){.session = CLIENT});
    const seen_t *s = rig_wait (rig, CHANGES, 0, &key);
    assert_int_equal (s->kind, STORED);
    assert_int_equal (s->birth, 100);
    assert_int_equal (s->upload, 77);
    rig_close (rig, &push);
    free (data);
    return key;
}

/* Receives PIECE of KEY whole and compares it with the chunk made from SEED. */
static void expect_piece (rig_t *rig, void *pull, uint64_t piece, size_t len,
                          unsigned seed, size_t from, size_t to)
{
    copykey_t key;
    uint8_t *want = rig_chunk (len, seed, &key);
    size_t at = from;
    for (bool last = false; !last;) {
        frame_t f;
        uint8_t *data;
        assert_int_equal (rig_recv (rig, pull, 10000, &f, &data), 1);
        assert_int_equal (f.kind, FRAME_DATA);
        assert_int_equal (f.seq, piece);
        assert_int_equal (f.offset, at);
        assert_int_equal (f.true_len, len);
        assert_int_equal (copykey_cmp (&f.key, &key), 0);
        assert_memory_equal (data, want + at, f.length);
        at += f.length;
        last = f.flags & FRAME_LAST;
        free (data);
    }
    assert_int_equal (at, to);
    free (want);
}

static void *open_stream (rig_t *rig, int worker, uint64_t session)
{
    const seen_t *s = rig_wait (rig, STREAM_READY, worker, NULL);
    assert_int_equal (s->session, session);
    return rig_pull (rig, &rig->client, worker, s->port);
}

/* --- uploads --- */

static void upload_is_stored_and_read_back (void **state)
{
    rig_t *rig = *state;
    size_t len = 3 * FRAME_MAX + 12345;
    copykey_t key = store_one (rig, len, 1, 1);
    rig_send_order (rig, 0, CLIENT, 5, &key, 0, len);
    void *pull = open_stream (rig, 0, CLIENT);
    expect_piece (rig, pull, 5, len, 1, 0, len);
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
        copykey_t key = store_one (rig, sizes[i], 10 + i, 1);
        rig_send_order (rig, 0, CLIENT, i, &key, 0, sizes[i]);
        if (!pull)
            pull = open_stream (rig, 0, CLIENT);
        expect_piece (rig, pull, i, sizes[i], 10 + i, 0, sizes[i]);
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
        copykey_t key = store_one (rig, sizes[i], 60, 1);
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

/* --- chains and copies --- */

static void chain_reaches_the_second_worker (void **state)
{
    rig_t *rig = *state;
    const size_t sizes[] = {3000, FRAME_MAX, 5 * FRAME_MAX + 999};
    void *pull = NULL;
    for (unsigned i = 0; i < 3; i++) {
        copykey_t key = store_one (rig, sizes[i], 90 + i, 2);
        const seen_t *s = rig_wait (rig, CHANGES, 1, &key);
        assert_int_equal (s->kind, STORED);
        assert_int_equal (s->birth, 100);
        assert_int_equal (s->upload, 77);
        rig_send_order (rig, 1, CLIENT + 1, i, &key, 0, sizes[i]);
        if (!pull)
            pull = open_stream (rig, 1, CLIENT + 1);
        expect_piece (rig, pull, i, sizes[i], 90 + i, 0, sizes[i]);
    }
    rig_close (rig, &pull);
}

static void chain_goes_on_where_the_copy_was (void **state)
{
    rig_t *rig = *state;
    const size_t sizes[] = {3000, 2 * FRAME_MAX};
    for (unsigned i = 0; i < 2; i++) {
        copykey_t key = store_one (rig, sizes[i], 100 + i, 1);
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
        keys[i] = store_one (rig, i ? 2 * FRAME_MAX : 2000, 110 + i, 2);
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
        copykey_t key = store_one (rig, sizes[i], 120 + i, 1);
        replicate (rig, &key, sizes[i], 500 + i);
        assert_int_equal (rig_wait (rig, CHANGES, 1, &key)->kind, STORED);
    }
    copykey_t none = {.domain = 0};
    replicate (rig, &none, 100, 600);
    const seen_t *s = rig_wait (rig, ORDER_RESULT, 0, NULL);
    assert_int_equal (s->order, 600);
    assert_int_equal (s->code, DFS_ENOENT);

    copykey_t key = store_one (rig, 3 * FRAME_MAX, 130, 1);
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

/* --- downloads --- */

static void pieces_are_rounded_to_blocks (void **state)
{
    rig_t *rig = *state;
    size_t len = 2 * FRAME_MAX + 100;
    copykey_t key = store_one (rig, len, 140, 1);
    rig_send_order (rig, 0, CLIENT, 1, &key, 70000, 10);
    void *pull = open_stream (rig, 0, CLIENT);
    expect_piece (rig, pull, 1, len, 140, 65536, 131072);
    rig_send_order (rig, 0, CLIENT, 2, &key, len - 1, 1);
    expect_piece (rig, pull, 2, len, 140, 2 * FRAME_MAX, len);
    rig_close (rig, &pull);
}

static void what_is_not_there_is_said_in_a_frame (void **state)
{
    rig_t *rig = *state;
    copykey_t none = {.domain = 3};
    copykey_t key = store_one (rig, 2 * FRAME_MAX, 150, 1);
    copykey_t bad = store_one (rig, 100000, 151, 1);
    fake_damage (fake_of ("w1"), &bad);
    rig_send_order (rig, 0, CLIENT, 1, &none, 0, 10);
    rig_send_order (rig, 0, CLIENT, 2, &key, 2 * FRAME_MAX, 10);
    rig_send_order (rig, 0, CLIENT, 3, &bad, 0, 100000);
    void *pull = open_stream (rig, 0, CLIENT);
    const int codes[] = {DFS_ENOENT, DFS_EINVAL, DFS_EDAMAGED};
    for (unsigned i = 0; i < 3; i++) {
        frame_t f;
        uint8_t *data;
        assert_int_equal (rig_recv (rig, pull, 10000, &f, &data), 1);
        assert_int_equal (f.kind, FRAME_REFUSE);
        assert_int_equal (f.seq, i + 1);
        assert_int_equal (f.code, codes[i]);
        free (data);
    }
    rig_close (rig, &pull);
}

static void only_the_clients_key_opens_its_stream (void **state)
{
    rig_t *rig = *state;
    copykey_t key = store_one (rig, 5000, 160, 1);
    rig_send_order (rig, 0, CLIENT, 1, &key, 0, 5000);
    const seen_t *s = rig_wait (rig, STREAM_READY, 0, NULL);
    uint16_t port = s->port;
    void *other = rig_pull (rig, &rig->stranger, 0, port);
    frame_t f;
    uint8_t *data;
    assert_int_equal (rig_recv (rig, other, 300, &f, &data), 0);
    void *pull = rig_pull (rig, &rig->client, 0, port);
    expect_piece (rig, pull, 1, 5000, 160, 0, 5000);
    rig_close (rig, &other);
    /* The stranger's end is not the client's. */
    rig_send_order (rig, 0, CLIENT, 2, &key, 0, 5000);
    expect_piece (rig, pull, 2, 5000, 160, 0, 5000);
    rig_close (rig, &pull);
}

static void client_that_left_is_told_where_anew (void **state)
{
    rig_t *rig = *state;
    copykey_t key = store_one (rig, 5000, 165, 1);
    rig_send_order (rig, 0, CLIENT, 1, &key, 0, 5000);
    void *pull = open_stream (rig, 0, CLIENT);
    expect_piece (rig, pull, 1, 5000, 165, 0, 5000);
    rig_close (rig, &pull);
    for (uint64_t until = clock_mono () + SEC; clock_mono () < until;)
        rig_pump (rig, 50);
    rig_send_order (rig, 0, CLIENT, 2, &key, 0, 5000);
    pull = open_stream (rig, 0, CLIENT);
    expect_piece (rig, pull, 2, 5000, 165, 0, 5000);
    rig_close (rig, &pull);
}

static void cancelled_pieces_do_not_come (void **state)
{
    rig_t *rig = *state;
    copykey_t key = store_one (rig, 5000, 170, 1);
    for (unsigned i = 1; i <= 3; i++)
        rig_send_order (rig, 0, CLIENT, i, &key, 0, 5000);
    uint64_t pieces[] = {2};
    Dfs__CancelOrder cancel = DFS__CANCEL_ORDER__INIT;
    cancel.session = CLIENT;
    cancel.n_pieces = 1;
    cancel.pieces = pieces;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_CANCEL_ORDER;
    env.cancel_order = &cancel;
    rig_order (rig, 0, &env);
    const seen_t *s = rig_wait (rig, STREAM_READY, 0, NULL);
    rig_pump (rig, 200);
    void *pull = rig_pull (rig, &rig->client, 0, s->port);
    expect_piece (rig, pull, 1, 5000, 170, 0, 5000);
    expect_piece (rig, pull, 3, 5000, 170, 0, 5000);
    rig_close (rig, &pull);
    cancel.n_pieces = 0;
    rig_order (rig, 0, &env);
    rig_send_order (rig, 0, CLIENT, 4, &key, 0, 5000);
    pull = open_stream (rig, 0, CLIENT);
    expect_piece (rig, pull, 4, 5000, 170, 0, 5000);
    rig_close (rig, &pull);
}

static void what_waits_is_given_back (void **state)
{
    rig_t *rig = *state;
    size_t len = 100000;
    copykey_t key = store_one (rig, len, 195, 1);
    for (uint64_t piece = 1; piece <= 4; piece++) /* nobody takes them yet */
        rig_send_order (rig, 0, CLIENT, piece, &key, 0, len);
    void *pull = NULL;
    Dfs__YieldOrder yield = DFS__YIELD_ORDER__INIT;
    yield.bytes = 2 * len + 1;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_YIELD_ORDER;
    env.yield_order = &yield;
    rig_order (rig, 0, &env);
    for (uint64_t piece = 4; piece > 2; piece--) {
        const seen_t *s = rig_wait (rig, YIELDED, 0, &key);
        assert_int_equal (s->session, CLIENT);
        assert_int_equal (s->piece, piece);
    }
    /* The first stays, whatever is asked for. */
    yield.bytes = 100 * len;
    rig_order (rig, 0, &env);
    assert_int_equal (rig_wait (rig, YIELDED, 0, &key)->piece, 2);
    pull = open_stream (rig, 0, CLIENT);
    expect_piece (rig, pull, 1, len, 195, 0, len);
    rig_send_order (rig, 0, CLIENT, 5, &key, 0, len);
    expect_piece (rig, pull, 5, len, 195, 0, len);
    rig_close (rig, &pull);
}

static void stalled_reader_is_cut_off (void **state)
{
    rig_t *rig = *state;
    size_t len = 60 * FRAME_MAX;
    copykey_t key = store_one (rig, len, 180, 1);
    /* One never connects, one connects and takes nothing, one reads on. */
    rig_send_order (rig, 0, 1, 11, &key, 0, len);
    rig_wait (rig, STREAM_READY, 0, NULL);
    rig_send_order (rig, 0, 2, 22, &key, 0, len);
    rig_send_order (rig, 0, 2, 23, &key, 0, len);
    void *stalled = open_stream (rig, 0, 2);
    copykey_t small = store_one (rig, 5000, 181, 1);
    rig_send_order (rig, 0, 3, 1, &small, 0, 5000);
    void *reader = open_stream (rig, 0, 3);
    expect_piece (rig, reader, 1, 5000, 181, 0, 5000);
    uint64_t deadline = clock_mono () + 20 * SEC;
    unsigned cut = 0, piece = 1;
    while (cut < 3) {
        const seen_t *s = rig_look (rig, SEND_REFUSED, 0, NULL, 200);
        if (s) {
            assert_true (s->piece == 11 || s->piece == 22 || s->piece == 23);
            assert_int_equal (s->code, DFS_ETIMEOUT);
            cut++;
        }
        rig_send_order (rig, 0, 3, ++piece, &small, 0, 5000);
        expect_piece (rig, reader, piece, 5000, 181, 0, 5000);
        assert_true (clock_mono () < deadline);
    }
    rig_close (rig, &stalled);
    rig_close (rig, &reader);
}

/* --- the conversation with the broker --- */

static void verify_order_rehashes (void **state)
{
    rig_t *rig = *state;
    copykey_t keys[3] = {
        store_one (rig, 5000, 190, 1), store_one (rig, 5000, 191, 1), {.domain = 4}};
    const int codes[] = {DFS_OK, DFS_EDAMAGED, DFS_ENOENT};
    fake_damage (fake_of ("w1"), &keys[1]);
    Dfs__CopyKey k[3], *pointers[3];
    for (int i = 0; i < 3; i++) {
        dfs__copy_key__init (&k[i]);
        check_put_copykey (&keys[i], &k[i]);
        pointers[i] = &k[i];
    }
    Dfs__VerifyOrder order = DFS__VERIFY_ORDER__INIT;
    order.order = 700;
    order.n_keys = 3;
    order.keys = pointers;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_VERIFY_ORDER;
    env.verify_order = &order;
    rig_order (rig, 0, &env);
    for (int i = 0; i < 3; i++) {
        const seen_t *s = rig_wait (rig, ORDER_RESULT, 0, &keys[i]);
        assert_int_equal (s->order, 700);
        assert_int_equal (s->code, codes[i]);
    }
    /* A leader of an epoch that is over is not obeyed. */
    Dfs__Epoch epoch = DFS__EPOCH__INIT;
    epoch.incarnation = 1;
    epoch.term = 2;
    env.epoch = &epoch;
    order.order = 701;
    rig_order (rig, 0, &env);
    const seen_t *s = rig_wait (rig, ORDER_RESULT, 0, NULL);
    assert_int_equal (s->order, 701);
    assert_int_equal (s->code, DFS_ESTALE);
    /* A higher one is, and is remembered beyond a restart. */
    epoch.term = 9;
    order.order = 702;
    rig_order (rig, 0, &env);
    assert_int_equal (rig_wait (rig, ORDER_RESULT, 0, NULL)->code, DFS_OK);
    char path[128], text[64] = "";
    snprintf (path, sizeof path, "%s/data/w1/epoch", rig->dir);
    FILE *file = fopen (path, "r");
    assert_non_null (file);
    assert_non_null (fgets (text, sizeof text, file));
    fclose (file);
    assert_string_equal (text, "1 9\n");
}

static void changes_are_sent_again_after_a_gap (void **state)
{
    rig_t *rig = *state;
    store_one (rig, 5000, 210, 1);
    rig->mute = true; /* the broker loses what comes now */
    copykey_t key = store_one (rig, 5000, 211, 1);
    uint64_t seq = 0;
    for (size_t i = 0; i < rig->n_seen; i++)
        if (rig->seen[i].type == CHANGES && copykey_cmp (&rig->seen[i].key, &key) == 0)
            seq = rig->seen[i].seq;
    assert_int_equal (rig_wait (rig, CHANGES, 0, &key)->seq, seq);
    rig->mute = false;
    assert_int_equal (rig_wait (rig, CHANGES, 0, &key)->seq, seq);
    rig_pump (rig, 50);
    while (rig_look (rig, CHANGES, 0, &key, 0))
        ;
    assert_null (rig_look (rig, CHANGES, 0, &key, 1500));
}

/* The broker forgets the connection: "say hello first". */
static void say_hello (rig_t *rig, int worker)
{
    uint64_t before = rig->hellos;
    Dfs__Status status = DFS__STATUS__INIT;
    status.code = DFS_ESTALE;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.status = &status;
    rig_order (rig, worker, &env);
    for (int i = 0; i < 500 && rig->hellos == before; i++)
        rig_pump (rig, 20);
    assert_true (rig->hellos > before);
}

/* N copies of a listing come, and then nothing. */
static void take_pages (rig_t *rig, unsigned n)
{
    while (n-- > 0)
        assert_true (rig_wait (rig, CHANGES, 0, NULL)->inventory);
    assert_null (rig_look (rig, CHANGES, 0, NULL, 50));
}

static void give_pages (rig_t *rig, uint64_t pages)
{
    uint8_t id[16];
    Dfs__StoreMark mark = DFS__STORE_MARK__INIT, *marks = &mark;
    Dfs__ChangesAck ack = DFS__CHANGES_ACK__INIT;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;

    memset (id, '1', sizeof id); /* of the fake store of w1 */
    mark.id.data = id;
    mark.id.len = sizeof id;
    mark.incarnation = 7;
    mark.has_pages = true;
    mark.pages = pages;
    ack.n_marks = 1;
    ack.marks = &marks;
    env.body_case = DFS__ENVELOPE__BODY_CHANGES_ACK;
    env.changes_ack = &ack;
    rig_order (rig, 0, &env);
}

static void welcome_says_where_to_go_on (void **state)
{
    rig_t *rig = *state;
    enum { N = 1200 };
    copykey_t key;
    store_t *store = fake_of ("w1");
    for (unsigned i = 0; i < N; i++) {
        uint8_t data[16] = {(uint8_t)i, (uint8_t)(i >> 8)};
        memset (&key, 0, sizeof key);
        memcpy (key.digest, data, sizeof data);
        key.digest[31] = 1;
        fake_add (store, &key, 5, data, sizeof data);
    }
    while (rig_wait (rig, CHANGES, 0, NULL)->seq < N)
        ;
    rig->marks[0] = N - 3;
    say_hello (rig, 0);
    for (uint64_t seq = N - 2; seq <= N; seq++)
        assert_int_equal (rig_wait (rig, CHANGES, 0, NULL)->seq, seq);
    assert_null (rig_look (rig, CHANGES, 0, NULL, 50));
    /* From the start, out of the store, in order. */
    rig->marks[0] = 0;
    say_hello (rig, 0);
    for (uint64_t seq = 1; seq <= N; seq++)
        assert_int_equal (rig_wait (rig, CHANGES, 0, NULL)->seq, seq);
    /* More than there is: another past of this disk, so everything is listed. */
    rig->marks[0] = N + 50;
    say_hello (rig, 0);
    size_t listed = 0;
    for (bool end = false; !end; listed++) {
        const seen_t *s = rig_wait (rig, CHANGES, 0, NULL);
        assert_true (s->inventory);
        if (s->inventory_end)
            assert_int_equal (s->seq, N);
        end = s->inventory_end && listed + 1 == N;
    }
    assert_null (rig_look (rig, CHANGES, 0, NULL, 50));
    /* A broker that counts pages gets as many as it takes. */
    rig->pages = 1;
    rig->marks[0] = N + 50;
    say_hello (rig, 0);
    take_pages (rig, 512);
    give_pages (rig, 2);
    take_pages (rig, 512);
    give_pages (rig, 9);
    take_pages (rig, N - 1024);
    rig->pages = 0;
    /* And then the sequence goes on. */
    copykey_t next = store_one (rig, 5000, 220, 1);
    (void)next;
}

static void trimmed_sequence_is_listed (void **state)
{
    rig_t *rig = *state;
    store_one (rig, 5000, 230, 1);
    rig_stop (rig, 0);
    rig_start (rig, 0);
    while (!rig->said_hello[0] || !worker_welcomed (rig->workers[0]))
        rig_pump (rig, 20);
    copykey_t keys[3];
    for (unsigned i = 0; i < 3; i++)
        keys[i] = store_one (rig, 3000, 231 + i, 1);
    fake_trim (fake_of ("w1"), 3);
    rig_stop (rig, 1);
    /* Memory still has them; a broker that is behind memory would get them from there.
     */
    rig->marks[0] = 1;
    say_hello (rig, 0);
    const seen_t *s = rig_wait (rig, CHANGES, 0, &keys[1]);
    assert_int_equal (s->seq, 2);
    assert_false (s->inventory);
    rig_start (rig, 1);
}

static void heartbeats_come (void **state)
{
    rig_t *rig = *state;
    size_t before = rig->heartbeats;
    uint64_t deadline = clock_mono () + 5 * SEC;
    while (rig->heartbeats < before + 6) {
        rig_pump (rig, 50);
        assert_true (clock_mono () < deadline);
    }
}

/* --- garbage --- */

static void throw_garbage (rig_t *rig, void *socket)
{
    uint8_t junk[3000];
    for (size_t i = 0; i < sizeof junk; i++)
        junk[i] = (uint8_t)(i * 7 + i / 256);
    for (unsigned i = 0; i < 200; i++) {
        size_t len = (i * 37) % sizeof junk;
        unsigned parts = i % 4;
        for (unsigned p = 0; p < parts; p++)
            zmq_send (socket, junk, len, ZMQ_SNDMORE | ZMQ_DONTWAIT);
        zmq_send (socket, junk, len, ZMQ_DONTWAIT);
        rig_pump (rig, 0);
    }
}

static void garbage_changes_nothing (void **state)
{
    rig_t *rig = *state;
    void *push = rig_push (rig, &rig->client, 0);
    zmq_pollitem_t item = {.socket = push, .events = ZMQ_POLLOUT};
    assert_int_equal (zmq_poll (&item, 1, 5000), 1);
    throw_garbage (rig, push);
    rig_close (rig, &push);
    /* On the control link: what is no envelope, and envelopes out of place. */
    zmq_send (rig->back, rig->routes[0].id, rig->routes[0].len, ZMQ_SNDMORE);
    zmq_send (rig->back, "nonsense", 8, 0);
    zmq_send (rig->back, rig->routes[0].id, rig->routes[0].len, ZMQ_SNDMORE);
    zmq_send (rig->back, "non", 3, ZMQ_SNDMORE);
    zmq_send (rig->back, "sense", 5, 0);
    zmq_send (rig->announce, "A", 1, ZMQ_SNDMORE);
    zmq_send (rig->announce, "nonsense", 8, 0);
    Dfs__ClusterStatus status = DFS__CLUSTER_STATUS__INIT;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_CLUSTER_STATUS;
    env.cluster_status = &status;
    rig_order (rig, 0, &env);
    Dfs__CopyKey k = DFS__COPY_KEY__INIT;
    k.digest.data = (uint8_t *)(uintptr_t) "short";
    k.digest.len = 5;
    Dfs__Replicate replica = DFS__REPLICATE__INIT;
    replica.key = &k;
    env.body_case = DFS__ENVELOPE__BODY_REPLICATE;
    env.replicate = &replica;
    rig_order (rig, 0, &env);
    store_one (rig, 2 * FRAME_MAX, 240, 2);
}

static void strangers_are_not_let_in (void **state)
{
    rig_t *rig = *state;
    void *push = rig_push (rig, &rig->stranger, 0);
    zmq_pollitem_t item = {.socket = push, .events = ZMQ_POLLOUT};
    assert_int_equal (zmq_poll (&item, 1, 300), 0);
    rig_close (rig, &push);
    store_one (rig, 5000, 245, 1);
}

#define SECURE(test) cmocka_unit_test_setup_teardown (test, secure_rig, drop_rig)
#define OPEN(test)                                                                     \
    {                                                                                  \
#test " without security", test, open_rig, drop_rig, NULL                      \
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
        SECURE (chain_reaches_the_second_worker),
        OPEN (chain_reaches_the_second_worker),
        SECURE (chain_goes_on_where_the_copy_was),
        SECURE (dead_next_hop_is_reported),
        SECURE (replicate_order_makes_a_copy),
        SECURE (many_chunks_in_both_directions),
        OPEN (many_chunks_in_both_directions),
        SECURE (pieces_are_rounded_to_blocks),
        SECURE (what_is_not_there_is_said_in_a_frame),
        SECURE (only_the_clients_key_opens_its_stream),
        SECURE (client_that_left_is_told_where_anew),
        OPEN (client_that_left_is_told_where_anew),
        SECURE (cancelled_pieces_do_not_come),
        SECURE (what_waits_is_given_back),
        SECURE (stalled_reader_is_cut_off),
        SECURE (verify_order_rehashes),
        SECURE (changes_are_sent_again_after_a_gap),
        SECURE (welcome_says_where_to_go_on),
        SECURE (trimmed_sequence_is_listed),
        SECURE (heartbeats_come),
        SECURE (garbage_changes_nothing),
        OPEN (garbage_changes_nothing),
        SECURE (strangers_are_not_let_in),
    };
    if (argc > 1) /* a pattern of names */
        cmocka_set_test_filter (argv[1]);
    cmocka_set_message_output (CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests_name ("worker_flow", tests, NULL, NULL);
    context_close ();
    return failed;
}
