/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>

#include "common/log.h"
#include "config.h"
#include "msgs/check.h"
#include "msgs/node.h"
#include "worker/links/link_private.h"

int peer_send (broker_link_t *self, peer_t *peer, Dfs__Envelope *env)
{
    (void)self;
    if (!peer->dealer || !peer->connected)
        return DFS_EUNAVAIL;
    if (peer->welcomed) {
        env->has_session = true;
        env->session = peer->session;
    }
    int rc = envelope_send (peer->dealer, NULL, 0, env);
    if (rc < 0 && rc != DFS_EAGAIN)
        log_warn ("send_failed", "peer=%s type=%d err=%d", peer->node->name,
                  env->body_case, rc);
    return rc;
}

static size_t fill_stores (const broker_link_t *self, Dfs__Store *stores,
                           Dfs__Store **pointers)
{
    size_t n = 0;
    for (size_t i = 0; i < self->n_disks; i++) {
        const store_disk_t *d = &self->disks[i];
        if (!d->usable)
            continue;
        Dfs__Store *s = &stores[n];
        dfs__store__init (s);
        s->id.data = (uint8_t *)(uintptr_t)d->id;
        s->id.len = sizeof d->id;
        s->incarnation = d->incarnation;
        s->last_seq = d->last_seq;
        s->first_seq = d->first_seq;
        s->has_capacity = s->has_used = s->has_chunks = true;
        s->capacity = d->capacity;
        s->used = d->used;
        s->chunks = d->chunks;
        pointers[n++] = s;
    }
    return n;
}

int send_hello (broker_link_t *self, peer_t *peer)
{
    const link_config_t *config = &self->config;
    Dfs__Store stores[LINK_DISKS];
    Dfs__Store *pointers[LINK_DISKS];
    self->n_disks = store_disks (config->store, self->disks, LINK_DISKS);
    Dfs__Hello hello = DFS__HELLO__INIT;
    hello.version_min = hello.version_max = ENVELOPE_VERSION;
    hello.cluster_id.data = (uint8_t *)(uintptr_t)config->cluster->id;
    hello.cluster_id.len = sizeof config->cluster->id;
    hello.role = DFS__ROLE__ROLE_WORKER;
    hello.name = config->node->name;
    hello.software = (char *)(uintptr_t)PACKAGE_STRING;
    if (config->identity->secure) {
        hello.has_key = true;
        hello.key.data = (uint8_t *)(uintptr_t)config->identity->keys.public_key;
        hello.key.len = 32;
    }
    hello.n_stores = fill_stores (self, stores, pointers);
    hello.stores = pointers;
    hello.host = config->node->host;
    hello.has_port = true;
    hello.port = config->port;
    hello.location = config->node->location;
    hello.has_incarnation = true;
    hello.incarnation = self->incarnation;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_HELLO;
    env.hello = &hello;
    return peer_send (self, peer, &env);
}

void send_ping (broker_link_t *self, peer_t *peer)
{
    Dfs__Ping ping = DFS__PING__INIT;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_PING;
    env.ping = &ping;
    env.has_seq = true;
    env.seq = self->incarnation;
    peer_send (self, peer, &env);
}

/* A pass is under way until the brokers know what it found: who sees it end sees the
 * repair it caused, or its end. SCRUB was looked at before the disks. */
static void fill_scrub (broker_link_t *self, const store_scrub_t *scrub,
                        Dfs__Heartbeat *beat)
{
    beat->has_scrub_passes = beat->has_scrubbed = beat->has_scrub_damaged = true;
    beat->scrub_passes = scrub->passes;
    beat->scrubbed = scrub->chunks;
    beat->scrub_damaged = scrub->damaged;
    for (size_t i = 0; i < self->n_disks; i++) {
        if (scrub->passed != self->scrub_passed)
            self->scrub_told[i] = self->disks[i].last_seq;
        if (scrub->passes == 0 && self->disks[i].usable &&
            !changes_known (self, i, self->scrub_told[i]))
            beat->scrub_passes++;
    }
    self->scrub_passed = scrub->passed;
}

/* What is wrong with the first disk that has trouble; false when all are well. */
static bool describe_trouble (const broker_link_t *self, char *text, size_t size)
{
    for (size_t i = 0; i < self->n_disks; i++) {
        const store_disk_t *d = &self->disks[i];
        if (d->usable && d->condition == CONDITION_OK && !d->trouble[0])
            continue;
        snprintf (text, size, "%s: %s", d->dir,
                  d->trouble[0] ? d->trouble
                  : !d->usable  ? "out of use"
                                : worker_condition_name (d->condition));
        return true;
    }
    return false;
}

