/* SPDX-License-Identifier: MPL-2.0 */
/* Clients that behave badly, many at once, against a real cluster: readers that ask for
 * whole chunks and never take a byte, and uploaders of 64 MiB chunks that send as fast
 * as their credit allows (RUDE: faster) and end with a damaged frame. Prints what they
 * managed to do.
 *   flood CONFIG PATH READERS UPLOADERS MIB-PER-UPLOAD SECONDS [RUDE] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/rng.h"
#include "common/units.h"
#include "msgs/check.h"
#include "msgs/cluster.h"
#include "msgs/envelope.h"
#include "msgs/frame.h"
#include "msgs/sock.h"

#define PATIENCE (120 * SEC) /* beyond SECONDS, for slow machines */

#define CHUNK (64 * MIB)

typedef struct peer {
    void *control;
    void *data;
    bool reader;
    bool placed; /* uploader: granted; reader: stream connected */
    uint64_t session;
    uint64_t seq;
    copykey_t key;
    uint8_t grant[FRAME_GRANT_MAX];
    size_t grant_len;
    uint64_t credit; /* 0: no bound */
    uint64_t consumed;
    uint64_t sent;
} peer_t;

typedef struct flood {
    void *ctx;
    cluster_t *cluster;
    sock_identity_t id;
    uint8_t broker_key[32];
    char host[64];
    uint16_t port;
    const char *path;
    bool rude;      /* credit is ignored */
    uint64_t limit; /* bytes of an upload */
    arena_t *arena;
    uint8_t block[FRAME_MAX];
    uint32_t crcs[FRAME_BLOCKS];
} flood_t;

static void die (const char *what, const dfs_error_t *err)
{
    fprintf (stderr, "flood: %s: %s\n", what, err ? err->text : "");
    exit (1);
}

static void send_env (peer_t *p, Dfs__Envelope *env)
{
    env->has_session = p->session != 0;
    env->session = p->session;
    env->has_seq = 1;
    env->seq = ++p->seq;
    uint64_t until = clock_mono () + 10 * SEC;
    while (envelope_send (p->control, NULL, 0, env) == DFS_EAGAIN &&
           clock_mono () < until)
        zmq_poll (NULL, 0, 5);
}

static void say_hello (flood_t *f, peer_t *p)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Hello hello = DFS__HELLO__INIT;
    char name[] = "admin";
    hello.version_min = hello.version_max = 1;
    hello.cluster_id.data = f->cluster->id;
    hello.cluster_id.len = 16;
    hello.role = DFS__ROLE__ROLE_CLIENT;
    hello.name = name;
    hello.has_key = f->id.secure;
    hello.key.data = f->id.keys.public_key;
    hello.key.len = 32;
    env.body_case = DFS__ENVELOPE__BODY_HELLO;
    env.hello = &hello;
    send_env (p, &env);
}

static void ask_open (flood_t *f, peer_t *p)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Open open = DFS__OPEN__INIT;
    char path[256];
    snprintf (path, sizeof path, "%s", f->path);
    ProtobufCBinaryData data = {.len = strlen (path), .data = (uint8_t *)path};
    open.n_paths = 1;
    open.paths = &data;
    env.body_case = DFS__ENVELOPE__BODY_OPEN;
    env.open = &open;
    send_env (p, &env);
}

/* All chunks of the file at once, four times over. */
static void ask_fetch (peer_t *p, const Dfs__OpenResult *r)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Fetch fetch = DFS__FETCH__INIT;
    Dfs__Piece pieces[64], *list[64];
    ProtobufCBinaryData handle = r->handle;
    size_t n = 0;
    for (size_t round = 0; round < 4; round++)
        for (size_t i = 0; i < r->n_extents && n < 64; i++, n++) {
            dfs__piece__init (&pieces[n]);
            pieces[n].piece = n + 1;
            pieces[n].extent_offset = r->extents[i]->offset;
            pieces[n].length = r->extents[i]->length;
            list[n] = &pieces[n];
        }
    fetch.n_handles = 1;
    fetch.handles = &handle;
    fetch.n_pieces = n;
    fetch.pieces = list;
    env.body_case = DFS__ENVELOPE__BODY_FETCH;
    env.fetch = &fetch;
    send_env (p, &env);
}

