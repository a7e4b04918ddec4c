/* SPDX-License-Identifier: MPL-2.0 */
/* The broker's half of the fake cluster. */
#include "lib_fake.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/error.h"
#include "msgs/check.h"
#include "msgs/sock.h"

void fake_send (fake_t *self, Dfs__Envelope *env)
{
    int rc;

    while ((rc = envelope_send (self->router, &self->client, 0, env)) == DFS_EAGAIN &&
           !atomic_load (&self->stop))
        usleep (1000); /* the client has much to read yet */
    assert (rc == 0 || rc == DFS_EUNAVAIL || rc == DFS_EAGAIN);
}

fake_chunk_t *fake_chunk (fake_t *self, const uint8_t digest[32], bool make)
{
    for (size_t i = 0; i < self->n_chunks; i++)
        if (memcmp (self->chunks[i].key.digest, digest, 32) == 0)
            return &self->chunks[i];
    if (!make)
        return NULL;
    assert (self->n_chunks < FAKE_CHUNKS);
    fake_chunk_t *chunk = &self->chunks[self->n_chunks++];
    memset (chunk, 0, sizeof *chunk);
    memcpy (chunk->key.digest, digest, 32);
    return chunk;
}

const fake_file_t *fake_file (const fake_t *self, const void *path, size_t len)
{
    for (size_t i = self->n_files; i > 0; i--)
        if (strlen (self->files[i - 1].path) == len &&
            memcmp (self->files[i - 1].path, path, len) == 0)
            return &self->files[i - 1];
    return NULL;
}

uint8_t *fake_content (fake_t *self, const char *path, uint64_t *size)
{
    const fake_file_t *file = fake_file (self, path, strlen (path));
    if (!file)
        return NULL;
    uint8_t *out = calloc (1, file->size + 1);
    for (size_t i = 0; i < file->n; i++) {
        const fake_extent_t *e = &file->extents[i];
        if (e->kind == DFS__EXTENT_KIND__EXTENT_CHUNK) {
            fake_chunk_t *chunk = fake_chunk (self, e->digest, false);
            assert (chunk && chunk->whole);
            memcpy (out + e->offset, chunk->bytes, e->length);
        } else if (e->kind == DFS__EXTENT_KIND__EXTENT_INLINE)
            memcpy (out + e->offset, file->data, e->length);
    }
    *size = file->size;
    return out;
}

void fake_forget (fake_t *self)
{
    for (size_t i = 0; i < self->n_chunks; i++)
        self->chunks[i].whole = false;
}

static bool take (atomic_uint *knob)
{
    unsigned n = atomic_load (knob);
    return n > 0 && atomic_compare_exchange_strong (knob, &n, n - 1);
}

static void hello (fake_t *self, const Dfs__Envelope *asked)
{
    Dfs__Envelope env;
    Dfs__Welcome body = DFS__WELCOME__INIT;
    Dfs__Epoch epoch = DFS__EPOCH__INIT;
    Dfs__Policy policy = DFS__POLICY__INIT;
    char name[] = "b1";

    self->counts.hellos++;
    self->greeted = true;
    if (!asked->hello->has_resume && self->knobs.expire) {
        self->knobs.expire = 0;
        self->session++;
        memset (self->done, 0, sizeof self->done);
    }
    if (asked->hello->has_resume && asked->hello->resume == self->session)
        self->counts.resumed++;
    envelope_answer (&env, asked);
    body.version = 1;
    body.session = self->session;
    body.epoch = &epoch;
    epoch.incarnation = 1;
    epoch.term = 1;
    policy.id = 1;
    policy.replicas = 1;
    policy.min_replicas = 1;
    policy.chunk_size = 256 * 1024;
    body.policy = &policy;
    body.broker = name;
    body.leader = name;
    body.has_inline_max = true;
    body.inline_max = self->knobs.inline_max;
    env.body_case = DFS__ENVELOPE__BODY_WELCOME;
    env.welcome = &body;
    fake_send (self, &env);
}

static uint32_t pick (fake_t *self, const uint32_t *avoid, size_t n)
{
    for (unsigned i = 0; i < FAKE_WORKERS; i++) {
        uint32_t worker = 1 + (self->turn + i) % FAKE_WORKERS;
        bool bad = false;
        for (size_t k = 0; k < n; k++)
            bad = bad || avoid[k] == worker;
        if (!bad) {
            self->turn += i + 1;
            return worker;
        }
    }
    return 0;
}

