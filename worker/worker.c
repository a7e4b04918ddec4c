/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "msgs/mark.h"
#include "worker/flow/ingest.h"
#include "worker/flow/orders.h"
#include "worker/flow/settle.h"
#include "worker/worker.h"

struct worker {
    void *ctx;
    const cluster_t *cluster;
    const cluster_node_t *node;
    sock_identity_t identity;
    bool checked;
    zap_t *zap;
    access_t *access;
    epoch_t *epoch;
    directory_t *directory;
    notes_t *notes;
    settler_t *settler;
    store_t *store;
    forward_t *forward;
    streams_t *streams;
    orders_t *orders;
    ingest_t *ingest;
    broker_link_t *link;
    char ready[64];
    int level; /* of the log, as asked for; -1: as the config says */
};

worker_t *worker_new (void *ctx, const cluster_t *cluster, const cluster_node_t *node,
                      int level)
{
    worker_t *self = calloc (1, sizeof *self);
    assert (self);
    self->ctx = ctx;
    self->cluster = cluster;
    self->node = node;
    self->level = level;
    return self;
}

void worker_destroy (worker_t **self_p)
{
    free (*self_p);
    *self_p = NULL;
}

/* An only disk must be right; of several those that are wrong are left out by the store
 * and shown as failing. */
static int check_marks (worker_t *self, dfs_error_t *err)
{
    const cluster_node_t *node = self->node;
    size_t good = 0;
    for (size_t i = 0; i < node->n_data; i++) {
        mark_t mark;
        if (mark_expect (node->data[i], self->cluster->id, "worker", node->name, &mark,
                         err) == DFS_OK)
            good++;
        else if (node->n_data > 1) {
            char text[600];
            log_error ("disk_left_out", "path=%s err=%d text=%s", node->data[i],
                       err->code, log_quote (text, sizeof text, err->text));
        }
    }
    return good ? DFS_OK : err->code;
}

int worker_check (worker_t *self, dfs_error_t *err)
{
    const cluster_t *cluster = self->cluster;
    if (self->checked)
        return DFS_OK;
    int rc = check_marks (self, err);
    if (rc == DFS_OK && cluster->secure)
        rc = keys_load_secret (cluster->keys_dir, "worker", self->node->name,
                               &self->identity.keys, err);
    if (rc == DFS_ENOENT) /* not where the configuration says */
        rc = err->code = DFS_ECONFIG;
    self->identity.secure = cluster->secure;
    self->checked = rc == DFS_OK;
    return rc;
}

/* --- modules --- */

static void stop_tables (void *ctx)
{
    worker_t *self = ctx;
    access_destroy (&self->access);
    zap_destroy (&self->zap);
    epoch_close (&self->epoch);
    directory_destroy (&self->directory);
    settler_destroy (&self->settler);
    notes_destroy (&self->notes);
}

static int start_tables (void *ctx, dfs_error_t *err)
{
    worker_t *self = ctx;
    int rc = worker_check (self, err);
    if (rc < 0)
        return rc;
    self->notes = notes_new ();
    self->settler = settler_new (self->notes);
    self->directory = directory_new ();
    self->epoch =
        epoch_open ((const char *const *)self->node->data, self->node->n_data, err);
    if (self->epoch)
        self->zap = zap_new (self->ctx, err);
    if (self->epoch && self->zap) {
        /* Before anything binds: the library never tries again after a refusal. */
        self->access = access_new (self->cluster->keys_dir, self->zap, self->directory);
        access_refresh (self->access);
        return DFS_OK;
    }
    rc = err->code;
    stop_tables (self);
    return rc;
}

/* The store's commit thread: hands the changes to the link. */
static void changed (uint32_t disk, const store_change_t *changes, size_t n, void *arg)
{
    worker_t *self = arg;
    note_t *note = note_new (NOTE_CHANGED, NOTE_TO_ALL);
    note->disk = disk;
    note->n = n;
    note->changes = malloc (n * sizeof *changes);
    assert (note->changes);
    memcpy (note->changes, changes, n * sizeof *changes);
    notes_push (self->notes, &note);
}

static int start_store (void *ctx, dfs_error_t *err)
{
    worker_t *self = ctx;
    const cluster_node_t *node = self->node;
    store_config_t config = {.dirs = (const char *const *)node->data,
                             .capacity = node->capacity,
                             .n_dirs = node->n_data,
                             .node = node->name,
                             .memory_durability = self->cluster->memory_durability,
                             .grace = self->cluster->reclaim_grace_ns,
                             .scrub_rate = self->cluster->scrub_rate,
                             .cache_size = self->cluster->cache_size,
                             .changed = changed,
                             .done = settle_done,
                             .arg = self};
    memcpy (config.cluster_id, self->cluster->id, sizeof config.cluster_id);
    self->store = store_open (&config, err);
    return self->store ? DFS_OK : err->code;
}

static void stop_store (void *ctx)
{
    worker_t *self = ctx;
    store_close (&self->store);
}

