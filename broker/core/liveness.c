/* SPDX-License-Identifier: MPL-2.0 */
/* States of workers: signs of life, silence, probes, flaps. */
#include <string.h>

#include "broker/core/members_private.h"
#include "broker/core/scan.h"

#define PROBE_EVERY  (200 * MS)
#define FLAP_WINDOW  (60 * SEC)
#define FLAP_FREE    2 /* times in a window that cost nothing */
#define FLAP_PENALTY (2 * SEC)
#define FLAP_LONGEST (60 * SEC)

/* --- states --- */

/* When silence or a probe has to be looked at next. */
static uint64_t next_look (const core_t *core, const worker_t *worker)
{
    const core_config_t *config = &core->config;
    uint64_t interval =
        worker->beat.interval_ns > 0 ? worker->beat.interval_ns : config->heartbeat_ns;
    uint64_t next;

    switch (worker->state) {
    case WORKER_UP:
    case WORKER_DRAINING:
        next = worker->heard + 2 * interval + interval / 4 + 1;
        if (worker->damped_until > core->now && worker->damped_until < next)
            next = worker->damped_until;
        return next;
    case WORKER_JOINING:
    case WORKER_SUSPECT:
        next = worker->state == WORKER_JOINING
                   ? worker->since + 2 * config->heartbeat_timeout_ns
                   : worker->heard + config->heartbeat_timeout_ns;
        if (worker->state == WORKER_SUSPECT && worker->conn == 0 &&
            worker->probe == 0 && worker->probe_next < next)
            next = worker->probe_next;
        return next;
    default:
        return UINT64_MAX;
    }
}

void members_set_timer (core_t *core, worker_t *worker)
{
    uint64_t next = next_look (core, worker);

    if (next == UINT64_MAX)
        return;
    if (next <= core->now)
        next = core->now + 1;
    /* A later deadline is found when the earlier one runs out. */
    if (worker->timer > core->now && worker->timer <= next)
        return;
    worker->timer = next;
    core_timer (core, next, TIMER_WORKER, worker->member.id);
}

void members_set_state (core_t *core, worker_t *worker, int state)
{
    members_t *self = core->members;
    int before = worker->state;

    if (state == WORKER_UP && worker->member.draining)
        state = WORKER_DRAINING;
    if (state == before)
        return;
    self->in_state[before]--;
    self->in_state[state]++;
    worker->state = state;
    worker->since = core->now;
    worker->seen = worker_live (worker) ||
                   (worker->seen && worker_unsure (worker) && before != WORKER_DEAD);
    self->directory++;
    self->states_changed = true;
    if (before == WORKER_DEAD || state == WORKER_DEAD)
        self->announce = true;
    core_log (core, state == WORKER_DEAD ? LOG_WARN : LOG_INFO, "worker_state",
              "node=%s state=%s before=%s", worker->member.name,
              worker_state_name (state), worker_state_name (before));
    if (state == WORKER_SUSPECT) {
        worker->refused_since = 0;
        worker->probe_next = core->now;
        worker->flap_at = core->now;
        worker->flaps++;
    } else if (worker_live (worker)) {
        worker->long_dead = false;
        worker->probe = 0;
        if (worker->flaps > FLAP_FREE) {
            uint64_t wait = FLAP_PENALTY << (worker->flaps - FLAP_FREE - 1 > 5
                                                 ? 5
                                                 : worker->flaps - FLAP_FREE - 1);

            worker->damped_until =
                core->now + (wait < FLAP_LONGEST ? wait : FLAP_LONGEST);
            core_log (core, LOG_WARN, "worker_flaps", "node=%s times=%u",
                      worker->member.name, worker->flaps);
        }
    }
    members_update_placeable (core, worker);
    members_set_timer (core, worker);
    core_worker_changed (core, worker, before);
}

void members_send_probe (core_t *core, worker_t *worker)
{
    action_t *action = actions_add (core->out, ACTION_PROBE);
    const core_member_t *member = &worker->member;

    worker->probe = core_id (core);
    worker->probe_next = core->now + PROBE_EVERY;
    action->u.probe.worker = member->id;
    action->u.probe.probe = worker->probe;
    action->u.probe.host =
        actions_dup (core->out, member->host, strlen (member->host) + 1);
    action->u.probe.port = member->port;
    action->u.probe.timeout_ns = core->config.probe_ns / 2;
}

