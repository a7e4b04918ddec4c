/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/unknown.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/core/chunks.h"
#include "broker/core/reclaim.h"

#define PAGE       256
#define COLLECT    512       /* of one worker in one pass */
#define PAUSE      (20 * MS) /* between two pages */
#define FEW        32        /* so many an upload may leave */
#define TOO_MANY   100       /* one in so many */
#define PASS_LEAST (2 * SEC)

struct unknown {
    /* Log indexes of the past: what was born before OLD is older than an upload may
     * last. */
    uint64_t old_index;
    uint64_t new_index;
    uint64_t new_at;
    bool marking; /* PROPOSAL is an entry that only makes the index move */
    uint64_t next_pass;
    uint64_t next_page;
    uint64_t timer;
    uint64_t forgiven;
    uint64_t scan; /* token */
    uint64_t proposal;
    uint32_t worker; /* 0: no pass is under way */
    bool started;
    copykey_t after;
    uint64_t looked;
    uint64_t found;
    uint64_t doubtful; /* those that no operator accepted */
    uint64_t future;
    core_reclaim_t *items;
    size_t n_items;
};

unknown_t *unknown_new (void)
{
    unknown_t *self = core_zalloc (sizeof *self);

    self->items = core_zalloc (COLLECT * sizeof *self->items);
    return self;
}

void unknown_destroy (unknown_t **self_p)
{
    if (!*self_p)
        return;
    free ((*self_p)->items);
    free (*self_p);
    *self_p = NULL;
}

void unknown_begin (core_t *core)
{
    core->unknown->new_at = core->now;
}

static uint64_t pass_every (const core_t *core)
{
    uint64_t every = core->config.upload_timeout_ns;

    return every > PASS_LEAST ? every : PASS_LEAST;
}

static void set_timer (core_t *core, uint64_t when)
{
    unknown_t *self = core->unknown;

    if (self->timer > core->now && self->timer <= when)
        return;
    self->timer = when;
    core_timer (core, when, TIMER_UNKNOWN, 0);
}

void unknown_timer (core_t *core)
{
    if (core->unknown->timer > core->now)
        return;
    core->unknown->timer = 0;
    reclaim_wake (core);
}

/* The member with the least id above ID; 0: there is none. */
static uint32_t next_worker (const core_t *core, uint32_t id)
{
    size_t n;
    worker_t *const *all = members_all (core, &n);
    uint32_t next = 0;

    for (size_t i = 0; i < n; i++)
        if (all[i]->member.id > id && (next == 0 || all[i]->member.id < next))
            next = all[i]->member.id;
    return next;
}

static void begin_worker (core_t *core, uint32_t worker)
{
    unknown_t *self = core->unknown;

    self->worker = worker;
    self->started = false;
    self->looked = self->found = self->doubtful = self->future = 0;
    self->n_items = 0;
    if (worker == 0) {
        self->next_pass = core->now + pass_every (core);
        set_timer (core, self->next_pass);
    }
}

static void hold (core_t *core, const char *name)
{
    unknown_t *self = core->unknown;
    action_t *action = actions_add (core->out, ACTION_PROPOSE);
    char text[150];

    if (self->future > 0)
        snprintf (text, sizeof text, "%.40s has %llu copies from a later time", name,
                  (unsigned long long)self->future);
    else
        snprintf (text, sizeof text, "%llu of %llu copies on %.40s are unknown",
                  (unsigned long long)self->doubtful, (unsigned long long)self->looked,
                  name);
    self->proposal = core_id (core);
    action->u.propose.token = self->proposal;
    action->u.propose.what = PROPOSE_HOLD;
    action->u.propose.why = actions_dup (core->out, text, strlen (text) + 1);
    core_log (core, LOG_WARN, "reclaim_held", "why=\"%s\"", text);
}