static void ask_place (peer_t *p)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Place place = DFS__PLACE__INIT;
    Dfs__PlaceItem item = DFS__PLACE_ITEM__INIT, *items = &item;
    Dfs__CopyKey key;
    rng_secret (p->key.digest, 32);
    check_put_copykey (&p->key, &key);
    item.key = &key;
    item.length = CHUNK;
    place.upload = rng_secret_u64 ();
    place.n_items = 1;
    place.items = &items;
    env.body_case = DFS__ENVELOPE__BODY_PLACE;
    env.place = &place;
    send_env (p, &env);
}

static void connect_to (flood_t *f, peer_t *p, enum sock_kind kind,
                        const Dfs__Worker *w)
{
    dfs_error_t err;
    if (p->data)
        return;
    p->data = sock_new (f->ctx, kind, &f->id, NULL, &err);
    if (!p->data || sock_connect (p->data, &f->id, w->host, (uint16_t)w->port,
                                  w->has_key ? w->key.data : NULL, &err) < 0)
        die ("connect to a worker", &err);
    p->placed = true;
}

static void handle (flood_t *f, peer_t *p, const Dfs__Envelope *env)
{
    switch (env->body_case) {
    case DFS__ENVELOPE__BODY_WELCOME:
        p->session = env->welcome->session;
        if (p->reader)
            ask_open (f, p);
        else
            ask_place (p);
        break;
    case DFS__ENVELOPE__BODY_OPENED:
        if (env->opened->n_results == 1 && env->opened->results[0]->code == 0)
            ask_fetch (p, env->opened->results[0]);
        break;
    case DFS__ENVELOPE__BODY_STREAM_READY:
        connect_to (f, p, SOCK_STREAM_CLIENT, env->stream_ready->worker);
        break;
    case DFS__ENVELOPE__BODY_PLACED:
        for (size_t i = 0; i < env->placed->n_items; i++) {
            const Dfs__PlacedItem *it = env->placed->items[i];
            if (!it->has_grant || it->n_targets == 0 || it->grant.len > FRAME_GRANT_MAX)
                continue;
            memcpy (p->grant, it->grant.data, it->grant.len);
            p->grant_len = it->grant.len;
            p->credit = it->has_credit ? it->credit : 0;
            for (size_t k = 0; k < env->placed->n_workers; k++)
                if (env->placed->workers[k]->id == it->targets[0])
                    connect_to (f, p, SOCK_FORWARD, env->placed->workers[k]);
        }
        break;
    case DFS__ENVELOPE__BODY_CREDIT:
        if (env->credit->consumed > p->consumed)
            p->consumed = env->credit->consumed;
        break;
    default:
        break;
    }
}

