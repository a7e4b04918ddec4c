/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/links/roster.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/links/links_private.h"
#include "broker/links/roster_private.h"
#include "broker/links/seed.h"

#define STEP_RECORDS 4096       /* of one step of a job, or of pruning */
#define PRUNE_REST   (10 * SEC) /* between looks at what is kept longer than the rest */
#define SESSION_LIFE (600 * SEC) /* without a change */
#define SEED_ARENA   (16 * 1024 * 1024)

roster_t *roster_new (void)
{
    roster_t *self = calloc (1, sizeof *self);

    assert (self);
    return self;
}

void roster_destroy (roster_t **self_p)
{
    roster_t *self = *self_p;

    if (!self)
        return;
    if (self->directory)
        mail_free (&self->directory->head);
    while (self->waiters) {
        waiter_t *waiter = self->waiters;
        self->waiters = waiter->next;
        if (--waiter->job->refs == 0)
            mail_free (&waiter->job->head);
        free (waiter);
    }
    roster_unindex (self);
    free (self);
    *self_p = NULL;
}

bool roster_seeded (const roster_t *self)
{
    return self->directory && self->directory->seeded;
}

void roster_refresh (links_t *links)
{
    mail_directory_t *mail = mail_new (MAIL_DIRECTORY, sizeof *mail);

    mail->asked = ++links->roster->asked;
    storage_push (links->storage, &mail->head);
}

static void tell_role (links_t *links, bool leads)
{
    roster_t *self = links->roster;

    if (self->term == links->term && self->leads == leads)
        return;
    self->term = links->term;
    self->leads = leads;
    self->led_at = links->now;
    event_t event = {.type = EVENT_ROLE,
                     .u.role = {.leader = leads,
                                .incarnation = links->incarnation,
                                .term = links->term}};
    links_step (links, &event);
}

void roster_role (links_t *links)
{
    if (links->role != JOURNAL_LEADER || links->roster->leads)
        tell_role (links, false);
    roster_refresh (links);
    links->roster->role_at = links->roster->asked;
}

bool roster_leads (const roster_t *self)
{
    return self->leads && roster_seeded (self);
}

/* --- ZAP: who may connect to which socket --- */

static void allow_key (links_t *links, const char *role, const char *name, Dfs__Role as,
                       const char *const *domains)
{
    const cluster_t *cluster = links->config.cluster;
    keypair_t pair;
    dfs_error_t err;

    if (keys_load_public (cluster->keys_dir, role, name, &pair, &err) < 0) {
        log_warn ("key_missing", "role=%s name=%s err=\"%s\"", role, name, err.text);
        return;
    }
    for (; *domains; domains++)
        zap_allow (links->config.zap, *domains, pair.public_key, as, name);
}

void roster_allow (links_t *links)
{
    static const char *const worker_domains[] = {"back", "pulse", "announce", NULL};
    static const char *const user_domains[] = {"front", "announce", NULL};
    const cluster_t *cluster = links->config.cluster;
    arena_t *arena;
    char **users;
    dfs_error_t err;

    if (!cluster->secure)
        return;
    for (size_t i = 0; i < cluster->n_workers; i++)
        allow_key (links, "worker", cluster->workers[i].name, DFS__ROLE__ROLE_WORKER,
                   worker_domains);
    arena = arena_new (SEED_ARENA);
    int n = seed_users (cluster, arena, &users, &err);
    if (n < 0)
        log_warn ("users_unreadable", "err=\"%s\"", err.text);
    for (int i = 0; i < n; i++)
        allow_key (links, "user", users[i], DFS__ROLE__ROLE_CLIENT, user_domains);
    arena_destroy (&arena);
}

/* --- who waits for a change to be seen --- */

void roster_answer_at (links_t *links, job_t *job, uint64_t index)
{
    waiter_t *waiter = calloc (1, sizeof *waiter);

    assert (waiter);
    waiter->job = job;
    waiter->index = index;
    waiter->next = links->roster->waiters;
    links->roster->waiters = waiter;
}

static void answer_waiters (links_t *links, uint64_t index)
{
    waiter_t **at = &links->roster->waiters;

    while (*at) {
        waiter_t *waiter = *at;
        if (waiter->index > index) {
            at = &waiter->next;
            continue;
        }
        *at = waiter->next;
        front_admin_done (links, waiter->job);
        free (waiter);
    }
}