static void end_worker (core_t *core)
{
    unknown_t *self = core->unknown;
    const worker_t *worker = members_find (core, self->worker);
    uint32_t next = next_worker (core, self->worker);
    action_t *action;

    if (worker && (self->future > 0 || (self->doubtful > FEW &&
                                        self->doubtful * TOO_MANY > self->looked))) {
        hold (core, worker->member.name);
        begin_worker (core, 0);
        return;
    }
    if (self->n_items > 0) {
        self->proposal = core_id (core);
        action = actions_add (core->out, ACTION_PROPOSE);
        action->u.propose.token = self->proposal;
        action->u.propose.what = PROPOSE_CONDEMN;
        action->u.propose.items =
            actions_dup (core->out, self->items, self->n_items * sizeof *self->items);
        action->u.propose.n = self->n_items;
    }
    begin_worker (core, next);
}

static void look (core_t *core, const core_chunk_t *chunk)
{
    unknown_t *self = core->unknown;

    for (uint32_t i = 0; i < chunk->n_copies && i < CORE_COPIES; i++) {
        const core_copy_t *copy = &chunk->copies[i];

        if (copy->worker != self->worker || copy->damaged)
            continue;
        self->looked++;
        if (copy->birth > core->log_index && copy->birth > self->forgiven)
            self->future++;
        if (chunk->recorded || copy->birth >= self->old_index ||
            chunks_find (core, &chunk->key))
            continue;
        self->found++;
        self->doubtful += copy->birth > self->forgiven;
        if (self->n_items == COLLECT)
            continue;
        memset (&self->items[self->n_items], 0, sizeof self->items[0]);
        self->items[self->n_items].key = chunk->key;
        self->items[self->n_items++].length = chunk->length;
    }
}

bool unknown_scanned (core_t *core, const event_scanned_t *found)
{
    unknown_t *self = core->unknown;

    if (self->scan == 0 || found->token != self->scan)
        return false;
    self->scan = 0;
    reclaim_wake (core);
    if (reclaim_held (core) || found->code != DFS_OK) {
        begin_worker (core, 0);
        return true;
    }
    for (size_t i = 0; i < found->n; i++)
        look (core, &found->chunks[i]);
    self->next_page = core->now + PAUSE;
    if (found->more && found->n > 0)
        self->after = found->chunks[found->n - 1].key;
    else
        end_worker (core);
    return true;
}

bool unknown_proposed (core_t *core, const event_proposed_t *event)
{
    if (core->unknown->proposal == 0 || event->token != core->unknown->proposal)
        return false;
    core->unknown->proposal = 0;
    if (core->unknown->marking && event->code == DFS_OK) {
        core->unknown->new_index = core->log_index;
        core->unknown->new_at = core->now;
    }
    core->unknown->marking = false;
    reclaim_wake (core);
    return true;
}

/* What is granted from now on is born later than this entry, and what was granted
 * before the last one is older than an upload may last. */
static void mark (core_t *core)
{
    unknown_t *self = core->unknown;
    action_t *action = actions_add (core->out, ACTION_PROPOSE);

    self->old_index = self->new_index;
    self->new_at = core->now;
    self->marking = true;
    self->proposal = core_id (core);
    action->u.propose.token = self->proposal;
    action->u.propose.what = PROPOSE_FORGET;
}

void unknown_go (core_t *core, uint64_t forgiven)
{
    unknown_t *self = core->unknown;
    action_t *action;

    self->forgiven = forgiven;
    if (self->scan || self->proposal)
        return;
    if (core->now >= self->new_at + core->config.upload_timeout_ns) {
        mark (core);
        return;
    }
    if (self->worker == 0 && core->now >= self->next_pass)
        begin_worker (core, next_worker (core, 0));
    if (self->worker == 0) {
        set_timer (core, self->next_pass);
        return;
    }
    if (core->now < self->next_page) {
        set_timer (core, self->next_page);
        return;
    }
    action = actions_add (core->out, ACTION_SCAN_WORKER);
    self->scan = core_id (core);
    action->u.scan.token = self->scan;
    action->u.scan.worker = self->worker;
    action->u.scan.from_start = !self->started;
    action->u.scan.after = self->after;
    action->u.scan.max = PAGE;
    self->started = true;
}
