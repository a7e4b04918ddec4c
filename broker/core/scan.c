/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/scan.h"

#include <stdlib.h>
#include <string.h>

#include "broker/core/copier.h"
#include "broker/core/uploads.h"

#define PAGE       256  /* chunks of one answer */
#define CHECKS_MAX 4096 /* more: all chunks are looked at instead */

struct scan {
    /* workers whose copies are to be looked at, the first one is being scanned */
    uint32_t *workers;
    size_t n_workers;
    size_t cap_workers;
    bool all_wanted; /* every chunk; after the workers */
    bool scanning_all;
    bool again; /* chunks were left out because the copier was full */
    bool known; /* everybody had caught up once since this broker leads */
    /* the page in the air */
    uint64_t token;  /* 0: none */
    uint32_t worker; /* of this scan, 0: all */
    bool started;
    copykey_t after;
    /* single chunks */
    copykey_t *checks;
    size_t n_checks;
    size_t cap_checks;
    uint64_t check_token;
    /* hold */
    bool deaths;  /* in this step */
    bool changes; /* of any worker, in this step */
    bool held;
    uint64_t held_until;
    uint64_t deaths_after; /* earlier ones do not count for a hold */
};

scan_t *scan_new (void)
{
    return core_zalloc (sizeof (scan_t));
}

void scan_destroy (scan_t **self_p)
{
    if (!*self_p)
        return;
    free ((*self_p)->workers);
    free ((*self_p)->checks);
    free (*self_p);
    *self_p = NULL;
}

/* --- what is found --- */

static uint32_t present_copies (const core_t *core, const core_chunk_t *found)
{
    uint32_t n = 0;

    for (size_t i = 0; i < found->n_copies; i++) {
        const worker_t *worker = members_find (core, found->copies[i].worker);

        if (worker && !found->copies[i].damaged &&
            (worker_live (worker) || worker_unsure (worker)))
            n++;
    }
    return n;
}

static void look (core_t *core, const core_chunk_t *found)
{
    chunk_t *chunk = chunks_find (core, &found->key);
    uint32_t present = present_copies (core, found);

    if (found->refs == 0) {
        /* Not committed yet: what the upload was promised. */
        uint32_t promise = 0;

        for (list_t *node = chunk ? chunk->pins.next : NULL;
             chunk && node != &chunk->pins; node = node->next) {
            const pin_t *pin = LIST_OF (node, pin_t, in_chunk);

            if (pin->state == PIN_DURABLE && pin->promise > promise)
                promise = pin->promise;
        }
        if (promise > 0 && chunk_live (core, chunk) > 0 &&
            chunk_present (core, chunk) < promise)
            copier_want (core, chunk, promise, COPY_URGENT);
        return;
    }
    if (present >= found->replicas)
        return;
    if (!chunk && copier_full (core) && present != 1) {
        core->scan->again = true;
        return;
    }
    chunk = chunks_get (core, &found->key, found->length);
    chunks_merge (core, chunk, found);
    copier_want (core, chunk, found->replicas, COPY_REPAIR);
}

bool scan_found (core_t *core, const event_chunks_t *found)
{
    if (core->scan->check_token == 0 || found->token != core->scan->check_token)
        return false;
    core->scan->check_token = 0;
    for (size_t i = 0; i < found->n; i++)
        look (core, &found->chunks[i]);
    if (found->code != DFS_OK)
        core->scan->all_wanted = true;
    return true;
}

/* --- scans --- */

static void drop_worker (scan_t *self, size_t i)
{
    memmove (&self->workers[i], &self->workers[i + 1],
             (self->n_workers - i - 1) * sizeof *self->workers);
    self->n_workers--;
}

static void end_scan (core_t *core)
{
    scan_t *self = core->scan;

    if (self->scanning_all)
        self->scanning_all = false;
    else
        for (size_t i = 0; i < self->n_workers; i++)
            if (self->workers[i] == self->worker) {
                drop_worker (self, i);
                break;
            }
    self->started = false;
    self->worker = 0;
}

void scan_scanned (core_t *core, const event_scanned_t *scanned)
{
    scan_t *self = core->scan;

    if (self->token == 0 || scanned->token != self->token)
        return;
    self->token = 0;
    for (size_t i = 0; i < scanned->n; i++)
        look (core, &scanned->chunks[i]);
    if (scanned->code != DFS_OK)
        core_log (core, LOG_WARN, "scan_failed", "node=%u code=%d", self->worker,
                  scanned->code);
    if (scanned->code != DFS_OK || !scanned->more || scanned->n == 0)
        end_scan (core);
    else
        self->after = scanned->chunks[scanned->n - 1].key;
}

