/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>

#include "common/clock.h"
#include "common/daemon.h"
#include "common/log.h"
#include "common/rng.h"
#include "common/units.h"
#include "msgs/node.h"
#include "worker/links/link_private.h"

#define ACCESS_NS (2 * SEC)
enum { TICK_MS = 200, NOTES_BURST = 1024, RESULTS_BURST = 64 };

/* Of the best disk: that is what a chunk can be given to. What is wrong with others
 * stands in the heartbeat's trouble. */
static int condition_of (const broker_link_t *self)
{
    int best = CONDITION_FAILING;
    for (size_t i = 0; i < self->n_disks; i++) {
        const store_disk_t *d = &self->disks[i];
        if (d->usable && d->condition < best)
            best = d->condition;
    }
    return best;
}

static void beat (broker_link_t *self)
{
    if (self->now < self->beat_at)
        return;
    uint64_t interval = self->config.cluster->heartbeat_ns;
    self->beat_at = self->now + (interval ? interval : 500 * MS);
    /* A hello says which disks there are. */
    if (store_give_up (self->config.store))
        for (size_t i = 0; i < self->n; i++)
            if (self->peers[i].connected) {
                peer_close (self, &self->peers[i]);
                self->peers[i].dial_at = self->now;
            }
    int before = self->condition;
    self->condition = condition_of (self);
    send_heartbeat (self);
    /* It looked at the disks: tell a change at once. */
    self->condition = condition_of (self);
    if (self->condition != before) {
        log_warn ("condition", "condition=%s", worker_condition_name (self->condition));
        send_heartbeat (self);
    }
}

static void take_notes (broker_link_t *self)
{
    note_t *note;
    for (int i = 0; i < NOTES_BURST && (note = notes_pop (self->config.notes)); i++) {
        send_note (self, note);
        note_destroy (&note);
    }
}

static void take_results (broker_link_t *self)
{
    result_t *result;
    for (int i = 0; i < RESULTS_BURST && (result = mailbox_pop (self->results)); i++) {
        if (result->kind == RESULT_ADDRESS)
            peer_address (self, &self->peers[result->peer], result);
        else if (result->kind == RESULT_PAGE)
            changes_page (self, result);
        else if (result->kind == RESULT_MEMBER) {
            self->names_asked--;
            if (result->code == DFS_OK)
                directory_set_address (self->config.directory, result->host,
                                       result->address);
        }
        free (result);
    }
}

static void tick (broker_link_t *self)
{
    for (size_t i = 0; i < self->n; i++)
        peer_tick (self, &self->peers[i]);
    beat (self);
    dial_members (self);
    if (self->now >= self->access_at) {
        self->access_at = self->now + ACCESS_NS;
        access_refresh (self->config.access);
    }
    changes_feed (self);
}

static long next_wait (const broker_link_t *self)
{
    uint64_t next = self->now + TICK_MS * MS;
    if (self->beat_at < next)
        next = self->beat_at;
    for (size_t i = 0; i < self->n; i++)
        if (self->peers[i].connected && self->peers[i].hello_at &&
            self->peers[i].hello_at < next)
            next = self->peers[i].hello_at;
    return next > self->now ? (long)((next - self->now) / MS) + 1 : 0;
}

static void run (void *pipe, void *arg)
{
    broker_link_t *self = arg;
    zmq_pollitem_t items[3 + (LINK_SOCKETS + 2) * LINK_BROKERS];
    for (;;) {
        int n = 0;
        items[n++] = (zmq_pollitem_t){.socket = pipe, .events = ZMQ_POLLIN};
        items[n++] =
            (zmq_pollitem_t){.fd = notes_fd (self->config.notes), .events = ZMQ_POLLIN};
        items[n++] =
            (zmq_pollitem_t){.fd = mailbox_fd (self->results), .events = ZMQ_POLLIN};
        for (size_t i = 0; i < self->n; i++) {
            const peer_t *peer = &self->peers[i];
            void *sockets[] = {peer->monitors[LINK_DEALER], peer->monitors[LINK_PULSE],
                               peer->monitors[LINK_LISTEN], peer->dealer, peer->listen};
            for (size_t k = 0; k < sizeof sockets / sizeof sockets[0]; k++)
                if (sockets[k])
                    items[n++] =
                        (zmq_pollitem_t){.socket = sockets[k], .events = ZMQ_POLLIN};
        }
        int rc = zmq_poll (items, n, next_wait (self));
        self->now = clock_mono ();
        if ((rc < 0 && errno != EINTR) || (rc > 0 && items[0].revents))
            break;
        daemon_beat ();
        for (size_t i = 0; i < self->n; i++) {
            peer_events (self, &self->peers[i]);
            peer_receive (self, &self->peers[i]);
            peer_listen (self, &self->peers[i]);
        }
        take_results (self);
        take_notes (self);
        tick (self);
    }
    take_notes (self);
    changes_feed (self);
    for (size_t i = 0; i < self->n; i++)
        peer_close (self, &self->peers[i]);
}

static int add_peers (broker_link_t *self, dfs_error_t *err)
{
    const cluster_t *cluster = self->config.cluster;
    if (cluster->n_brokers > LINK_BROKERS)
        return fail (err, DFS_ECONFIG, "%zu brokers, at most %d", cluster->n_brokers,
                     LINK_BROKERS);
    for (size_t i = 0; i < cluster->n_brokers; i++) {
        peer_t *peer = &self->peers[self->n];
        peer->index = (int)self->n++;
        peer->node = &cluster->brokers[i];
        if (!self->config.identity->secure)
            continue;
        keypair_t pair;
        int rc = keys_load_public (cluster->keys_dir, "broker", peer->node->name, &pair,
                                   err);
        if (rc < 0)
            return rc;
        memcpy (peer->key, pair.public_key, 32);
        peer->has_key = true;
    }
    return DFS_OK;
}

broker_link_t *broker_link_new (const link_config_t *config, dfs_error_t *err)
{
    broker_link_t *self = calloc (1, sizeof *self);
    assert (self);
    self->config = *config;
    self->incarnation = rng_secret_u64 ();
    self->arena = arena_new (ENVELOPE_ARENA);
    self->results = mailbox_new ();
    self->pulse =
        pulse_new ((const char *const *)config->node->data, config->node->n_data);
    for (size_t i = 0; i < LINK_DISKS; i++)
        self->recent[i] = recent_new ();
    self->n_disks = store_disks (config->store, self->disks, LINK_DISKS);
    self->condition = condition_of (self);
    self->now = clock_mono ();
    if (add_peers (self, err) == DFS_OK &&
        (self->dial = jobs_new (dial_work, free, self, err)) &&
        (self->history = jobs_new (history_work, free, self, err))) {
        self->actor = actor_new (run, self);
        if (self->actor)
            return self;
        fail (err, DFS_ESYS, "start the link thread");
    }
    broker_link_destroy (&self);
    return NULL;
}

void broker_link_destroy (broker_link_t **self_p)
{
    broker_link_t *self = *self_p;
    if (!self)
        return;
    actor_destroy (&self->actor);
    jobs_destroy (&self->dial);
    jobs_destroy (&self->history);
    mailbox_destroy (&self->results, free);
    if (self->refused)
        cluster_refused_remove (self->config.cluster, self->config.node->name);
    for (size_t i = 0; i < LINK_DISKS; i++)
        recent_destroy (&self->recent[i]);
    pulse_destroy (&self->pulse);
    arena_destroy (&self->arena);
    free (self);
    *self_p = NULL;
}

size_t broker_link_welcomed (broker_link_t *self)
{
    return atomic_load (&self->welcomed);
}
