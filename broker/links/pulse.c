/* SPDX-License-Identifier: MPL-2.0 */
/* Heartbeats: load and capacity of workers. Only those of a worker that said hello,
 * over a connection with the same key, are believed. */
#include <string.h>

#include "broker/links/links_private.h"
#include "msgs/check.h"

static bool believed (const conn_t *conn, const envelope_from_t *from)
{
    return conn && conn->has_key == from->has_key &&
           (!from->has_key || memcmp (conn->key, from->key, sizeof conn->key) == 0);
}

static size_t take_stores (const Dfs__Heartbeat *in, core_store_t out[CORE_STORES])
{
    size_t n = 0;

    for (size_t i = 0; i < in->n_stores && n < CORE_STORES; i++) {
        const Dfs__Store *store = in->stores[i];
        if (store->id.len != sizeof out[n].id)
            continue;
        memset (&out[n], 0, sizeof out[n]);
        memcpy (out[n].id, store->id.data, sizeof out[n].id);
        out[n].incarnation = store->incarnation;
        out[n].first_seq = store->first_seq;
        out[n].last_seq = store->last_seq;
        out[n].capacity = store->has_capacity ? store->capacity : 0;
        out[n].used = store->has_used ? store->used : 0;
        out[n].chunks = store->has_chunks ? store->chunks : 0;
        n++;
    }
    return n;
}

static void heartbeat (links_t *self, const Dfs__Heartbeat *in)
{
    core_store_t stores[CORE_STORES];
    event_t event = {.type = EVENT_HEARTBEAT};
    event_heartbeat_t *out = &event.u.heartbeat;

    out->worker = in->worker;
    out->incarnation = in->incarnation;
    out->number = in->number;
    out->condition =
        in->condition <= CONDITION_FAILING ? (int)in->condition : CONDITION_FAILING;
    out->capacity = in->capacity;
    out->used = in->used;
    out->chunks = in->chunks;
    out->cpu_permille = in->has_cpu_permille ? in->cpu_permille : 0;
    out->disk_permille = in->has_disk_permille ? in->disk_permille : 0;
    out->memory = in->has_memory ? in->memory : 0;
    out->ingest_queued = in->has_ingest_queued ? in->ingest_queued : 0;
    out->stream_queued = in->has_stream_queued ? in->stream_queued : 0;
    out->streams = in->has_streams ? in->streams : 0;
    out->interval_ns = in->has_interval_ns ? in->interval_ns : 0;
    out->bytes_in = in->has_bytes_in ? in->bytes_in : 0;
    out->bytes_out = in->has_bytes_out ? in->bytes_out : 0;
    out->cache_hits = in->has_cache_hits ? in->cache_hits : 0;
    out->cache_misses = in->has_cache_misses ? in->cache_misses : 0;
    out->scrub_passes = in->has_scrub_passes ? in->scrub_passes : 0;
    out->scrubbed = in->has_scrubbed ? in->scrubbed : 0;
    out->scrub_damaged = in->has_scrub_damaged ? in->scrub_damaged : 0;
    if (in->trouble &&
        check_text (in->trouble, sizeof out->trouble - 1, "trouble", NULL) == DFS_OK)
        strcpy (out->trouble, in->trouble);
    out->stores = stores;
    out->n_stores = take_stores (in, stores);
    links_step (self, &event);
}

void pulse_drain (links_t *self)
{
    for (int i = 0; i < DRAIN_MAX; i++) {
        envelope_from_t from;
        Dfs__Envelope *env;
        dfs_error_t err;

        arena_reset (self->scratch);
        int rc =
            envelope_recv (self->pulse, false, true, self->scratch, &from, &env, &err);
        if (rc == 0)
            return;
        if (rc < 0 || env->body_case != DFS__ENVELOPE__BODY_HEARTBEAT) {
            links_drop (self, "pulse", &from, rc < 0 ? err.text : "not a heartbeat");
            continue;
        }
        /* A worker may be heard here before its hello was, or after its connection
         * ended: nothing to complain about. */
        conn_t *conn = back_worker (self, env->heartbeat->worker);
        if (believed (conn, &from))
            heartbeat (self, env->heartbeat);
        else if (conn)
            links_drop (self, "pulse", &from, "heartbeat for another worker");
    }
}