static int start_flows (void *ctx, dfs_error_t *err)
{
    worker_t *self = ctx;
    const cluster_node_t *node = self->node;
    forward_config_t forward = {.ctx = self->ctx,
                                .identity = &self->identity,
                                .directory = self->directory,
                                .store = self->store,
                                .notes = self->notes};
    streams_config_t streams = {.ctx = self->ctx,
                                .identity = &self->identity,
                                .zap = self->zap,
                                .store = self->store,
                                .notes = self->notes,
                                .bind = node->bind,
                                .port_lo = node->stream_lo,
                                .port_hi = node->stream_hi};
    self->forward = forward_new (&forward, err);
    self->streams = self->forward ? streams_new (&streams, err) : NULL;
    orders_config_t orders = {.store = self->store,
                              .notes = self->notes,
                              .directory = self->directory,
                              .forward = self->forward,
                              .streams = self->streams};
    self->orders = self->streams ? orders_new (&orders, err) : NULL;
    if (self->orders) {
        settler_set_forward (self->settler, self->forward);
        return DFS_OK;
    }
    streams_destroy (&self->streams);
    forward_destroy (&self->forward);
    return err->code;
}

static void stop_flows (void *ctx)
{
    worker_t *self = ctx;
    orders_destroy (&self->orders);
    streams_destroy (&self->streams);
    settler_set_forward (self->settler, NULL);
    forward_destroy (&self->forward);
}

static int start_ingest (void *ctx, dfs_error_t *err)
{
    worker_t *self = ctx;
    ingest_config_t config = {
        .ctx = self->ctx,
        .identity = &self->identity,
        .bind = self->node->bind,
        .port = self->node->port,
        .assemble = {.admit = {.directory = self->directory,
                               .epoch = self->epoch,
                               .zap = self->zap,
                               .secure = self->identity.secure},
                     .store = self->store,
                     .notes = self->notes,
                     .settler = self->settler},
    };
    self->ingest = ingest_new (&config, err);
    return self->ingest ? DFS_OK : err->code;
}

static void stop_ingest (void *ctx)
{
    worker_t *self = ctx;
    ingest_destroy (&self->ingest);
}

static void load (link_load_t *load, void *arg)
{
    worker_t *self = arg;
    streams_stats_t stats;
    streams_stats (self->streams, &stats);
    load->bytes_in = ingest_bytes (self->ingest);
    load->bytes_out = stats.bytes + forward_bytes (self->forward);
    load->stream_queued = stats.queued;
    load->streams = stats.sessions;
    store_cache_counts (self->store, &load->cache_hits, &load->cache_misses);
}

static int start_links (void *ctx, dfs_error_t *err)
{
    worker_t *self = ctx;
    link_config_t config = {.ctx = self->ctx,
                            .identity = &self->identity,
                            .cluster = self->cluster,
                            .node = self->node,
                            .port = ingest_port (self->ingest),
                            .store = self->store,
                            .directory = self->directory,
                            .epoch = self->epoch,
                            .access = self->access,
                            .notes = self->notes,
                            .orders = orders_callbacks (self->orders),
                            .load = load,
                            .load_arg = self};
    self->link = broker_link_new (&config, err);
    return self->link ? DFS_OK : err->code;
}

static void stop_links (void *ctx)
{
    worker_t *self = ctx;
    broker_link_destroy (&self->link);
}

/* Last to start and first to stop: while the links still live, what is sealed becomes
 * durable and brokers hear of it. */
static int start_service (void *ctx, dfs_error_t *err)
{
    (void)ctx;
    (void)err;
    return DFS_OK;
}

static void stop_service (void *ctx)
{
    worker_t *self = ctx;
    ingest_stop (self->ingest);
    for (int i = 0; i < 200 && settler_pending (self->settler); i++)
        nanosleep (&(struct timespec){.tv_nsec = 5000000}, NULL);
    if (settler_pending (self->settler))
        log_warn ("chunks_unsettled", "n=%zu", settler_pending (self->settler));
}

const daemon_module_t worker_modules[] = {
    {"tables", start_tables, stop_tables},
    {"store", start_store, stop_store},
    {"flows", start_flows, stop_flows},
    {"ingest", start_ingest, stop_ingest},
    {"links", start_links, stop_links},
    {"service", start_service, stop_service},
    {NULL, NULL, NULL},
};

const char *worker_ready (void *ctx)
{
    worker_t *self = ctx;
    snprintf (self->ready, sizeof self->ready, "pid %d\nports %u\n", (int)getpid (),
              ingest_port (self->ingest));
    return self->ready;
}

void worker_reload (void *ctx)
{
    worker_t *self = ctx;
    dfs_error_t err = {0};

    cluster_t *fresh = cluster_load (self->cluster->path, &err);
    if (!fresh) {
        log_error ("reload_failed", "err=\"%s\"", err.text);
        return;
    }
    if (self->level < 0)
        log_set_level (fresh->log_level);
    log_set_slow (fresh->slow_ns);
    store_tune (self->store, fresh->scrub_rate, fresh->cache_size);
    log_info ("reloaded", "cache=%" PRIu64 " scrub=%" PRIu64, fresh->cache_size,
              fresh->scrub_rate);
    cluster_destroy (&fresh);
}

uint16_t worker_port (const worker_t *self)
{
    return ingest_port (self->ingest);
}

size_t worker_welcomed (worker_t *self)
{
    return broker_link_welcomed (self->link);
}
