/* SPDX-License-Identifier: MPL-2.0 */
/* The brokers themselves: how each one does, and what an operator does to them: another
 * one leads, one that lost its disk is taken in again. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/links/links_private.h"
#include "msgs/check.h"

#define DOWN_NS (2 * SEC) /* not heard of for so long */

/* --- status --- */

static char *endpoint (links_t *self, const char *name)
{
    const cluster_node_t *node = cluster_broker (self->config.cluster, name);
    char text[CORE_HOST_MAX + 16];
    uint16_t port = 0;

    if (!node)
        return links_text (self, "?");
    if (node == self->config.broker)
        port = self->ports[0];
    else
        cluster_broker_port (self->config.cluster, node, 0, &port, NULL);
    snprintf (text, sizeof text, "%s:%u", node->host, port);
    return links_text (self, text);
}

static Dfs__BrokerStatus *one_broker (links_t *self, const char *name, const char *role)
{
    Dfs__BrokerStatus *b = links_need (self, sizeof *b);

    dfs__broker_status__init (b);
    b->name = links_text (self, name);
    b->endpoint = endpoint (self, name);
    b->role = links_text (self, role);
    b->has_log_index = b->has_applied = b->has_voter = true;
    return b;
}

static const char *role_of (const links_t *self, const journal_member_t *m)
{
    const char *leader = links_leader (self);

    if (m->self)
        return self->role == JOURNAL_LEADER ? "leader" : "follower";
    /* Followers of a leader need not hear each other; a new leader, and who asks for
     * votes, hears of all that are there before long. */
    if (m->heard_ns > DOWN_NS && self->now - self->role_at > DOWN_NS &&
        (self->role == JOURNAL_LEADER || !leader))
        return "down";
    return leader && strcmp (leader, m->name) == 0 ? "leader" : "follower";
}

static Dfs__BrokerStatus *one_member (links_t *self, const journal_stats_t *journal,
                                      const journal_member_t *m,
                                      const mail_totals_t *totals, uint64_t memory)
{
    Dfs__BrokerStatus *b = one_broker (
        self, m->self ? self->config.broker->name : m->name, role_of (self, m));

    char text[256];

    if (agree_trouble (self, m, text, sizeof text))
        b->trouble = links_text (self, text);
    b->voter = m->part == JOURNAL_VOTER;
    b->log_index = m->self ? journal->last_index : m->match;
    b->applied = m->self ? totals->applied : m->match;
    if (m->self) {
        b->has_memory = b->has_term = true;
        b->memory = memory;
        b->term = journal->term;
    } else if (m->heard_ns != UINT64_MAX) {
        b->has_heard_ago_ns = true;
        b->heard_ago_ns = m->heard_ns;
    }
    return b;
}

/* One that cluster.cfg names and the journal does not know: it was never heard of. */
static bool is_known (const links_t *self, const journal_stats_t *journal,
                      const char *name)
{
    for (size_t i = 0; i < journal->n_members; i++)
        if (strcmp (journal->members[i].name, name) == 0)
            return true;
    return strcmp (self->config.broker->name, name) == 0;
}

/* The vote of a broker that has lost its data, and runs under this name anew. */
static bool is_replaced (const journal_stats_t *journal, const journal_member_t *m)
{
    for (size_t i = 0; i < journal->n_members; i++) {
        const journal_member_t *other = &journal->members[i];

        if (m->part == JOURNAL_VOTER && other->part != JOURNAL_VOTER &&
            strcmp (other->name, m->name) == 0)
            return true;
    }
    return false;
}

void brokers_put (links_t *self, const mail_totals_t *totals, uint64_t memory,
                  Dfs__ClusterStatusReply *out)
{
    const cluster_t *cluster = self->config.cluster;
    journal_stats_t journal;

    journal_stats (self->journal, &journal);
    out->brokers = links_need (self, (JOURNAL_MEMBERS + cluster->n_brokers) *
                                         sizeof *out->brokers);
    for (size_t i = 0; i < journal.n_members; i++)
        if (!is_replaced (&journal, &journal.members[i]))
            out->brokers[out->n_brokers++] =
                one_member (self, &journal, &journal.members[i], totals, memory);
    for (size_t i = 0; i < cluster->n_brokers; i++)
        if (!is_known (self, &journal, cluster->brokers[i].name))
            out->brokers[out->n_brokers++] =
                one_broker (self, cluster->brokers[i].name, "down");
}

static void note (links_t *self, Dfs__ClusterStatusReply *out, size_t max,
                  const char *text)
{
    if (out->n_notes < max)
        out->notes[out->n_notes++] = links_text (self, text);
}

/* What brokers say of themselves. */
static bool note_troubles (links_t *self, Dfs__ClusterStatusReply *out, size_t max)
{
    journal_stats_t journal;
    char text[JOURNAL_NAME + sizeof journal.why + 16];
    bool well = true;

    journal_stats (self->journal, &journal);
    if (journal.why[0]) {
        snprintf (text, sizeof text, "broker %s: %s", self->config.broker->name,
                  journal.why);
        note (self, out, max, text);
        well = false;
    }
    for (size_t i = 0; i < journal.n_members; i++) {
        const journal_member_t *m = &journal.members[i];

        if (m->self || m->trouble == JOURNAL_WELL || m->heard_ns > DOWN_NS)
            continue;
        snprintf (text, sizeof text, "broker %s: %s", m->name,
                  m->trouble == JOURNAL_STUCK
                      ? "the disk of its journal is full or hangs"
                  : m->trouble == JOURNAL_HANGS
                      ? "the disk of its namespace does not answer"
                      : "it cannot take the state that it needs (its log says why)");
        note (self, out, max, text);
        well = false;
    }
    return well;
}

