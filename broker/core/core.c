/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/core.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/balance.h"
#include "broker/core/changes.h"
#include "broker/core/commits.h"
#include "broker/core/copier.h"
#include "broker/core/drops.h"
#include "broker/core/grants.h"
#include "broker/core/place.h"
#include "broker/core/policies.h"
#include "broker/core/reclaim.h"
#include "broker/core/route.h"
#include "broker/core/scan.h"
#include "broker/core/steal.h"
#include "broker/core/trim.h"
#include "broker/core/unknown.h"
#include "broker/core/verify.h"

static uint64_t or_else (uint64_t value, uint64_t otherwise)
{
    return value > 0 ? value : otherwise;
}

static core_config_t with_defaults (const core_config_t *given)
{
    core_config_t config = *given;

    config.heartbeat_ns = or_else (given->heartbeat_ns, 500 * MS);
    config.heartbeat_timeout_ns = or_else (given->heartbeat_timeout_ns, 2500 * MS);
    config.probe_ns = or_else (given->probe_ns, SEC);
    config.upload_timeout_ns = or_else (given->upload_timeout_ns, 3600 * SEC);
    config.repair_hold_ns = or_else (given->repair_hold_ns, 600 * SEC);
    config.reclaim_grace_ns =
        or_else (given->reclaim_grace_ns, config.upload_timeout_ns);
    config.pass_ns = or_else (given->pass_ns, 3600 * SEC);
    config.trim_delay_ns = or_else (given->trim_delay_ns, 60 * SEC);
    config.grant_wait_ns = or_else (given->grant_wait_ns, 5 * SEC);
    config.verify_wait_ns = or_else (given->verify_wait_ns, 60 * SEC);
    config.ingest_window = or_else (given->ingest_window, 96 * MIB);
    config.credit_max = or_else (given->credit_max, 16 * MIB);
    config.credit_min = or_else (given->credit_min, MIB);
    config.reserve_repair = or_else (given->reserve_repair, 8 * MIB);
    config.reserve_small = or_else (given->reserve_small, 8 * MIB);
    config.max_sessions = (uint32_t)or_else (given->max_sessions, 65536);
    config.max_pins = (uint32_t)or_else (given->max_pins, 131072);
    config.max_parked = (uint32_t)or_else (given->max_parked, 65536);
    config.max_requests = (uint32_t)or_else (given->max_requests, 16384);
    config.max_repairs = (uint32_t)or_else (given->max_repairs, 65536);
    config.repair_per_worker = (uint32_t)or_else (given->repair_per_worker, 64);
    return config;
}

core_t *core_new (const core_config_t *config)
{
    core_t *self = core_zalloc (sizeof *self);

    self->config = with_defaults (config);
    rng_seed (&self->rng, config->seed);
    self->timers = timer_heap_new ();
    self->now = config->now;
    self->domains = domains_new ();
    self->members = members_new (self);
    self->changes = changes_new ();
    self->policies = policies_new ();
    self->sessions = sessions_new ();
    self->chunks = chunks_new ();
    self->uploads = uploads_new ();
    self->place = place_new ();
    self->grants = grants_new ();
    self->commits = commits_new ();
    self->copier = copier_new ();
    self->scan = scan_new ();
    self->route = route_new ();
    self->steal = steal_new ();
    self->verify = verify_new ();
    self->drops = drops_new ();
    self->trim = trim_new ();
    self->reclaim = reclaim_new ();
    self->unknown = unknown_new ();
    self->balance = balance_new ();
    return self;
}

void core_destroy (core_t **self_p)
{
    core_t *self = *self_p;

    if (!self)
        return;
    balance_destroy (&self->balance);
    unknown_destroy (&self->unknown);
    reclaim_destroy (&self->reclaim);
    trim_destroy (&self->trim);
    drops_destroy (&self->drops);
    verify_destroy (&self->verify);
    steal_destroy (&self->steal);
    route_destroy (&self->route);
    scan_destroy (&self->scan);
    copier_destroy (&self->copier);
    commits_destroy (&self->commits);
    grants_destroy (&self->grants);
    place_destroy (&self->place);
    uploads_destroy (&self->uploads);
    chunks_destroy (&self->chunks);
    sessions_destroy (&self->sessions);
    policies_destroy (&self->policies);
    changes_destroy (&self->changes);
    members_destroy (&self->members);
    domains_destroy (&self->domains);
    timer_heap_destroy (&self->timers);
    free (self);
    *self_p = NULL;
}

void core_log (core_t *core, int level, const char *event, const char *fmt, ...)
{
    char text[512];
    action_t *action;
    va_list args;

    va_start (args, fmt);
    vsnprintf (text, sizeof text, fmt, args);
    va_end (args);
    action = actions_add (core->out, ACTION_LOG);
    action->u.log.level = level;
    action->u.log.event = event;
    action->u.log.text = actions_dup (core->out, text, strlen (text) + 1);
}

