/* SPDX-License-Identifier: MPL-2.0 */
/* Connections of workers: hello, the marks of their stores, the end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/changes.h"
#include "broker/core/members_private.h"
#include "broker/core/scan.h"

static void copy_text (char *to, size_t cap, const char *from)
{
    snprintf (to, cap, "%s", from);
}

void members_closed (core_t *core, uint32_t id, uint64_t conn)
{
    worker_t *worker = members_find (core, id);

    if (!worker || worker->conn != conn)
        return;
    worker->conn = 0;
    worker->welcomed = false;
    if (worker_live (worker))
        members_set_state (core, worker, WORKER_SUSPECT);
    if (worker->state == WORKER_SUSPECT && worker->probe == 0)
        members_send_probe (core, worker);
    members_set_timer (core, worker);
}

void members_close (core_t *core, uint32_t id, uint64_t conn)
{
    action_t *action = actions_add (core->out, ACTION_CLOSE);

    action->u.close.worker = id;
    action->u.close.conn = conn;
}

/* A store that it had at its last hello is not there, or has lost its content. */
static bool lost_store (const worker_t *worker, const event_hello_t *hello)
{
    for (size_t i = 0; i < worker->n_stores; i++) {
        const core_store_t *old = &worker->stores[i].store;
        size_t k = 0;

        while (k < hello->n_stores &&
               (memcmp (old->id, hello->stores[k].id, sizeof old->id) != 0 ||
                old->incarnation != hello->stores[k].incarnation))
            k++;
        if (k == hello->n_stores)
            return true;
    }
    return false;
}

static void take_address (core_t *core, worker_t *worker, const event_hello_t *hello)
{
    core_member_t before = worker->member;

    if (hello->host)
        copy_text (worker->member.host, sizeof worker->member.host, hello->host);
    if (hello->port > 0)
        worker->member.port = hello->port;
    worker->placed = hello->location != NULL;
    if (hello->location) {
        copy_text (worker->member.location, sizeof worker->member.location,
                   hello->location);
        members_set_location (core, worker);
    }
    if (memcmp (&before, &worker->member, sizeof before) == 0)
        return;
    core->members->directory++;
    core->members->directory_changed = true;
}

/* The stores that HELLO names. How often one was met with gaps goes with it. */
static void take_stores (core_t *core, worker_t *worker, const event_hello_t *hello)
{
    store_state_t before[CORE_STORES];
    size_t n = worker->n_stores;

    memcpy (before, worker->stores, sizeof before);
    worker->n_stores = hello->n_stores;
    memset (worker->stores, 0, sizeof worker->stores);
    for (size_t i = 0; i < hello->n_stores; i++) {
        store_state_t *store = &worker->stores[i];

        store->store = hello->stores[i];
        store->goal = hello->stores[i].last_seq;
        store->moved = core->now;
        for (size_t k = 0; k < n; k++)
            if (memcmp (before[k].store.id, store->store.id, sizeof store->store.id) ==
                    0 &&
                before[k].store.incarnation == store->store.incarnation) {
                store->gaps = before[k].gaps;
                if (store->gaps > 0)
                    store->moved = before[k].moved;
            }
        worker->beat.capacity += hello->stores[i].capacity;
        worker->beat.used += hello->stores[i].used;
        worker->beat.chunks += hello->stores[i].chunks;
    }
}

void members_hello (core_t *core, const event_hello_t *hello)
{
    members_t *self = core->members;
    worker_t *worker = members_find (core, hello->worker);
    action_t *action;
    asked_t *asked;

    if (!worker || hello->n_stores > CORE_STORES) {
        members_close (core, hello->worker, hello->conn);
        return;
    }
    if (worker->conn != 0 && worker->conn != hello->conn)
        members_close (core, hello->worker, worker->conn);
    /* A new process has forgotten its grants and streams. */
    if (worker->incarnation != 0 && worker->incarnation != hello->incarnation &&
        worker_live (worker))
        members_set_state (core, worker, WORKER_SUSPECT);
    worker->conn = hello->conn;
    worker->welcomed = false;
    take_address (core, worker, hello);
    worker->incarnation = hello->incarnation;
    if (!worker->said_hello)
        worker->doubt = true;
    if (lost_store (worker, hello) && !PLANTED (BUG_DISK_KEPT)) {
        worker->epoch++;
        worker->doubt = true;
        scan_all (core);
        core_log (core, LOG_WARN, "worker_lost_store", "node=%s", worker->member.name);
    }
    if (!worker->beaten)
        memset (&worker->beat, 0, sizeof worker->beat);
    worker->beat.capacity = worker->beat.used = worker->beat.chunks = 0;
    take_stores (core, worker, hello);
    worker->heard = core->now;
    worker->said_hello = true;
    worker->told = false;

    asked = core_zalloc (sizeof *asked);
    asked->token = core_id (core);
    asked->worker = hello->worker;
    asked->conn = hello->conn;
    asked->later = worker->later > 0;
    worker->later += asked->later;
    table_put (self->marks, table_hash (asked->token), asked);
    action = actions_add (core->out, ACTION_LOOKUP_MARKS);
    action->u.marks.token = asked->token;
    action->u.marks.worker = hello->worker;
    action->u.marks.later = asked->later;
    action->u.marks.n = hello->n_stores;
    action->u.marks.stores =
        actions_dup (core->out, hello->stores, hello->n_stores * sizeof *hello->stores);
    members_set_timer (core, worker);
}

void members_marks (core_t *core, const event_marks_t *marks)
{
    asked_t *asked =
        table_remove (core->members->marks, table_hash (marks->token), &marks->token);
    worker_t *worker;
    core_mark_t *out;
    action_t *action;

    if (!asked)
        return;
    worker = members_find (core, asked->worker);
    if (worker && asked->later && worker->later > 0)
        worker->later--;
    if (!worker || worker->conn != asked->conn) {
        free (asked);
        return;
    }
    free (asked);
    if (marks->code < 0) {
        /* To begin anew would take away copies that are only not readable now. */
        members_close (core, worker->member.id, worker->conn);
        return;
    }
    /* Storage has forgotten the stores that it does not name; so does the core. */
    if (worker->doubt)
        worker->epoch++;
    worker->doubt = false;
    action = actions_add (core->out, ACTION_WELCOME);
    out = actions_alloc (core->out, worker->n_stores * sizeof *out);
    for (size_t i = 0; i < worker->n_stores; i++) {
        store_state_t *store = &worker->stores[i];

        memcpy (out[i].id, store->store.id, sizeof out[i].id);
        out[i].incarnation = store->store.incarnation;
        out[i].seq = i < marks->n ? marks->marks[i].seq : 0;
        out[i].pages = store->given = CHANGES_FIRST;
        store->mark = store->sent = out[i].seq;
        store->known = true;
        /* The store was set back: what is known is another past, and only a listing
         * tells what it has. */
        store->listing = out[i].seq > store->store.last_seq;
        if (store->listing)
            out[i].incarnation = 0;
    }
    action->u.welcome.worker = worker->member.id;
    action->u.welcome.conn = worker->conn;
    action->u.welcome.marks = out;
    action->u.welcome.n = worker->n_stores;
    worker->welcomed = true;
    worker->heard = core->now;
    /* Storage forgets what an earlier incarnation of an unknown store had. */
    for (size_t i = 0; i < worker->n_stores; i++)
        if (worker->stores[i].mark == 0)
            changes_reset (core, worker, &worker->stores[i]);
    if (!worker_live (worker))
        members_set_state (core, worker, WORKER_UP);
    worker_look_told (core, worker);
}
