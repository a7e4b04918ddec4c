/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/changes.h"

#include <stdlib.h>
#include <string.h>

#include "broker/core/chunks.h"
#include "broker/core/members.h"
#include "broker/core/scan.h"
#include "broker/core/trim.h"

#define GAP_PATIENCE (2 * SEC) /* then the connection starts anew */
#define PAGES_MOST   4         /* of one listing on their way or at storage */
#define PAGES_MANY   64        /* of all listings at storage: each sends one then */

struct changes {
    table_t *pending; /* token -> pending_t */
    size_t pages;     /* of listings, among those */
};

/* Changes that storage is applying. */
typedef struct pending {
    uint64_t token;
    uint32_t worker;
    uint64_t conn;
    uint8_t store[16];
    uint64_t incarnation;
    bool inventory;
    bool inventory_end;
    bool reset;
    bool later;
} pending_t;

static bool match_pending (const void *entry, const void *key)
{
    return ((const pending_t *)entry)->token == *(const uint64_t *)key;
}

changes_t *changes_new (void)
{
    changes_t *self = core_zalloc (sizeof *self);

    self->pending = table_new (match_pending);
    return self;
}

void changes_destroy (changes_t **self_p)
{
    size_t cursor = 0;
    pending_t *pending;

    if (!*self_p)
        return;
    while ((pending = table_next ((*self_p)->pending, &cursor)))
        free (pending);
    table_destroy (&(*self_p)->pending);
    free (*self_p);
    *self_p = NULL;
}

static store_state_t *find_store (worker_t *worker, const uint8_t id[16],
                                  uint64_t incarnation)
{
    for (size_t i = 0; i < worker->n_stores; i++) {
        store_state_t *store = &worker->stores[i];

        if (memcmp (store->store.id, id, sizeof store->store.id) == 0 &&
            store->store.incarnation == incarnation)
            return store;
    }
    return NULL;
}

static action_ack_t *acknowledge (core_t *core, const worker_t *worker,
                                  const store_state_t *store)
{
    action_t *action = actions_add (core->out, ACTION_CHANGES_ACK);
    action_ack_t *ack = &action->u.ack;

    ack->worker = worker->member.id;
    ack->conn = worker->conn;
    memcpy (ack->mark.id, store->store.id, sizeof ack->mark.id);
    ack->mark.incarnation = store->store.incarnation;
    ack->mark.seq = store->mark;
    return ack;
}

/* More pages of a listing may come as those that came are stored. */
static void give_pages (core_t *core, const worker_t *worker, store_state_t *store)
{
    uint64_t most = core->changes->pages < PAGES_MANY ? PAGES_MOST : 1;

    if (store->given < store->stored + most)
        store->given = store->stored + most;
    acknowledge (core, worker, store)->mark.pages = store->given;
}

static void count_gap (core_t *core, const worker_t *worker, store_state_t *store)
{
    bool behind = worker_behind (core, worker);

    store->gaps++;
    if (!behind && worker_behind (core, worker))
        core_log (core, LOG_WARN, "worker_behind", "node=%s gaps=%u mark=%llu",
                  worker->member.name, store->gaps, (unsigned long long)store->mark);
}

/* The worker says hello again, and hears how far it is known. */
static void close_worker (core_t *core, const worker_t *worker)
{
    action_t *action = actions_add (core->out, ACTION_CLOSE);

    action->u.close.worker = worker->member.id;
    action->u.close.conn = worker->conn;
}

/* A hole before what came: the acknowledgement says from where to send again. */
static void gap (core_t *core, worker_t *worker, store_state_t *store)
{
    if (store->gap_since == 0) {
        store->gap_since = core->now;
        count_gap (core, worker, store);
        acknowledge (core, worker, store);
        core_log (core, LOG_WARN, "changes_gap", "node=%s sent=%llu mark=%llu",
                  worker->member.name, (unsigned long long)store->sent,
                  (unsigned long long)store->mark);
    } else if (core->now > store->gap_since + GAP_PATIENCE) {
        store->gap_since = core->now;
        count_gap (core, worker, store);
        close_worker (core, worker);
    }
}

/* What is asked of storage; FOR_LATER is behind what else there is to do, and so is all
 * that follows it. */
static pending_t *expect (core_t *core, worker_t *worker, const store_state_t *store,
                          action_apply_t *apply, bool for_later)
{
    pending_t *pending = core_zalloc (sizeof *pending);

    pending->token = core_id (core);
    pending->worker = worker->member.id;
    pending->conn = worker->conn;
    memcpy (pending->store, store->store.id, sizeof pending->store);
    pending->incarnation = store->store.incarnation;
    pending->later = for_later || worker->later > 0;
    worker->later += pending->later;
    table_put (core->changes->pending, table_hash (pending->token), pending);
    apply->token = pending->token;
    apply->worker = worker->member.id;
    memcpy (apply->store, store->store.id, sizeof apply->store);
    apply->incarnation = store->store.incarnation;
    apply->later = pending->later;
    return pending;
}

void changes_reset (core_t *core, worker_t *worker, store_state_t *store)
{
    action_t *action = actions_add (core->out, ACTION_LOCATIONS_APPLY);
    action_apply_t *apply = &action->u.apply;

    expect (core, worker, store, apply, false)->reset = true;
    apply->inventory = apply->inventory_begin = apply->inventory_end = true;
}