void core_worker_changed (core_t *core, worker_t *worker, int before)
{
    if (worker->state != before && !worker_live (worker)) {
        grants_worker_down (core, worker);
        verify_worker_down (core, worker);
        trim_worker_down (core, worker);
    }
    if (worker_live (worker) && worker->told)
        grants_worker_told (core, worker);
    scan_worker_changed (core, worker, before);
    drops_worker_changed (core, worker);
    reclaim_worker_changed (core);
    copier_worker_changed (core, worker);
    place_wake (core);
}

/* --- events --- */

/* What a leader's term began ends with it: grants, orders, what clients wait for. Who
 * the workers are, and what they hold, is known as before. Clients ask again whoever
 * leads; pins are soft; what is under way at workers ends by itself. */
static void forget_work (core_t *core)
{
    balance_destroy (&core->balance);
    unknown_destroy (&core->unknown);
    reclaim_destroy (&core->reclaim);
    trim_destroy (&core->trim);
    drops_destroy (&core->drops);
    verify_destroy (&core->verify);
    steal_destroy (&core->steal);
    route_destroy (&core->route);
    scan_destroy (&core->scan);
    copier_destroy (&core->copier);
    commits_destroy (&core->commits);
    grants_destroy (&core->grants);
    place_destroy (&core->place);
    uploads_destroy (&core->uploads);
    chunks_destroy (&core->chunks);
    sessions_destroy (&core->sessions);
    members_forget_work (core);
    core->sessions = sessions_new ();
    core->chunks = chunks_new ();
    core->uploads = uploads_new ();
    core->place = place_new ();
    core->grants = grants_new ();
    core->commits = commits_new ();
    core->copier = copier_new ();
    core->scan = scan_new ();
    core->route = route_new ();
    core->steal = steal_new ();
    core->verify = verify_new ();
    core->drops = drops_new ();
    core->trim = trim_new ();
    core->reclaim = reclaim_new ();
    core->unknown = unknown_new ();
    core->balance = balance_new ();
}

static void on_role (core_t *core, const event_role_t *role)
{
    bool other = core->term != role->term || core->leader != role->leader;

    if (other && (core->leader || role->leader) && core->term > 0)
        forget_work (core);
    core->leader = role->leader;
    core->incarnation = role->incarnation;
    core->term = role->term;
    if (role->leader) {
        if (other)
            members_term (core);
        drops_begin (core);
        reclaim_begin (core);
        balance_begin (core);
    }
    if (other)
        members_role (core);
    if (role->leader)
        scan_begin (core);
}

static void on_policy (core_t *core, const core_policy_t *policy)
{
    const core_policy_t *old = policies_find (core, policy->id);
    uint32_t before = old ? old->replicas : 0;

    policies_set (core, policy);
    /* More copies of what is there already, or some that are too many now. */
    if (before > 0 && before != policies_find (core, policy->id)->replicas)
        scan_all (core);
    place_wake (core);
}

static void on_chunks (core_t *core, const event_chunks_t *found)
{
    if (!place_found (core, found) && !commits_found (core, found) &&
        !steal_found (core, found) && !trim_found (core, found) &&
        !drops_checked (core, found) && !reclaim_chunks (core, found))
        scan_found (core, found);
}

static void on_order (core_t *core, const event_order_t *order)
{
    members_heard (core, order->worker);
    if (!verify_result (core, order) && !trim_result (core, order) &&
        !drops_result (core, order))
        copier_result (core, order);
}

static void on_worker_event (core_t *core, const event_t *event)
{
    switch (event->type) {
    case EVENT_WORKER_HELLO:
        members_hello (core, &event->u.hello);
        break;
    case EVENT_WORKER_CLOSED:
        members_closed (core, event->u.worker.id, event->u.worker.conn);
        break;
    case EVENT_WORKER_HEARD:
        members_heard (core, event->u.worker.id);
        break;
    case EVENT_HEARTBEAT:
        members_heartbeat (core, &event->u.heartbeat);
        steal_beat (core, event->u.heartbeat.worker);
        break;
    case EVENT_PROBE_RESULT:
        members_probe (core, &event->u.probe);
        break;
    case EVENT_CHANGES:
        members_heard (core, event->u.changes.worker);
        changes_event (core, &event->u.changes);
        break;
    case EVENT_REFUSED:
        members_heard (core, event->u.refused.worker);
        grants_refused (core, &event->u.refused);
        break;
    case EVENT_PROGRESS:
        members_heard (core, event->u.progress.worker);
        grants_progress (core, &event->u.progress);
        break;
    case EVENT_ORDER_RESULT:
        on_order (core, &event->u.order);
        break;
    case EVENT_YIELDED:
        members_heard (core, event->u.yielded.worker);
        steal_yielded (core, &event->u.yielded);
        break;
    case EVENT_SEND_REFUSED:
        members_heard (core, event->u.send_refused.worker);
        route_refused (core, &event->u.send_refused);
        break;
    default:
        break;
    }
}