/* Sends frames while credit and socket allow. */
static void push (flood_t *f, peer_t *p)
{
    while (
        p->placed && p->sent <= f->limit &&
        (p->credit == 0 || f->rude || p->sent + FRAME_MAX <= p->consumed + p->credit)) {
        frame_t frame = {.kind = FRAME_DATA,
                         .session = p->session,
                         .key = p->key,
                         .offset = p->sent,
                         .length = FRAME_MAX,
                         .true_len = CHUNK,
                         .stored_len = CHUNK,
                         .n_crcs = FRAME_BLOCKS};
        frame.flags = p->credit ? FRAME_CREDIT : 0;
        memcpy (frame.crcs, f->crcs, sizeof f->crcs);
        frame.crcs[0] ^= p->sent == f->limit; /* refused: its credit is free again */
        if (p->sent == 0) {
            memcpy (frame.grant, p->grant, p->grant_len);
            frame.grant_len = (uint32_t)p->grant_len;
        }
        uint8_t header[FRAME_HEADER_MAX];
        size_t len = frame_pack (&frame, header);
        if (zmq_send (p->data, header, len, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
            return;
        zmq_send (p->data, f->block, FRAME_MAX, 0);
        p->sent += FRAME_MAX;
    }
}

static void setup (flood_t *f, char **argv)
{
    dfs_error_t err;
    f->cluster = cluster_load (argv[1], &err);
    if (!f->cluster)
        die (argv[1], &err);
    f->path = argv[2];
    f->limit = strtoull (argv[5], NULL, 10) * MIB;
    f->ctx = zmq_ctx_new ();
    zmq_ctx_set (f->ctx, ZMQ_MAX_SOCKETS, 4096);
    f->id.secure = f->cluster->secure;
    const cluster_node_t *b = &f->cluster->brokers[0];
    snprintf (f->host, sizeof f->host, "%s", b->host);
    keypair_t broker;
    if (f->id.secure &&
        (keys_load_secret (f->cluster->keys_dir, "user", "admin", &f->id.keys, &err) <
             0 ||
         keys_load_public (f->cluster->keys_dir, "broker", b->name, &broker, &err) < 0))
        die ("keys", &err);
    memcpy (f->broker_key, broker.public_key, 32);
    if (cluster_broker_port (f->cluster, b, 0, &f->port, &err) < 0)
        die ("port", &err);
    f->arena = arena_new (ENVELOPE_ARENA);
    digest_blocks (f->block, sizeof f->block, f->crcs);
}

typedef struct counts {
    size_t streams, uploads;
    uint64_t sent;
} counts_t;

static counts_t count (const peer_t *peers, size_t n)
{
    counts_t counts = {0};

    for (size_t i = 0; i < n; i++) {
        counts.streams += peers[i].reader && peers[i].placed;
        counts.uploads += !peers[i].reader && peers[i].placed;
        counts.sent += peers[i].sent;
    }
    return counts;
}

/* At least SECONDS, and until the worker has been flooded: every reader has its stream,
 * half the uploads their grants and 3 MiB of each are on their way. */
int main (int argc, char **argv)
{
    if (argc < 7)
        die ("usage: flood CONFIG PATH READERS UPLOADERS MIB-PER-UPLOAD SECONDS [RUDE]",
             NULL);
    static flood_t flood;
    flood_t *f = &flood;
    setup (f, argv);
    f->rude = argc > 7;
    size_t readers = strtoul (argv[3], NULL, 10);
    size_t n = readers + strtoul (argv[4], NULL, 10);
    peer_t *peers = calloc (n, sizeof *peers);
    zmq_pollitem_t *items = calloc (n, sizeof *items);
    for (size_t i = 0; i < n; i++) {
        dfs_error_t err;
        peer_t *p = &peers[i];
        p->reader = i < readers;
        /* tries again by itself, as a client does in other ways */
        p->control = sock_new (f->ctx, SOCK_WORKER, &f->id, NULL, &err);
        if (!p->control || sock_connect (p->control, &f->id, f->host, f->port,
                                         f->broker_key, &err) < 0)
            die ("connect", &err);
        say_hello (f, p);
        items[i] = (zmq_pollitem_t){.socket = p->control, .events = ZMQ_POLLIN};
    }
    uint64_t begin = clock_mono (), seconds = strtoull (argv[6], NULL, 10) * SEC;
    counts_t counts = {0};
    for (;;) {
        uint64_t took = clock_mono () - begin;
        counts = count (peers, n);
        bool flooded = counts.streams == readers &&
                       counts.uploads >= (n - readers) / 2 &&
                       counts.sent >= (n - readers) * 3 * MIB;
        if (took >= PATIENCE + seconds || (took >= seconds && flooded))
            break;
        zmq_poll (items, (int)n, 5);
        for (size_t i = 0; i < n; i++) {
            envelope_from_t from;
            Dfs__Envelope *env;
            arena_reset (f->arena);
            while (items[i].revents && envelope_recv (peers[i].control, false, false,
                                                      f->arena, &from, &env, NULL) == 1)
                handle (f, &peers[i], env);
            if (!peers[i].reader)
                push (f, &peers[i]);
        }
    }
    for (size_t i = 0; i < n; i++) {
        int zero = 0;
        zmq_setsockopt (peers[i].control, ZMQ_LINGER, &zero, sizeof zero);
        sock_close (&peers[i].control);
        sock_close (&peers[i].data);
    }
    printf ("streams %zu\nuploads %zu\nmib %llu\n", counts.streams, counts.uploads,
            (unsigned long long)(counts.sent / MIB));
    arena_destroy (&f->arena);
    cluster_destroy (&f->cluster);
    zmq_ctx_term (f->ctx);
    free (items);
    free (peers);
    return 0;
}
