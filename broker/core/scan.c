/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/scan.h"

#include <stdlib.h>
#include <string.h>

#include "broker/core/copier.h"
#include "broker/core/policies.h"
#include "broker/core/scan_private.h"

#define PAGE       256  /* chunks of one answer */
#define CHECKS_MAX 4096 /* more: all chunks are looked at instead */

#define PAGE_LATER (1 * SEC)

/* What was added while a domain is missing, or was trimmed, is counted so much later.
 */
#define RECOUNT_AFTER (3 * SEC)
#define FOUND_AGAIN   (60 * SEC)
#define RECOUNT_SHARE 20 /* times as long as a pass takes */

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

/* --- single chunks --- */

/* Some domain has nobody now: new copies may have to share one. */
static bool domains_short (core_t *core)
{
    for (uint32_t level = 0; level < DOMAIN_DEPTH; level++)
        if (members_domains (core, level) > domains_at (core->domains, level))
            return true;
    return false;
}

void scan_committed (core_t *core, const event_committed_t *committed)
{
    scan_t *self = core->scan;

    if (committed->n > 0 && self->recount_at == 0 && domains_short (core))
        self->recount_at = core->now + scan_pause (core);
    if (members_in_state (core, WORKER_DRAINING) == 0 && policies_count (core) < 2)
        return;
    for (size_t i = 0; i < committed->n; i++)
        scan_check (core, &committed->keys[i]);
}