static void on_client_event (core_t *core, const event_t *event)
{
    switch (event->type) {
    case EVENT_SESSION_OPEN:
        sessions_open (core, &event->u.session);
        break;
    case EVENT_SESSION_GONE:
        sessions_gone (core, event->u.session.id);
        break;
    case EVENT_PLACE:
        place_event (core, &event->u.place);
        break;
    case EVENT_COMMIT:
        commits_event (core, &event->u.commit);
        break;
    case EVENT_COMMITTED:
        scan_committed (core, &event->u.committed);
        uploads_committed (core, &event->u.committed);
        break;
    case EVENT_UPLOAD_DONE:
        uploads_done (core, event->u.upload.session, event->u.upload.upload);
        break;
    case EVENT_FETCH:
        route_fetch (core, &event->u.fetch);
        break;
    case EVENT_CANCEL:
        route_cancel (core, &event->u.cancel);
        break;
    case EVENT_VERIFY:
        verify_event (core, &event->u.verify);
        break;
    default:
        break;
    }
}

static void on_event (core_t *core, const event_t *event)
{
    switch (event->type) {
    case EVENT_TICK:
        break;
    case EVENT_ROLE:
        on_role (core, &event->u.role);
        break;
    case EVENT_MEMBER:
        members_member (core, &event->u.member);
        break;
    case EVENT_POLICY:
        on_policy (core, &event->u.policy);
        break;
    case EVENT_MARKS_FOUND:
        members_marks (core, &event->u.marks);
        break;
    case EVENT_LOCATIONS_APPLIED:
        changes_applied (core, &event->u.applied);
        break;
    case EVENT_CHUNKS_FOUND:
        on_chunks (core, &event->u.chunks);
        break;
    case EVENT_EXTENTS_FOUND:
        route_found (core, &event->u.extents);
        break;
    case EVENT_SCANNED:
        if (!reclaim_scanned (core, &event->u.scanned) &&
            !balance_scanned (core, &event->u.scanned))
            scan_scanned (core, &event->u.scanned);
        break;
    case EVENT_RECLAIM_FOUND:
        if (!drops_found (core, &event->u.reclaim))
            reclaim_found (core, &event->u.reclaim);
        break;
    case EVENT_BYTES_FOUND:
        balance_bytes (core, &event->u.bytes);
        break;
    case EVENT_EFFECTS:
        for (size_t i = 0; i < event->u.effects.n; i++)
            reclaim_effect (core, &event->u.effects.items[i]);
        break;
    case EVENT_PROPOSED:
        if (!drops_proposed (core, &event->u.proposed) &&
            !trim_proposed (core, &event->u.proposed))
            reclaim_proposed (core, &event->u.proposed);
        break;
    case EVENT_REBALANCE:
        balance_now (core);
        break;
    case EVENT_REPAIR_RESUME:
        scan_resume (core);
        break;
    case EVENT_LOOK_AGAIN:
        scan_all (core);
        break;
    default:
        if (event->type >= EVENT_WORKER_HELLO && event->type <= EVENT_SEND_REFUSED)
            on_worker_event (core, event);
        else
            on_client_event (core, event);
        break;
    }
}

static void on_timer (core_t *core, uint32_t kind, uint64_t id)
{
    switch (kind) {
    case TIMER_WORKER:
        members_timer (core, (uint32_t)id);
        break;
    case TIMER_GRANT:
        if (!PLANTED (BUG_GRANT_EVER))
            grants_timer (core, id);
        break;
    case TIMER_RETRY:
        place_timer (core);
        break;
    case TIMER_UPLOADS:
        uploads_timer (core);
        break;
    case TIMER_ORDER:
        copier_timer (core, id);
        break;
    case TIMER_COPIER:
        copier_wake_timer (core);
        break;
    case TIMER_VERIFY:
        verify_timer (core, id);
        break;
    case TIMER_ANNOUNCE:
        members_announce_timer (core);
        break;
    case TIMER_DROPS:
        drops_timer (core);
        break;
    case TIMER_TRIM:
        trim_timer (core);
        break;
    case TIMER_RECLAIM:
        reclaim_timer (core);
        break;
    case TIMER_UNKNOWN:
        unknown_timer (core);
        break;
    case TIMER_BALANCE:
        balance_timer (core);
        break;
    default:
        assert (false);
    }
}

void core_step (core_t *self, const event_t *event, actions_t *actions)
{
    uint32_t kind;
    uint64_t id, late;

    assert (event->now >= self->now);
    late = core_wake (self) < event->now ? event->now - core_wake (self) : 0;
    self->now = event->now;
    self->log_time = event->log_time;
    self->log_index = event->log_index;
    self->clock_off = event->clock_off;
    self->out = actions;
    members_late (self, late);
    /* The event first: a sign of life that is here already beats a deadline. */
    on_event (self, event);
    while (timer_heap_pop (self->timers, self->now, &kind, &id))
        on_timer (self, kind, id);
    drops_flush (self);
    trim_flush (self);
    reclaim_flush (self);
    balance_flush (self);
    scan_flush (self);
    copier_pump (self);
    place_retry (self);
    place_flush (self);
    grants_flush (self);
    members_flush (self);
    self->out = NULL;
}

uint64_t core_wake (const core_t *self)
{
    return timer_heap_next (self->timers);
}