static void place (fake_t *self, const Dfs__Envelope *asked)
{
    const Dfs__Place *ask = asked->place;
    Dfs__Envelope env;
    Dfs__Placed body = DFS__PLACED__INIT;
    Dfs__PlacedItem items[256], *list[256];
    Dfs__Worker workers[FAKE_WORKERS], *wlist[FAKE_WORKERS];
    uint32_t targets[256];
    uint8_t grant[16] = "a grant";
    char host[] = "127.0.0.1", name[FAKE_WORKERS][4] = {"w1", "w2", "w3"};

    usleep (self->knobs.delay_us);
    self->counts.places++;
    for (size_t i = 0; i < ask->n_items; i++) {
        const Dfs__PlaceItem *item = ask->items[i];
        fake_chunk_t *chunk = fake_chunk (self, item->key->digest.data, true);
        self->counts.placed_items++;
        dfs__placed_item__init (list[i] = &items[i]);
        items[i].key = item->key;
        items[i].index = ++self->index;
        if (chunk->whole) {
            items[i].has_have = items[i].have = true;
            continue;
        }
        uint32_t before = chunk->worker;
        chunk->worker = targets[i] = pick (self, item->avoid, item->n_avoid);
        bool avoided = !chunk->late || targets[i] == 0;
        for (size_t k = 0; k < item->n_avoid; k++)
            avoided = avoided || item->avoid[k] == before;
        self->counts.not_avoided += !avoided;
        chunk->late = false;
        chunk->length = item->length;
        chunk->upload = ask->upload;
        chunk->got = 0;
        if (targets[i] == 0) {
            items[i].has_code = true;
            items[i].code = DFS_EUNAVAIL;
            continue;
        }
        items[i].has_grant = true;
        items[i].grant.data = grant;
        items[i].grant.len = sizeof grant;
        items[i].targets = &targets[i];
        items[i].n_targets = 1;
        items[i].has_credit =
            self->knobs.credit > 0 && item->length > self->knobs.credit;
        items[i].credit = self->knobs.credit;
    }
    for (int i = 0; i < FAKE_WORKERS; i++) {
        dfs__worker__init (wlist[i] = &workers[i]);
        workers[i].id = (uint32_t)i + 1;
        workers[i].name = name[i];
        workers[i].host = host;
        workers[i].port = self->ingest_port[i];
    }
    envelope_answer (&env, asked);
    body.upload = ask->upload;
    body.items = list;
    body.n_items = ask->n_items;
    body.workers = wlist;
    body.n_workers = FAKE_WORKERS;
    env.body_case = DFS__ENVELOPE__BODY_PLACED;
    env.placed = &body;
    fake_send (self, &env);
}

static void add_extents (fake_extent_t **to, size_t *n, Dfs__Extent **from, size_t m)
{
    *to = realloc (*to, (*n + m + 1) * sizeof **to);
    for (size_t i = 0; i < m; i++) {
        fake_extent_t *e = &(*to)[(*n)++];
        memset (e, 0, sizeof *e);
        e->offset = from[i]->offset;
        e->length = from[i]->length;
        e->kind = from[i]->kind;
        e->chunk_length = from[i]->chunk_length;
        if (from[i]->has_digest)
            memcpy (e->digest, from[i]->digest.data, 32);
    }
}

static void commit (fake_t *self, const Dfs__OpCommit *op)
{
    assert (self->n_files < FAKE_FILES);
    fake_file_t *file = &self->files[self->n_files++];
    memset (file, 0, sizeof *file);
    memcpy (file->path, op->path.data, op->path.len);
    if (op->has_upload) {
        file->extents = self->staged;
        file->n = self->n_staged;
        self->staged = NULL;
        self->n_staged = 0;
    }
    add_extents (&file->extents, &file->n, op->extents, op->n_extents);
    file->size = op->size;
    file->mode = op->mode;
    file->mtime_ns = op->mtime_ns;
    file->version = ++self->index;
    if (op->n_inline_ > 0) {
        file->data = malloc (op->inline_[0]->data.len);
        memcpy (file->data, op->inline_[0]->data.data, op->inline_[0]->data.len);
    }
}