void members_timer (core_t *core, uint32_t id)
{
    worker_t *worker = members_find (core, id);
    const core_config_t *config = &core->config;

    if (!worker || worker->timer > core->now)
        return;
    worker->timer = 0;
    if (members_update_placeable (core, worker))
        core_worker_changed (core, worker, worker->state);
    switch (worker->state) {
    case WORKER_UP:
    case WORKER_DRAINING: {
        uint64_t interval = worker->beat.interval_ns > 0 ? worker->beat.interval_ns
                                                         : config->heartbeat_ns;

        if (core->now > worker->heard + 2 * interval + interval / 4)
            members_set_state (core, worker, WORKER_SUSPECT);
        break;
    }
    case WORKER_JOINING:
        if (core->now >= worker->since + 2 * config->heartbeat_timeout_ns)
            members_set_state (core, worker, WORKER_DEAD);
        break;
    case WORKER_SUSPECT:
        if (core->now >= worker->heard + config->heartbeat_timeout_ns)
            members_set_state (core, worker, WORKER_DEAD);
        else if (worker->conn == 0 && worker->probe == 0 &&
                 core->now >= worker->probe_next)
            members_send_probe (core, worker);
        break;
    default:
        break;
    }
    members_set_timer (core, worker);
}

/* While nobody listened nobody was silent: what was said meanwhile is about to be read.
 * Not again and again: a broker that is always late still finds out who is dead. */
void members_late (core_t *core, uint64_t late)
{
    const members_t *self = core->members;

    if (late < core->config.heartbeat_ns / 4 ||
        core->now < core->late_at + core->config.heartbeat_timeout_ns)
        return;
    core->late_at = core->now;
    for (size_t i = 0; i < self->n_all; i++) {
        worker_t *worker = self->all[i];

        if (worker->heard > 0)
            worker->heard +=
                core->now - worker->heard < late ? core->now - worker->heard : late;
        if (worker->state == WORKER_JOINING)
            worker->since += late;
        if (worker->refused_since > 0)
            worker->refused_since += late;
    }
}

void members_probe (core_t *core, const event_probe_t *probe)
{
    worker_t *worker = members_find (core, probe->worker);

    if (!worker || worker->probe == 0 || worker->probe != probe->probe)
        return;
    worker->probe = 0;
    if (worker->state != WORKER_SUSPECT || worker->conn != 0)
        return;
    if (probe->outcome != PROBE_REFUSED)
        worker->refused_since = 0;
    else if (worker->refused_since == 0)
        /* A connection that closed counts as the first refusal. */
        worker->refused_since = worker->since;
    if (worker->refused_since > 0 &&
        core->now >= worker->refused_since + core->config.probe_ns)
        members_set_state (core, worker, WORKER_DEAD);
    else
        members_set_timer (core, worker);
}

/* A sign of life: brings back who is welcome on a connection that stands. */
static void heard (core_t *core, worker_t *worker)
{
    worker->heard = core->now;
    if (worker->flaps > 0 && core->now > worker->flap_at + FLAP_WINDOW) {
        worker->flaps /= 2;
        worker->flap_at = core->now;
    }
    if (!worker->welcomed || worker->conn == 0 || worker_live (worker))
        return;
    members_set_state (core, worker, WORKER_UP);
    if (worker->told)
        return;
    worker_must_tell (worker);
    worker_look_told (core, worker);
}

void members_heard (core_t *core, uint32_t id)
{
    worker_t *worker = members_find (core, id);

    if (worker)
        heard (core, worker);
}

void members_heartbeat (core_t *core, const event_heartbeat_t *beat)
{
    worker_t *worker = members_find (core, beat->worker);

    if (!worker ||
        (worker->incarnation != 0 && beat->incarnation != worker->incarnation))
        return;
    /* What it has is still read, but has to be elsewhere, too; or no longer. */
    if ((worker->beat.condition == CONDITION_FAILING) !=
        (beat->condition == CONDITION_FAILING))
        scan_all (core);
    worker->beat = *beat;
    worker->beat.stores = NULL;
    worker->beat.n_stores = 0;
    if (worker->beat.interval_ns > core->config.heartbeat_timeout_ns)
        worker->beat.interval_ns = core->config.heartbeat_timeout_ns;
    worker->beaten = true;
    if (worker_read_from (worker))
        worker->read_at = core->now;
    worker->ordered = 0;
    for (size_t i = 0; i < beat->n_stores && beat->stores; i++)
        for (size_t k = 0; k < worker->n_stores; k++) {
            core_store_t *store = &worker->stores[k].store;

            if (memcmp (store->id, beat->stores[i].id, sizeof store->id) == 0 &&
                store->incarnation == beat->stores[i].incarnation &&
                store->last_seq < beat->stores[i].last_seq)
                store->last_seq = beat->stores[i].last_seq;
        }
    heard (core, worker);
    members_condition (core, worker, beat->condition);
}