bool brokers_note (links_t *self, Dfs__ClusterStatusReply *out, size_t max)
{
    size_t voters = self->voters, up = 0;
    bool well = note_troubles (self, out, max);
    char text[256];

    for (size_t i = 0; i < out->n_brokers; i++) {
        const Dfs__BrokerStatus *b = out->brokers[i];
        bool down = strcmp (b->role, "down") == 0;

        up += b->voter && !down;
        if (down)
            snprintf (text, sizeof text, "broker %s is down", b->name);
        else if (!b->voter)
            snprintf (text, sizeof text,
                      "broker %s has no vote: it has lost its data, or is new ('admin "
                      "brokers replace %s' takes it in)",
                      b->name, b->name);
        else if (b->trouble)
            snprintf (text, sizeof text, "%s", b->trouble);
        else
            continue;
        note (self, out, max, text);
        well = false;
    }
    if (!links_several (self))
        note (self, out, max, "the namespace has one copy: there is one broker");
    else if (up < voters && up <= voters / 2 + 1) {
        snprintf (text, sizeof text,
                  up > voters / 2
                      ? "%zu of %zu brokers vote: without one more of them nothing can "
                        "be changed"
                      : "%zu of %zu brokers are heard of, and a majority is needed",
                  up, voters);
        note (self, out, max, text);
    }
    if (self->role != JOURNAL_LEADER) {
        const char *leader = links_leader (self);

        snprintf (text, sizeof text, "as seen by broker %s, which does not lead%s%s",
                  self->config.broker->name, leader ? "; the leader is " : "",
                  leader ? leader : ": no broker does, nothing can be changed");
        note (self, out, max, text);
        well &= leader != NULL;
    }
    return well;
}

/* --- what an operator does --- */

/* A transfer or an exchange that goes on, or has ended and was not told yet. */
struct errand {
    errand_t *next;
    uint64_t cookie;
    bool ended;
    int code;
    char text[256];
    Dfs__AdminAction action;
    char broker[CORE_NAME_MAX];
};

static void errand_free (links_t *self, errand_t *errand)
{
    errand_t **at = &self->errands;

    while (*at != errand)
        at = &(*at)->next;
    *at = errand->next;
    free (errand);
}

void brokers_clear (links_t *self)
{
    while (self->errands)
        errand_free (self, self->errands);
}

void brokers_answered (links_t *self, const mail_answered_t *mail)
{
    for (errand_t *e = self->errands; e; e = e->next) {
        if (e->cookie != mail->cookie)
            continue;
        e->ended = true;
        e->code = mail->code;
        memcpy (e->text, mail->text, sizeof e->text);
        log_info ("brokers_errand", "action=%d broker=%s code=%s", (int)e->action,
                  e->broker, dfs_error_name (mail->code));
    }
}

static errand_t *begin (links_t *self, Dfs__AdminAction action, const char *broker)
{
    static uint64_t last; /* reactor thread only */
    errand_t *errand = calloc (1, sizeof *errand);

    assert (errand);
    errand->cookie = ++last;
    errand->action = action;
    snprintf (errand->broker, sizeof errand->broker, "%s", broker);
    errand->next = self->errands;
    self->errands = errand;
    log_info ("brokers_admin", "action=%d broker=%s", (int)action, broker);
    if (action == DFS__ADMIN_ACTION__ADMIN_BROKERS_TRANSFER)
        journal_transfer (self->journal, broker, errand->cookie);
    else
        journal_replace (self->journal, broker, broker, errand->cookie);
    return errand;
}

static void reply (links_t *self, job_t *job, bool going)
{
    Dfs__AdminReply out = DFS__ADMIN_REPLY__INIT;

    out.has_going = out.going = going;
    job->answer.body_case = DFS__ENVELOPE__BODY_ADMIN_REPLY;
    job->answer.admin_reply = &out;
    front_reply (self, job);
}

void front_brokers (links_t *self, job_t *job)
{
    const Dfs__Admin *ask = job->env->admin;
    errand_t *errand = self->errands;
    dfs_error_t err;

    if (check_text (ask->broker, CORE_NAME_MAX - 1, "admin: broker", &err) < 0) {
        front_refuse (self, job, DFS_EPROTO, err.text);
        return;
    }
    if (!cluster_broker (self->config.cluster, ask->broker)) {
        front_refuse (self, job, DFS_ENOENT, "no such broker");
        return;
    }
    if (ask->action == DFS__ADMIN_ACTION__ADMIN_BROKERS_TRANSFER &&
        strcmp (ask->broker, self->config.broker->name) == 0) {
        reply (self, job, false);
        return;
    }
    while (errand &&
           (errand->action != ask->action || strcmp (errand->broker, ask->broker) != 0))
        errand = errand->next;
    if (!errand)
        errand = begin (self, ask->action, ask->broker);
    if (!errand->ended)
        reply (self, job, true);
    else {
        if (errand->code < 0)
            front_refuse (self, job, errand->code,
                          errand->text[0] ? errand->text
                                          : dfs_error_text (errand->code));
        else
            reply (self, job, false);
        errand_free (self, errand);
    }
}