void send_heartbeat (broker_link_t *self)
{
    const link_config_t *config = &self->config;
    uint32_t worker = directory_self (config->directory);
    store_scrub_t scrub;
    store_scrub_state (config->store, &scrub);
    self->n_disks = store_disks (config->store, self->disks, LINK_DISKS);
    if (worker == 0)
        return;
    pulse_load_t load;
    link_load_t flow = {0};
    pulse_sample (self->pulse, self->now, &load);
    if (config->load)
        config->load (&flow, config->load_arg);
    Dfs__Store stores[LINK_DISKS];
    Dfs__Store *pointers[LINK_DISKS];
    Dfs__Heartbeat beat = DFS__HEARTBEAT__INIT;
    beat.worker = worker;
    beat.number = ++self->beat;
    beat.incarnation = self->incarnation;
    beat.condition = (uint32_t)self->condition;
    beat.n_stores = fill_stores (self, stores, pointers);
    beat.stores = pointers;
    for (size_t i = 0; i < beat.n_stores; i++) {
        beat.capacity += stores[i].capacity;
        beat.used += stores[i].used;
        beat.chunks += stores[i].chunks;
    }
    beat.has_cpu_permille = beat.has_memory = beat.has_disk_permille = true;
    beat.cpu_permille = load.cpu_permille;
    beat.memory = load.memory;
    beat.disk_permille = load.disk_permille;
    beat.has_stream_queued = beat.has_streams = true;
    beat.stream_queued = flow.stream_queued;
    beat.streams = flow.streams;
    beat.has_bytes_in = beat.has_bytes_out = beat.has_interval_ns = true;
    beat.bytes_in = flow.bytes_in;
    beat.bytes_out = flow.bytes_out;
    beat.interval_ns = config->cluster->heartbeat_ns;
    beat.has_cache_hits = beat.has_cache_misses = true;
    beat.cache_hits = flow.cache_hits;
    beat.cache_misses = flow.cache_misses;
    char trouble[200];
    fill_scrub (self, &scrub, &beat);
    if (describe_trouble (self, trouble, sizeof trouble))
        beat.trouble = trouble;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_HEARTBEAT;
    env.heartbeat = &beat;
    for (size_t i = 0; i < self->n; i++)
        if (self->peers[i].pulse)
            envelope_send (self->peers[i].pulse, NULL, 'H', &env);
}

/* --- notes --- */

static bool is_for (const broker_link_t *self, const peer_t *peer, int to)
{
    if (!peer->welcomed)
        return false;
    if (to >= 0)
        return peer->index == to;
    if (to == NOTE_TO_ALL || !self->leader[0])
        return true;
    return strcmp (peer->node->name, self->leader) == 0;
}

static void send_to (broker_link_t *self, const note_t *note, Dfs__Envelope *env)
{
    if (note->trace) {
        env->has_trace = true;
        env->trace = note->trace;
    }
    for (size_t i = 0; i < self->n; i++)
        if (is_for (self, &self->peers[i], note->to))
            peer_send (self, &self->peers[i], env);
}

static void send_refused (broker_link_t *self, const note_t *note)
{
    Dfs__CopyKey key = DFS__COPY_KEY__INIT;
    check_put_copykey (&note->key, &key);
    Dfs__Refused body = DFS__REFUSED__INIT;
    body.session = note->session;
    body.key = &key;
    body.code = note->code;
    body.text = note->text[0] ? (char *)(uintptr_t)note->text : NULL;
    body.has_upload = note->upload != 0;
    body.upload = note->upload;
    body.has_worker = true;
    body.worker = note->worker ? note->worker : directory_self (self->config.directory);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_REFUSED;
    env.refused = &body;
    send_to (self, note, &env);
}

static void send_credit (broker_link_t *self, const note_t *note)
{
    Dfs__CopyKey key = DFS__COPY_KEY__INIT;
    check_put_copykey (&note->key, &key);
    Dfs__Credit body = DFS__CREDIT__INIT;
    body.session = note->session;
    body.key = &key;
    body.consumed = note->consumed;
    body.has_upload = note->upload != 0;
    body.upload = note->upload;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_CREDIT;
    env.credit = &body;
    send_to (self, note, &env);
}

static void send_ready (broker_link_t *self, const note_t *note)
{
    const link_config_t *config = &self->config;
    Dfs__Worker worker = DFS__WORKER__INIT;
    worker.id = directory_self (config->directory);
    worker.name = config->node->name;
    worker.host = config->node->host;
    worker.port = note->port;
    if (config->identity->secure) {
        worker.has_key = true;
        worker.key.data = (uint8_t *)(uintptr_t)config->identity->keys.public_key;
        worker.key.len = 32;
    }
    Dfs__StreamReady body = DFS__STREAM_READY__INIT;
    body.session = note->session;
    body.worker = &worker;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_STREAM_READY;
    env.stream_ready = &body;
    send_to (self, note, &env);
}