/* --- the log is brought up to the config --- */

/* A worker that was removed stays away; another one, by its key, may have its name. */
static bool was_removed (const roster_t *self, const Dfs__Member *member)
{
    for (size_t i = 0; i < self->directory->n_members; i++) {
        const Dfs__Member *m = self->directory->members[i];
        if (m->role == member->role && m->has_removed && m->removed &&
            strcmp (m->name, member->name) == 0 && m->key.len == member->key.len &&
            memcmp (m->key.data, member->key.data, m->key.len) == 0)
            return true;
    }
    return false;
}

static void propose_seed (links_t *links)
{
    arena_t *arena = arena_new (SEED_ARENA);
    dfs_error_t err;

    Dfs__Op *op = seed_op (links->config.cluster, arena, &err);
    if (op) {
        log_info ("seed", "cluster=%s", links->config.cluster->name);
        pending_own (links, op);
    } else
        log_error ("seed_failed", "err=\"%s\"", err.text);
    arena_destroy (&arena);
}

static uint32_t next_member_id (const roster_t *self)
{
    uint32_t id = 0;

    for (size_t i = 0; i < self->directory->n_members; i++) {
        if (self->directory->members[i]->id > id)
            id = self->directory->members[i]->id;
    }
    return id + 1;
}

static void propose_members (links_t *links, arena_t *arena)
{
    const cluster_t *cluster = links->config.cluster;
    uint32_t id = next_member_id (links->roster);

    for (size_t i = 0; i < cluster->n_workers; i++) {
        const cluster_node_t *node = &cluster->workers[i];
        Dfs__Op op = DFS__OP__INIT;
        Dfs__OpMemberSet set = DFS__OP_MEMBER_SET__INIT;
        dfs_error_t err;

        if (roster_worker (links->roster, node->name))
            continue;
        set.member = seed_member (cluster, node, DFS__MEMBER_ROLE__MEMBER_WORKER, id,
                                  arena, &err);
        if (!set.member) {
            log_warn ("member_not_added", "name=%s err=\"%s\"", node->name, err.text);
            continue;
        }
        if (was_removed (links->roster, set.member))
            continue;
        id++;
        op.op_case = DFS__OP__OP_MEMBER_SET;
        op.member_set = &set;
        log_info ("member_added", "name=%s id=%u", node->name, set.member->id);
        pending_own (links, &op);
    }
}

static void propose_users (links_t *links, arena_t *arena)
{
    const mail_directory_t *directory = links->roster->directory;
    uint32_t id = 0;
    char **names;
    dfs_error_t err;

    for (size_t i = 0; i < directory->n_users; i++) {
        if (directory->users[i]->id > id)
            id = directory->users[i]->id;
    }
    int n = seed_users (links->config.cluster, arena, &names, &err);
    for (int i = 0; i < n; i++) {
        Dfs__Op op = DFS__OP__INIT;
        Dfs__OpUserSet set = DFS__OP_USER_SET__INIT;

        if (roster_user (links->roster, names[i]))
            continue;
        set.user = seed_user (links->config.cluster, names[i], ++id, arena, &err);
        if (!set.user)
            continue;
        op.op_case = DFS__OP__OP_USER_SET;
        op.user_set = &set;
        log_info ("user_added", "name=%s id=%u", names[i], id);
        pending_own (links, &op);
    }
}

/* --- the core hears who is there --- */

static void copy_text (char *out, size_t cap, const char *in)
{
    size_t len = in ? strnlen (in, cap - 1) : 0;

    if (len)
        memcpy (out, in, len);
    out[len] = 0;
}

static void tell_member (links_t *links, const Dfs__Member *m)
{
    event_t event = {.type = EVENT_MEMBER};
    core_member_t *out = &event.u.member;

    out->id = m->id;
    copy_text (out->name, sizeof out->name, m->name);
    copy_text (out->host, sizeof out->host, m->host);
    copy_text (out->location, sizeof out->location, m->location);
    out->port = m->port;
    if (m->has_key && m->key.len == sizeof out->key)
        memcpy (out->key, m->key.data, sizeof out->key);
    out->removed = m->has_removed && m->removed;
    out->draining = m->has_draining && m->draining;
    links_step (links, &event);
}

