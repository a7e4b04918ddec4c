/* SPDX-License-Identifier: MPL-2.0 */
/* The workers' ROUTER: takes messages, finds who sent them, calls handlers; hellos. */
#include <string.h>

#include "broker/links/links_private.h"
#include "broker/links/near.h"
#include "broker/links/outbox.h"
#include "common/rng.h"
#include "msgs/check.h"

#define HEARD_EVERY (250 * MS) /* how often the core is told of a sign of life */

void back_forget (links_t *self, conn_t *conn)
{
    event_t event = {.type = EVENT_WORKER_CLOSED,
                     .u.worker = {.id = conn->worker, .conn = conn->number}};

    if (idmap_get (self->workers, conn->worker) == conn)
        idmap_remove (self->workers, conn->worker);
    if (conn->sender)
        idmap_remove (self->clients->senders, conn->sender);
    near_remove (self->near, conn);
    link_drop (&self->back, &conn);
    if (event.u.worker.id)
        links_step (self, &event);
}

void back_closed (links_t *self)
{
    sock_event_t event;

    while (sock_monitor_read (self->back.monitor, &event) == 1) {
        conn_t *conn = link_by_fd (&self->back, event.value);
        knock_event (&self->back.knock, "back", &event, self->now);
        if (event.event == ZMQ_EVENT_DISCONNECTED && conn)
            back_forget (self, conn);
    }
}

conn_t *back_worker (links_t *self, uint32_t worker)
{
    return idmap_get (self->workers, worker);
}

void back_send (links_t *self, conn_t *conn, Dfs__Envelope *env)
{
    int rc = outbox_send (&self->back, conn, env);

    if (rc < 0)
        links_drop (self, "back", NULL, dfs_error_name (rc));
}

static void reply (links_t *self, job_t *job)
{
    int rc = envelope_send (self->back.sock, &job->from.route, 0, &job->answer);

    if (rc < 0)
        links_drop (self, "back", &job->from, dfs_error_name (rc));
}

static void refuse (links_t *self, job_t *job, int code, const char *text)
{
    job_refuse (job, code, text);
    reply (self, job);
}

static void dispatch (links_t *self, job_t *job)
{
    const link_row_t *row = back_row (job->env->body_case);
    conn_t *conn = link_conn (&self->back, &job->from.route);

    envelope_answer (&job->answer, job->env);
    if (!row) {
        links_drop (self, "back", &job->from, "not a worker's message");
        return;
    }
    if (row->role != DFS__ROLE__ROLE_NONE) {
        if (!conn || !conn->worker) {
            refuse (self, job, DFS_ESTALE, "not known: say hello first");
            return;
        }
        if (self->now - conn->heard >= HEARD_EVERY) {
            event_t event = {.type = EVENT_WORKER_HEARD,
                             .u.worker = {.id = conn->worker, .conn = conn->number}};
            conn->heard = self->now;
            links_step (self, &event);
        }
    }
    row->handler (self, conn, job);
}

void back_drain (links_t *self)
{
    for (int i = 0; i < DRAIN_MAX; i++) {
        job_t *job = links_job (self);
        dfs_error_t err;

        int rc = envelope_recv (self->back.sock, true, false, job->arena, &job->from,
                                &job->env, &err);
        if (rc > 0)
            dispatch (self, job);
        else if (rc < 0)
            links_drop (self, "back", &job->from, err.text);
        links_release (self, job);
        if (rc == 0)
            return;
    }
}

/* --- hello --- */

static int take_stores (links_t *self, const Dfs__Hello *hello, core_store_t **out,
                        dfs_error_t *err)
{
    if (hello->n_stores > CORE_STORES)
        return fail (err, DFS_EPROTO, "hello: %zu stores", hello->n_stores);
    *out = links_need (self, hello->n_stores * sizeof **out);
    for (size_t i = 0; i < hello->n_stores; i++) {
        const Dfs__Store *in = hello->stores[i];
        core_store_t *store = &(*out)[i];
        int rc = check_bytes (&in->id, sizeof store->id, "store id", err);
        if (rc < 0)
            return rc;
        memcpy (store->id, in->id.data, sizeof store->id);
        store->incarnation = in->incarnation;
        store->first_seq = in->first_seq;
        store->last_seq = in->last_seq;
        store->capacity = in->has_capacity ? in->capacity : 0;
        store->used = in->has_used ? in->used : 0;
        store->chunks = in->has_chunks ? in->chunks : 0;
    }
    return DFS_OK;
}