static void send_send_refused (broker_link_t *self, const note_t *note)
{
    Dfs__PieceRefused pieces[256];
    Dfs__PieceRefused *pointers[256];
    for (size_t done = 0; done < note->n;) {
        size_t n = 0;
        for (; n < 256 && done < note->n; n++, done++) {
            dfs__piece_refused__init (&pieces[n]);
            pieces[n].piece = note->pieces[done].piece;
            pieces[n].code = note->pieces[done].code;
            pointers[n] = &pieces[n];
        }
        Dfs__SendRefused body = DFS__SEND_REFUSED__INIT;
        body.session = note->session;
        body.n_pieces = n;
        body.pieces = pointers;
        body.has_worker = true;
        body.worker = directory_self (self->config.directory);
        Dfs__Envelope env = DFS__ENVELOPE__INIT;
        env.body_case = DFS__ENVELOPE__BODY_SEND_REFUSED;
        env.send_refused = &body;
        send_to (self, note, &env);
    }
}

static void send_yielded (broker_link_t *self, const note_t *note)
{
    Dfs__SendPiece pieces[128];
    Dfs__SendPiece *pointers[128];
    Dfs__CopyKey keys[128];
    for (size_t done = 0; done < note->n;) {
        size_t n = 0;
        for (; n < 128 && done < note->n; n++, done++) {
            const note_yielded_t *y = &note->yielded[done];
            dfs__send_piece__init (&pieces[n]);
            dfs__copy_key__init (&keys[n]);
            check_put_copykey (&y->key, &keys[n]);
            pieces[n].piece = y->piece;
            pieces[n].key = &keys[n];
            pieces[n].offset = y->offset;
            pieces[n].length = y->length;
            pointers[n] = &pieces[n];
        }
        Dfs__Yielded body = DFS__YIELDED__INIT;
        body.session = note->session;
        body.n_pieces = n;
        body.pieces = pointers;
        Dfs__Envelope env = DFS__ENVELOPE__INIT;
        env.body_case = DFS__ENVELOPE__BODY_YIELDED;
        env.yielded = &body;
        send_to (self, note, &env);
    }
}

static void send_traced (broker_link_t *self, const note_t *note)
{
    Dfs__TracedStep steps[NOTE_STEPS], *pointers[NOTE_STEPS];
    Dfs__Traced body = DFS__TRACED__INIT;
    for (size_t i = 0; i < note->n; i++) {
        dfs__traced_step__init (&steps[i]);
        steps[i].step = (Dfs__TraceStep)note->steps[i].step;
        steps[i].us = note->steps[i].ns / 1000;
        steps[i].has_bytes = true;
        steps[i].bytes = note->steps[i].bytes;
        pointers[i] = &steps[i];
    }
    body.session = note->session;
    body.n_steps = note->n;
    body.steps = pointers;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_TRACED_STEPS;
    env.traced_steps = &body;
    send_to (self, note, &env);
}

static void send_order_result (broker_link_t *self, const note_t *note)
{
    Dfs__VerifyResult results[64];
    Dfs__VerifyResult *pointers[64];
    Dfs__CopyKey keys[64];
    assert (note->n <= 64);
    for (size_t i = 0; i < note->n; i++) {
        dfs__verify_result__init (&results[i]);
        dfs__copy_key__init (&keys[i]);
        check_put_copykey (&note->verified[i].key, &keys[i]);
        results[i].key = &keys[i];
        results[i].code = note->verified[i].code;
        results[i].has_bytes = true;
        results[i].bytes = note->verified[i].bytes;
        results[i].has_verified_at_ns = true;
        results[i].verified_at_ns = note->verified[i].verified_at;
        pointers[i] = &results[i];
    }
    Dfs__OrderResult body = DFS__ORDER_RESULT__INIT;
    body.order = note->order;
    body.code = note->code;
    body.text = note->text[0] ? (char *)(uintptr_t)note->text : NULL;
    body.n_verified = note->n;
    body.verified = pointers;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_ORDER_RESULT;
    env.order_result = &body;
    send_to (self, note, &env);
}

void send_note (broker_link_t *self, const note_t *note)
{
    switch (note->kind) {
    case NOTE_REFUSED:
        send_refused (self, note);
        break;
    case NOTE_CREDIT:
        send_credit (self, note);
        break;
    case NOTE_STREAM_READY:
        send_ready (self, note);
        break;
    case NOTE_SEND_REFUSED:
        send_send_refused (self, note);
        break;
    case NOTE_TRACED:
        send_traced (self, note);
        break;
    case NOTE_YIELDED:
        send_yielded (self, note);
        break;
    case NOTE_ORDER_RESULT:
        send_order_result (self, note);
        break;
    case NOTE_STORED_AGAIN:
        changes_again (self, note);
        break;
    case NOTE_CHANGED:
        changes_add (self, note);
        break;
    case NOTE_STATE:
        self->beat_at = 0;
        break;
    }
}