static void tell_core (links_t *links)
{
    const mail_directory_t *d = links->roster->directory;

    for (size_t i = 0; i < d->n_policies; i++) {
        const Dfs__Policy *p = d->policies[i];
        event_t event = {.type = EVENT_POLICY,
                         .u.policy = {.id = p->id,
                                      .replicas = p->replicas,
                                      .min_replicas = p->min_replicas}};
        links_step (links, &event);
    }
    for (size_t i = 0; i < d->n_members; i++) {
        if (d->members[i]->role == DFS__MEMBER_ROLE__MEMBER_WORKER)
            tell_member (links, d->members[i]);
    }
}

void roster_directory (links_t *links, mail_directory_t *mail)
{
    roster_t *self = links->roster;

    if (self->directory)
        mail_free (&self->directory->head);
    self->directory = mail;
    roster_index (self);
    if (mail->asked)
        self->answered = mail->asked;
    links->incarnation = mail->incarnation;
    if (mail->index > links->log_index)
        links->log_index = mail->index;
    links_saw_time (links, mail->time_ns);
    bool current = links->role == JOURNAL_LEADER && self->answered >= self->role_at;
    if (!mail->seeded) {
        if (current && pending_own_directory (links->pending) == 0)
            propose_seed (links);
        return;
    }
    tell_core (links);
    tell_role (links, current);
    answer_waiters (links, mail->index);
    if (current && pending_own_directory (links->pending) == 0) {
        arena_t *arena = arena_new (SEED_ARENA);
        propose_members (links, arena);
        propose_users (links, arena);
        arena_destroy (&arena);
    }
}

/* --- housekeeping of the log --- */

void roster_chores (links_t *links)
{
    roster_t *self = links->roster;

    if (self->chores || !roster_leads (self) || links->stopping)
        return;
    mail_chores_t *mail = mail_new (MAIL_CHORES, sizeof *mail);
    mail->idle_before = links_log_time (links) - SESSION_LIFE;
    mail->idle_from = self->idle_from;
    mail->prune_now = links->now >= self->prune_at ? links_log_time (links) : 0;
    mail->at = self->prune_from;
    self->chores = true;
    storage_push (links->storage, &mail->head);
}

static void expire (links_t *links, const mail_chores_t *mail)
{
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpSessionExpire expired = DFS__OP_SESSION_EXPIRE__INIT;
    uint64_t ids[CHORES_SESSIONS];

    /* Clients of the leader before may have wanted nothing of this one yet. */
    if (links->now - links->roster->led_at < SESSION_LIFE)
        return;
    /* One that still holds its connection is not gone, only quiet. */
    for (size_t i = 0; i < mail->n_sessions; i++) {
        if (!clients_get (links->clients, mail->sessions[i]))
            ids[expired.n_sessions++] = mail->sessions[i];
    }
    if (expired.n_sessions == 0)
        return;
    expired.sessions = ids;
    op.op_case = DFS__OP__OP_SESSION_EXPIRE;
    op.session_expire = &expired;
    pending_own (links, &op);
}

void roster_chores_found (links_t *links, const mail_chores_t *mail)
{
    roster_t *self = links->roster;
    Dfs__Op op = DFS__OP__INIT;

    self->chores = false;
    self->idle_from = mail->idle_from; /* connected ones hold up no others */
    if (self->prune_from.len > 0 && mail->at.len == 0)
        self->prune_at = links->now + PRUNE_REST;
    self->prune_from = mail->at;
    if (!links_serves (links) || pending_own_count (links->pending) > 0)
        return;
    if (mail->job) {
        Dfs__OpJobStep step = DFS__OP_JOB_STEP__INIT;

        step.job = mail->job;
        step.max_records = STEP_RECORDS;
        op.op_case = DFS__OP__OP_JOB_STEP;
        op.job_step = &step;
        pending_own (links, &op);
    }
    /* What is expired or pruned does not come back: not by a clock that is wrong. */
    if (agree_holds (links))
        return;
    expire (links, mail);
    if (mail->prune) {
        Dfs__OpPrune prune = DFS__OP_PRUNE__INIT;

        prune.up_to_time_ns = prune.now_ns = mail->prune_now;
        prune.max_records = STEP_RECORDS;
        prune.has_now_ns = prune.has_from = true;
        prune.from.len = mail->at.len;
        prune.from.data = (uint8_t *)(uintptr_t)mail->at.key;
        op.op_case = DFS__OP__OP_PRUNE;
        op.prune = &prune;
        pending_own (links, &op);
    }
}