static int check_worker (links_t *self, const job_t *job, const Dfs__Member **member,
                         dfs_error_t *err)
{
    const Dfs__Hello *hello = job->env->hello;

    int rc = hello_check (self, job, DFS__ROLE__ROLE_WORKER, "back", err);
    if (rc == DFS_OK && hello->host)
        rc = check_text (hello->host, CORE_HOST_MAX - 1, "host", err);
    if (rc == DFS_OK && hello->location)
        rc = check_text (hello->location, CORE_LOCATION_MAX - 1, "location", err);
    if (rc == DFS_OK && hello->has_port && hello->port > UINT16_MAX)
        rc = fail (err, DFS_EPROTO, "hello: port %u", hello->port);
    if (rc < 0)
        return rc;
    *member = roster_worker (self->roster, hello->name);
    if (!*member)
        return fail (err, roster_seeded (self->roster) ? DFS_EAUTH : DFS_EUNAVAIL,
                     "%s is no worker of this cluster", hello->name);
    if (job->from.has_key && (!(*member)->has_key || (*member)->key.len != 32 ||
                              memcmp ((*member)->key.data, job->from.key, 32) != 0))
        return fail (err, DFS_EAUTH, "%s has another key in the log", hello->name);
    return DFS_OK;
}

static void keep_facts (links_t *self, conn_t *conn, const job_t *job,
                        const Dfs__Member *member)
{
    const Dfs__Hello *hello = job->env->hello;

    conn->worker = member->id;
    conn->hello_seq = job->env->has_seq ? job->env->seq : 0;
    conn->heard = self->now;
    strncpy (conn->name, member->name, sizeof conn->name - 1);
    strncpy (conn->host, hello->host ? hello->host : member->host,
             sizeof conn->host - 1);
    /* The same at every broker, so that credits for what it sends are told to it
     * whoever leads. */
    if (conn->sender == 0 && hello->has_incarnation)
        conn->sender = hello->incarnation;
    while (conn->sender == 0 || clients_get (self->clients, conn->sender))
        conn->sender = rng_secret_u64 ();
    idmap_put (self->clients->senders, conn->sender, conn);
    idmap_put (self->workers, conn->worker, conn);
    near_put (self->near, conn);
}

void back_hello (links_t *self, conn_t *conn, job_t *job)
{
    const Dfs__Hello *hello = job->env->hello;
    const Dfs__Member *member;
    core_store_t *stores = NULL;
    dfs_error_t err;

    arena_reset (self->scratch);
    int rc = check_worker (self, job, &member, &err);
    if (rc == DFS_OK)
        rc = take_stores (self, hello, &stores, &err);
    if (rc == DFS_OK) {
        /* The monitor has told by now if this descriptor had another connection before.
         */
        back_closed (self);
        conn = link_hello (&self->back, &job->from);
        if (!conn || (conn->worker && conn->worker != member->id))
            rc = fail (&err, DFS_EAUTH, "no connection for this hello");
    }
    if (rc < 0) {
        if (rc != DFS_EUNAVAIL) /* it comes again when the members are known */
            links_drop (self, "back", &job->from, err.text);
        refuse (self, job, rc, err.text);
        return;
    }
    keep_facts (self, conn, job, member);
    event_t event = {
        .type = EVENT_WORKER_HELLO,
        .u.hello = {.worker = member->id,
                    .conn = conn->number,
                    .incarnation = hello->has_incarnation ? hello->incarnation : 0,
                    .host = hello->host,
                    .port = hello->has_port ? hello->port : 0,
                    .location = hello->location,
                    .stores = stores,
                    .n_stores = hello->n_stores}};
    links_step (self, &event);
}

void back_ping (links_t *self, conn_t *conn, job_t *job)
{
    static Dfs__Ping ping = DFS__PING__INIT;

    /* A connection that was forgotten here is still one for the worker. */
    if (!conn || !conn->worker) {
        refuse (self, job, DFS_ESTALE, "not known: say hello first");
        return;
    }
    job->answer.body_case = DFS__ENVELOPE__BODY_PING;
    job->answer.ping = &ping;
    reply (self, job);
}