/* Applies OP; the answer's code. */
static int apply (fake_t *self, const Dfs__Op *op, Dfs__OpResult *result)
{
    Dfs__Extent **extents = NULL;
    size_t n = 0;

    if (op->op_case == DFS__OP__OP_COMMIT) {
        extents = op->commit->extents;
        n = op->commit->n_extents;
    } else if (op->op_case == DFS__OP__OP_STAGE) {
        extents = op->stage->extents;
        n = op->stage->n_extents;
    }
    if (op->op_case == DFS__OP__OP_COMMIT && op->commit->n_extents > 0 &&
        op->commit->placed_policy != self->knobs.policy)
        return DFS_EPOLICY;
    bool chunk = n > 0 && extents[0]->kind == DFS__EXTENT_KIND__EXTENT_CHUNK;
    if (chunk && take (&self->knobs.missing)) {
        /* its first chunk is gone */
        fake_chunk (self, extents[0]->digest.data, false)->whole = false;
        result->missing = &extents[0]->digest;
        result->n_missing = 1;
        return DFS_EMISSING;
    }
    for (size_t i = 0; i < n; i++)
        if (extents[i]->kind == DFS__EXTENT_KIND__EXTENT_CHUNK)
            assert (fake_chunk (self, extents[i]->digest.data, false)->whole);
    self->counts.applied++;
    if (op->op_case == DFS__OP__OP_STAGE) {
        self->counts.stages++;
        add_extents (&self->staged, &self->n_staged, extents, n);
    } else if (op->op_case == DFS__OP__OP_COMMIT)
        commit (self, op->commit);
    else if (op->op_case == DFS__OP__OP_RMDIR)
        return DFS_ENOTEMPTY;
    return 0;
}

static void change (fake_t *self, const Dfs__Envelope *asked)
{
    const Dfs__Change *ask = asked->change;
    Dfs__Envelope env;
    Dfs__Changed body = DFS__CHANGED__INIT;
    Dfs__ChangeResult items[256], *list[256];
    Dfs__OpResult results[256];

    usleep (self->knobs.delay_us);
    self->counts.changes++;
    for (size_t i = 0; i < ask->n_requests; i++) {
        const Dfs__Request *request = ask->requests[i];
        /* answered from the end: the order of answers is not that of questions */
        size_t at = ask->n_requests - 1 - i;
        dfs__change_result__init (list[at] = &items[at]);
        dfs__op_result__init (&results[at]);
        items[at].request = request->request;
        items[at].result = &results[at];
        results[at].has_code = results[at].has_version = true;
        self->counts.requests++;
        if (ask->has_done_below &&
            request->request - ask->done_below > self->counts.ahead)
            self->counts.ahead = (unsigned)(request->request - ask->done_below);
        assert (request->request < sizeof self->done / sizeof *self->done);
        if (self->done[request->request] == 0) {
            results[at].code = self->knobs.expire ? DFS_EEXPIRED
                               : take (&self->knobs.busy)
                                   ? DFS_EAGAIN
                                   : apply (self, request->op, &results[at]);
            if (results[at].code == 0)
                self->done[request->request] = self->index + 1;
        }
        if (results[at].code == 0)
            results[at].version = self->done[request->request] - 1;
    }
    if (take (&self->knobs.drop_answers)) {
        atomic_store (&self->restart, true);
        return;
    }
    envelope_answer (&env, asked);
    body.results = list;
    for (size_t i = 0; i < ask->n_requests; i++)
        if (self->knobs.hold == 0 || list[i]->request != self->knobs.hold)
            list[body.n_results++] = list[i];
        else
            self->knobs.hold = 0;
    env.body_case = DFS__ENVELOPE__BODY_CHANGED;
    env.changed = &body;
    fake_send (self, &env);
}

static void handle (fake_t *self, const Dfs__Envelope *env)
{
    /* As a broker does: who has not said hello since it is there is not heard. */
    if (!self->greeted && env->body_case != DFS__ENVELOPE__BODY_HELLO)
        return;
    switch (env->body_case) {
    case DFS__ENVELOPE__BODY_HELLO:
        hello (self, env);
        break;
    case DFS__ENVELOPE__BODY_PLACE:
        place (self, env);
        break;
    case DFS__ENVELOPE__BODY_CHANGE:
        change (self, env);
        break;
    case DFS__ENVELOPE__BODY_OPEN:
        fake_open (self, env);
        break;
    case DFS__ENVELOPE__BODY_EXTENTS:
        fake_extents (self, env);
        break;
    case DFS__ENVELOPE__BODY_FETCH:
        fake_fetch (self, env);
        break;
    case DFS__ENVELOPE__BODY_STAT:
        fake_stat (self, env);
        break;
    case DFS__ENVELOPE__BODY_LIST:
        fake_list (self, env);
        break;
    case DFS__ENVELOPE__BODY_CANCEL:
        self->counts.cancels++;
        break;
    default:
        assert (!"a question the fake does not know");
    }
}