static void forward (core_t *core, worker_t *worker, store_state_t *store,
                     const event_changes_t *changes, size_t skip)
{
    action_t *action = actions_add (core->out, ACTION_LOCATIONS_APPLY);
    action_apply_t *apply = &action->u.apply;
    pending_t *pending = expect (core, worker, store, apply, changes->inventory);

    pending->inventory = changes->inventory;
    pending->inventory_end = changes->inventory && changes->inventory_end;
    apply->first_seq = changes->first_seq + skip;
    apply->inventory = changes->inventory;
    apply->inventory_end = pending->inventory_end;
    if (changes->inventory) {
        core->changes->pages++;
        apply->inventory_begin = store->pages++ == 0;
        store->inventory = store->listing = true;
    }
    apply->n = changes->n - skip;
    apply->items = actions_dup (core->out, changes->items + skip,
                                apply->n * sizeof *changes->items);
    if (pending->inventory_end) {
        store->sent = changes->first_seq;
        store->listing = false;
        store->pages = 0;
    } else if (!changes->inventory)
        store->sent = changes->first_seq + changes->n - 1;
}

/* The pages before what came are not the whole. The worker begins anew on another
 * connection. */
static void fail_listing (core_t *core, worker_t *worker, store_state_t *store)
{
    if (store->broken)
        return;
    store->broken = true;
    count_gap (core, worker, store);
    core_log (core, LOG_WARN, "inventory_failed", "node=%s pages=%llu",
              worker->member.name, (unsigned long long)store->pages);
    close_worker (core, worker);
}

/* A page of a listing; false when it is none to be stored. */
static bool take_page (core_t *core, worker_t *worker, store_state_t *store,
                       const event_changes_t *changes)
{
    uint64_t page = changes->counted         ? changes->page
                    : changes->inventory_end ? store->pages
                                             : changes->first_seq;

    if (PLANTED (BUG_PAGE_MISSING))
        page = store->pages;
    if (page == 0 && store->pages > 0)
        store->pages = 0; /* the worker begins anew */
    if (page != store->pages) {
        fail_listing (core, worker, store);
        return false;
    }
    if (changes->counted && changes->n == 0 && !changes->inventory_end) {
        give_pages (core, worker, store);
        return false;
    }
    if (page == 0) {
        store->counted = changes->counted;
        store->stored = 0;
        store->given = CHANGES_FIRST;
    }
    return true;
}

void changes_event (core_t *core, const event_changes_t *changes)
{
    worker_t *worker = members_find (core, changes->worker);
    store_state_t *store;
    uint64_t skip = 0;

    if (!worker || worker->conn != changes->conn || !worker->welcomed)
        return;
    store = find_store (worker, changes->store, changes->incarnation);
    if (!store) {
        core_log (core, LOG_WARN, "changes_unknown_store", "node=%s",
                  worker->member.name);
        return;
    }
    if (store->broken)
        return;
    if (changes->unreadable) {
        if (changes->inventory)
            fail_listing (core, worker, store);
        else
            count_gap (core, worker, store);
        return;
    }
    if (changes->last_seq > store->store.last_seq)
        store->store.last_seq = changes->last_seq;
    if (!changes->inventory) {
        if (changes->n == 0)
            return;
        /* Said twice, the other time in its turn: now it is only news. */
        if (store->listing) {
            for (size_t i = 0; i < changes->n; i++)
                chunks_change (core, worker, &changes->items[i]);
            return;
        }
        if (changes->first_seq > store->sent + 1) {
            gap (core, worker, store);
            return;
        }
        skip = store->sent + 1 - changes->first_seq;
        /* Sent again because the acknowledgement was lost. */
        if (skip >= changes->n) {
            if (!store->inventory)
                acknowledge (core, worker, store);
            return;
        }
    } else if (!take_page (core, worker, store, changes)) {
        return;
    }
    store->gap_since = 0;
    forward (core, worker, store, changes, skip);
    /* What came before may be long out of date; what is new counts once it is certain
     * that nothing the worker had at its hello contradicts it. */
    for (size_t i = skip; i < changes->n; i++)
        chunks_change (core, worker, &changes->items[i]);
    worker_look_told (core, worker);
}

void changes_applied (core_t *core, const event_applied_t *applied)
{
    pending_t *pending = table_remove (core->changes->pending,
                                       table_hash (applied->token), &applied->token);
    worker_t *worker;
    store_state_t *store;

    if (!pending)
        return;
    core->changes->pages -= pending->inventory;
    worker = members_find (core, pending->worker);
    if (worker && pending->later && worker->later > 0)
        worker->later--;
    store = worker && worker->conn == pending->conn
                ? find_store (worker, pending->store, pending->incarnation)
                : NULL;
    if (store && applied->code == DFS_OK) {
        if (pending->reset) {
            free (pending);
            return;
        }
        store->mark = applied->mark;
        store->moved = core->now;
        if (pending->inventory_end)
            store->inventory = store->pages > 0;
        if (!pending->inventory || pending->inventory_end)
            store->gaps = 0;
        else
            store->stored++;
        if (!store->inventory)
            acknowledge (core, worker, store);
        else if (pending->inventory && !pending->inventory_end && store->counted)
            give_pages (core, worker, store);
        /* A listing may have taken copies away that nobody reported as gone: what was
         * known of this worker's is looked up again. */
        if (pending->inventory_end) {
            worker->epoch++;
            trim_worker_down (core, worker);
            scan_all (core);
        }
    } else if (store && pending->inventory) {
        fail_listing (core, worker, store);
    } else if (store) {
        store->mark = store->sent = applied->mark;
        gap (core, worker, store);
    }
    free (pending);
}