static void ask_page (core_t *core)
{
    scan_t *self = core->scan;
    action_t *action = actions_add (core->out, ACTION_SCAN_WORKER);

    self->token = core_id (core);
    action->u.scan.token = self->token;
    action->u.scan.worker = self->worker;
    action->u.scan.from_start = !self->started;
    action->u.scan.after = self->after;
    action->u.scan.max = PAGE;
    self->started = true;
}

void scan_all (core_t *core)
{
    core->scan->all_wanted = true;
}

void scan_check (core_t *core, const copykey_t *key)
{
    scan_t *self = core->scan;
    void *data = self->checks;

    if (self->n_checks >= CHECKS_MAX) {
        self->all_wanted = true;
        return;
    }
    core_grow (&data, &self->cap_checks, self->n_checks, sizeof *self->checks);
    self->checks = data;
    self->checks[self->n_checks++] = *key;
}

void scan_worker_changed (core_t *core, const worker_t *worker, int before)
{
    scan_t *self = core->scan;
    uint32_t id = worker->member.id;
    void *data = self->workers;
    size_t at = 0;

    self->changes = true;
    while (at < self->n_workers && self->workers[at] != id)
        at++;
    if (worker->state == WORKER_DEAD || worker->state == WORKER_REMOVED) {
        if (worker->state == WORKER_DEAD)
            self->deaths = true;
        if (at < self->n_workers || before == WORKER_DEAD)
            return;
        core_grow (&data, &self->cap_workers, self->n_workers, sizeof *self->workers);
        self->workers = data;
        self->workers[self->n_workers++] = id;
    } else if (worker_live (worker) && at < self->n_workers) {
        /* It is back: the rest of its copies needs nothing. */
        if (self->started && self->worker == id) {
            self->token = 0;
            end_scan (core);
        } else {
            drop_worker (self, at);
        }
    }
}

/* --- hold --- */

/* Many failure domains that vanish at once: a switch died, not disks. */
static void look_at_hold (core_t *core)
{
    scan_t *self = core->scan;
    uint64_t window = 2 * core->config.heartbeat_timeout_ns;
    uint64_t since = core->now > window ? core->now - window : 0;
    size_t gone, all;

    members_vanished (core, since > self->deaths_after ? since : self->deaths_after + 1,
                      &gone, &all);
    if (gone <= 1 || gone * 3 <= all)
        return;
    if (!self->held)
        core_log (core, LOG_WARN, "repair_held", "vanished=%zu domains=%zu", gone, all);
    self->held = true;
    self->held_until = core->now + core->config.repair_hold_ns;
    copier_hold (core, self->held_until);
}

/* The vanished ones are back: the hold has no reason any more. */
static void look_at_return (core_t *core)
{
    scan_t *self = core->scan;
    size_t gone, all;

    members_vanished (core, self->deaths_after + 1, &gone, &all);
    if (gone > 1 && gone * 3 > all)
        return;
    self->held = false;
    copier_hold (core, 0);
}

void scan_resume (core_t *core)
{
    core->scan->held = false;
    core->scan->deaths_after = core->now;
    copier_hold (core, 0);
}

/* --- end of a step --- */

static void ask_checks (core_t *core)
{
    scan_t *self = core->scan;
    size_t n = self->n_checks < PAGE ? self->n_checks : PAGE;
    action_t *action = actions_add (core->out, ACTION_LOOKUP_CHUNKS);

    self->check_token = core_id (core);
    action->u.chunks.token = self->check_token;
    action->u.chunks.keys =
        actions_dup (core->out, self->checks, n * sizeof *self->checks);
    action->u.chunks.n = n;
    self->n_checks -= n;
    memmove (self->checks, self->checks + n, self->n_checks * sizeof *self->checks);
}

void scan_flush (core_t *core)
{
    scan_t *self = core->scan;

    if (!core->leader)
        return;
    if (self->held && core->now >= self->held_until)
        scan_resume (core);
    if (self->deaths) {
        self->deaths = false;
        look_at_hold (core);
    } else if (self->held && self->changes) {
        look_at_return (core);
    }
    self->changes = false;
    if (self->n_checks > 0 && self->check_token == 0)
        ask_checks (core);
    if (self->token != 0)
        return;
    if (self->n_workers == 0 && !self->all_wanted && !self->scanning_all &&
        self->known && !(self->again && !copier_full (core)))
        return;
    if (!members_caught_up (core))
        return;
    if (!self->known)
        self->known = self->all_wanted = true;
    if (self->again && !copier_full (core) && !self->scanning_all) {
        self->again = false;
        self->all_wanted = true;
    }
    if (!self->started) {
        if (self->n_workers > 0) {
            self->worker = self->workers[0];
        } else if (self->all_wanted) {
            self->worker = 0;
            self->all_wanted = false;
            self->scanning_all = true;
        } else {
            return;
        }
        memset (&self->after, 0, sizeof self->after);
    }
    ask_page (core);
}