static void listen_again (fake_t *self)
{
    dfs_error_t err;
    sock_close (&self->router);
    if (self->knobs.hang_ups > 0)
        fake_hang_up (self);
    self->router = sock_new (self->ctx, SOCK_FRONT, NULL, NULL, &err);
    int rc;
    /* The I/O thread closes the port of before when it comes to that. */
    while ((rc = sock_bind (self->router, "127.0.0.1", self->port, &self->port,
                            &err)) == DFS_EINUSE)
        usleep (1000);
    assert (rc == 0);
    self->greeted = false;
}

static void *run (void *arg)
{
    fake_t *self = arg;

    while (!atomic_load (&self->stop)) {
        zmq_pollitem_t items[1 + FAKE_WORKERS] = {
            {.socket = self->router, .events = ZMQ_POLLIN}};
        for (int i = 0; i < FAKE_WORKERS; i++)
            items[1 + i] =
                (zmq_pollitem_t){.socket = self->ingest[i], .events = ZMQ_POLLIN};
        zmq_poll (items, 1 + FAKE_WORKERS, 20);
        envelope_from_t from;
        Dfs__Envelope *env;
        arena_reset (self->arena);
        while (envelope_recv (self->router, true, false, self->arena, &from, &env,
                              NULL) == 1) {
            self->client = from.route;
            handle (self, env);
            arena_reset (self->arena);
            if (atomic_load (&self->restart))
                break;
        }
        for (int i = 0; i < FAKE_WORKERS; i++)
            fake_ingest (self, i);
        if (atomic_exchange (&self->restart, false)) {
            listen_again (self);
            self->restarts++;
        }
    }
    return NULL;
}

fake_t *fake_new (void)
{
    fake_t *self = calloc (1, sizeof *self);
    dfs_error_t err;
    pthread_t thread;

    snprintf (self->dir, sizeof self->dir, "/tmp/lib-fake-XXXXXX");
    assert (mkdtemp (self->dir));
    snprintf (self->config, sizeof self->config, "%s/cluster.cfg", self->dir);
    self->ctx = zmq_ctx_new ();
    self->arena = arena_new (16 * 1024 * 1024);
    self->chunks = calloc (FAKE_CHUNKS, sizeof *self->chunks);
    self->files = calloc (FAKE_FILES, sizeof *self->files);
    self->session = 0xfeedbeef01;
    self->knobs.extent_page = 512;
    listen_again (self);
    for (int i = 0; i < FAKE_WORKERS; i++) {
        self->ingest[i] = sock_new (self->ctx, SOCK_INGEST, NULL, NULL, &err);
        int rc =
            sock_bind (self->ingest[i], "127.0.0.1", 0, &self->ingest_port[i], &err);
        assert (rc == 0);
    }
    FILE *file = fopen (self->config, "w");
    fprintf (file,
             "cluster\n    name = fake\n    id = 00112233445566778899aabbccddeeff\n"
             "    security = none\nbrokers\n    b1\n        host = 127.0.0.1\n"
             "        port = %u\n        data = data/b1\n",
             self->port);
    fprintf (file, "workers\n    w1\n        host = 127.0.0.1\n        port = 0\n"
                   "        data = data/w1\n");
    fclose (file);
    pthread_create (&thread, NULL, run, self);
    self->thread = (unsigned long)thread;
    return self;
}

void fake_restart (fake_t *self)
{
    atomic_store (&self->restart, true);
}

void fake_restart_now (fake_t *self)
{
    unsigned before = self->restarts;

    fake_restart (self);
    while (self->restarts == before)
        usleep (1000);
}

void fake_free (fake_t **self_p)
{
    fake_t *self = *self_p;

    atomic_store (&self->stop, true);
    pthread_join ((pthread_t)self->thread, NULL);
    sock_close (&self->router);
    for (int i = 0; i < FAKE_WORKERS; i++) {
        sock_close (&self->ingest[i]);
        sock_close (&self->stream[i]);
    }
    zmq_ctx_term (self->ctx);
    for (size_t i = 0; i < self->n_chunks; i++) {
        free (self->chunks[i].bytes);
        free (self->chunks[i].crcs);
    }
    for (size_t i = 0; i < self->n_files; i++) {
        free (self->files[i].extents);
        free (self->files[i].data);
    }
    free (self->staged);
    free (self->chunks);
    free (self->files);
    arena_destroy (&self->arena);
    unlink (self->config);
    rmdir (self->dir);
    free (self);
    *self_p = NULL;
}
