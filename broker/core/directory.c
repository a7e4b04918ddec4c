/* SPDX-License-Identifier: MPL-2.0 */
/* What others are told of the workers: addresses, the directory, announcements. */
#include <stdlib.h>
#include <string.h>

#include "broker/core/members_private.h"

core_address_t members_address (core_t *core, const worker_t *worker)
{
    const core_member_t *member = &worker->member;
    core_address_t address = {
        .id = member->id,
        .name = actions_dup (core->out, member->name, strlen (member->name) + 1),
        .host = actions_dup (core->out, member->host, strlen (member->host) + 1),
        .location =
            actions_dup (core->out, member->location, strlen (member->location) + 1),
        .port = member->port,
        .state = worker->state,
    };

    memcpy (address.key, member->key, sizeof address.key);
    return address;
}

/* A failure domain is a whole location path. It vanished when every worker in it is
 * dead and the last one died after SINCE, in this term. Called on deaths only. */
void members_vanished (const core_t *core, uint64_t since, size_t *gone, size_t *all)
{
    enum { NONE, QUIET, LATE, ALIVE };
    const members_t *self = core->members;
    uint32_t limit = domains_limit (core->domains);
    uint8_t *seen = core_zalloc (limit);

    *all = *gone = 0;
    for (size_t i = 0; i < self->n_all; i++) {
        const worker_t *worker = self->all[i];
        uint32_t depth = worker->path.depth;
        uint8_t *at = &seen[depth > 0 ? worker->path.nodes[depth - 1] : 0];
        uint8_t is = worker->state != WORKER_DEAD                   ? ALIVE
                     : worker->since >= since && !worker->long_dead ? LATE
                                                                    : QUIET;

        if (*at < is)
            *at = is;
    }
    for (uint32_t i = 0; i < limit; i++) {
        *all += seen[i] != NONE;
        *gone += seen[i] == LATE;
    }
    free (seen);
}

uint32_t members_domains (core_t *core, uint32_t level)
{
    members_t *self = core->members;
    uint8_t *seen;

    if (!self->levels_stale)
        return self->levels[level];
    self->levels_stale = false;
    memset (self->levels, 0, sizeof self->levels);
    seen = core_zalloc (domains_limit (core->domains));
    for (size_t i = 0; i < self->n_all; i++) {
        const domain_path_t *path = &self->all[i]->path;

        for (uint32_t d = 0; d < path->depth && !self->all[i]->member.draining; d++) {
            self->levels[d] += !seen[path->nodes[d]];
            seen[path->nodes[d]] = 1;
        }
    }
    free (seen);
    return self->levels[level];
}

/* --- telling others --- */

static void send_announcement (core_t *core)
{
    members_t *self = core->members;
    action_t *action = actions_add (core->out, ACTION_ANNOUNCE);
    uint32_t *lost =
        actions_alloc (core->out, self->in_state[WORKER_DEAD] * sizeof *lost);
    size_t n = 0;

    for (size_t i = 0; i < self->n_all && n < self->in_state[WORKER_DEAD]; i++)
        if (self->all[i]->state == WORKER_DEAD)
            lost[n++] = self->all[i]->member.id;
    action->u.announce.number = ++self->announcement;
    action->u.announce.directory_version = self->directory;
    action->u.announce.lost = lost;
    action->u.announce.n_lost = n;
}

/* One that leads now does not take another's word, nor its own of a time when it may
 * have been cut off: who is dead gets the time of a start to say that it is not. */
void members_role (core_t *core)
{
    const members_t *self = core->members;

    for (size_t i = 0; core->leader && i < self->n_all; i++) {
        worker_t *worker = self->all[i];

        if (worker->state != WORKER_DEAD)
            continue;
        /* Who dies again then has not vanished now, with the others. */
        worker->long_dead |=
            core->now > worker->since + 2 * core->config.heartbeat_timeout_ns;
        members_set_state (core, worker, WORKER_JOINING);
    }
    core->members->announce = true;
    core->members->directory_changed |= core->leader;
}

void members_announce_timer (core_t *core)
{
    core->members->announce = true;
    if (core->members->states_changed)
        core->members->directory_changed = true;
    core_timer (core, core->now + core->config.heartbeat_ns, TIMER_ANNOUNCE, 0);
}

void members_flush (core_t *core)
{
    members_t *self = core->members;

    if (self->directory_changed) {
        action_t *action = actions_add (core->out, ACTION_DIRECTORY);
        core_address_t *workers =
            actions_alloc (core->out, self->n_all * sizeof *workers);

        for (size_t i = 0; i < self->n_all; i++)
            workers[i] = members_address (core, self->all[i]);
        action->u.directory.version = self->directory;
        action->u.directory.workers = workers;
        action->u.directory.n = self->n_all;
        self->directory_changed = self->states_changed = false;
    }
    if (self->announce) {
        self->announce = false;
        send_announcement (core);
    }
}