bool scan_found (core_t *core, const event_chunks_t *found)
{
    if (core->scan->check_token == 0 || found->token != core->scan->check_token)
        return false;
    core->scan->check_token = 0;
    core->scan->n_checking = 0;
    for (size_t i = 0; i < found->n; i++)
        scan_look (core, &found->chunks[i]);
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

/* WHOLE: every page of it was looked at. */
static void end_scan (core_t *core, bool whole)
{
    scan_t *self = core->scan;
    worker_t *worker = self->worker > 0 ? members_find (core, self->worker) : NULL;

    if (worker && worker->member.draining)
        worker->looked_through = whole;
    if (self->scanning_all) {
        self->scanning_all = false;
        self->pass_took = core->now - self->pass_began;
        self->pass_at = core->now + core->config.pass_ns;
        if (whole)
            self->seen = self->tally;
    } else
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
    if (scanned->code != DFS_OK) {
        core_log (core, LOG_WARN, "scan_failed", "node=%u code=%d", self->worker,
                  scanned->code);
        self->retry_at = core->now + PAGE_LATER;
        return;
    }
    for (size_t i = 0; i < scanned->n; i++)
        scan_look (core, &scanned->chunks[i]);
    if (!scanned->more || scanned->n == 0) {
        end_scan (core, true);
    } else {
        self->from_start = false;
        self->after = scanned->chunks[scanned->n - 1].key;
    }
}

static void ask_page (core_t *core)
{
    scan_t *self = core->scan;
    action_t *action = actions_add (core->out, ACTION_SCAN_WORKER);

    self->token = core_id (core);
    action->u.scan.token = self->token;
    action->u.scan.worker = self->worker;
    action->u.scan.from_start = self->from_start;
    action->u.scan.after = self->after;
    action->u.scan.max = PAGE;
}

void scan_all (core_t *core)
{
    core->scan->all_wanted = true;
}

uint64_t scan_pause (const core_t *core)
{
    return RECOUNT_AFTER + RECOUNT_SHARE * core->scan->pass_took;
}

void scan_later (core_t *core)
{
    scan_t *self = core->scan;

    if (self->recount_at == 0)
        self->recount_at = core->now + FOUND_AGAIN + RECOUNT_SHARE * self->pass_took;
}

void scan_begin (core_t *core)
{
    worker_t *const *all;
    size_t n;

    scan_all (core);
    all = members_all (core, &n);
    for (size_t i = 0; i < n; i++)
        if (!worker_live (all[i]) || all[i]->state == WORKER_DRAINING)
            scan_worker_changed (core, all[i], WORKER_UP);
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

/* The rest of the copies of worker ID, the I-th in turn, needs nothing. */
static void leave_worker (core_t *core, size_t i, uint32_t id)
{
    scan_t *self = core->scan;

    if (self->started && self->worker == id) {
        self->token = 0;
        end_scan (core, false);
    } else {
        drop_worker (self, i);
    }
}

void scan_worker_changed (core_t *core, worker_t *worker, int before)
{
    scan_t *self = core->scan;
    uint32_t id = worker->member.id;
    void *data = self->workers;
    size_t at = 0;

    self->changes = true;
    while (at < self->n_workers && self->workers[at] != id)
        at++;
    if (!worker->member.draining)
        worker->looked_through = false;
    /* Surplus and crowded copies are counted anew. */
    if (worker_live (worker) &&
        (before == WORKER_DEAD || before == WORKER_JOINING ||
         (before == WORKER_DRAINING && worker->state == WORKER_UP)))
        self->all_wanted = true;
    if (worker->state == WORKER_REMOVED) {
        /* Storage forgets what it had: what was not looked at is found among all. */
        self->all_wanted |= at < self->n_workers || before != WORKER_DEAD;
        if (at < self->n_workers)
            leave_worker (core, at, id);
    } else if (worker->state == WORKER_DEAD ||
               (worker->state == WORKER_DRAINING && !worker->looked_through)) {
        if (worker->state == WORKER_DEAD)
            self->deaths = true;
        if (at < self->n_workers)
            return;
        core_grow (&data, &self->cap_workers, self->n_workers, sizeof *self->workers);
        self->workers = data;
        self->workers[self->n_workers++] = id;
    } else if (worker_live (worker) && at < self->n_workers) {
        leave_worker (core, at, id); /* it is back */
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
    self->n_checking = n;
    self->n_checks -= n;
    memmove (self->checks, self->checks + n, self->n_checks * sizeof *self->checks);
}

/* Copies were made elsewhere because of what the last pass found: count again. */
static bool spread_done (const core_t *core)
{
    const scan_t *self = core->scan;

    return self->seen.spread > 0 && !self->scanning_all && copier_moves (core) == 0 &&
           copier_spreads (core) > self->spreads;
}

/* Copies were made since the last pass began that may have had to share a domain, or
 * do not any more. */
static bool count_is_old (core_t *core)
{
    const scan_t *self = core->scan;

    if (!self->known || self->scanning_all || copier_made (core) == self->made ||
        !copier_quiet (core))
        return false;
    for (uint32_t level = 0; level < DOMAIN_DEPTH; level++)
        if (self->seen.crowded[level] > 0)
            return true;
    return domains_short (core);
}

bool scan_idle (const core_t *core)
{
    const scan_t *self = core->scan;

    return self->known && self->n_workers == 0 && !self->all_wanted &&
           !self->scanning_all && !self->again && self->n_checks == 0 &&
           self->check_token == 0;
}

bool scan_known (const core_t *core)
{
    return core->scan->known;
}

void scan_status (const core_t *core, core_status_t *out)
{
    const tally_t *seen = &core->scan->seen;

    out->surplus = seen->surplus;
    memcpy (out->crowded, seen->crowded, sizeof out->crowded);
    /* Reported and not looked at yet: they may need repair. */
    out->repair_queued += core->scan->n_checks + core->scan->n_checking;
}

void scan_flush (core_t *core)
{
    scan_t *self = core->scan;

    if (!core->leader)
        return;
    if (self->held && core->now >= self->held_until)
        scan_resume (core);
    if (self->pass_at > 0 && core->now >= self->pass_at) {
        self->pass_at = 0;
        self->all_wanted = true;
    }
    if (self->recount_at == 0 && count_is_old (core))
        self->recount_at = core->now + RECOUNT_AFTER + RECOUNT_SHARE * self->pass_took;
    if (self->recount_at > 0 && core->now >= self->recount_at && self->known) {
        self->recount_at = 0;
        self->all_wanted = true;
    }
    if (self->deaths) {
        self->deaths = false;
        look_at_hold (core);
    } else if (self->held && self->changes) {
        look_at_return (core);
    }
    self->changes = false;
    if (self->n_checks > 0 && self->check_token == 0)
        ask_checks (core);
    if (self->token != 0 || core->now < self->retry_at)
        return;
    if (self->n_workers == 0 && !self->all_wanted && !self->scanning_all &&
        self->known && !(self->again && !copier_full (core)) && !spread_done (core))
        return;
    if (!members_caught_up (core))
        return;
    if (!self->known)
        self->known = self->all_wanted = true;
    if (self->again && !copier_full (core) && !self->scanning_all) {
        self->again = false;
        self->all_wanted = true;
    }
    if (spread_done (core))
        self->all_wanted = true;
    if (!self->started) {
        if (self->n_workers > 0) {
            self->worker = self->workers[0];
        } else if (self->all_wanted) {
            self->worker = 0;
            self->all_wanted = false;
            self->scanning_all = true;
            self->tally = (tally_t){0};
            self->spreads = copier_spreads (core);
            self->made = copier_made (core);
            self->pass_began = core->now;
            self->recount_at = 0;
        } else {
            return;
        }
        memset (&self->after, 0, sizeof self->after);
        self->started = self->from_start = true;
    }
    if (copier_overfull (core))
        return;
    ask_page (core);
}
