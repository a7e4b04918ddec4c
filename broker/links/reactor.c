/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "broker/links/links_private.h"
#include "broker/links/outbox.h"
#include "common/clock.h"
#include "common/daemon.h"

#define SPARE_MAX       256  /* jobs kept for the next messages */
#define ASKED_MAX       1024 /* look-ups at storage */
#define LISTING_MAX     256  /* listings there, and those of one session */
#define LISTING_SESSION 16
#define MAIL_MAX        1024 /* pieces of mail in one wake */
#define STOP_NS         (1500 * MS)
#define RETRY_NS        (2 * MS) /* for peers whose queue is full */
#define DROP_BURST      20       /* lines about bad peers at once, and then a second */

void links_saw_time (links_t *self, uint64_t time)
{
    if (time <= self->log_time)
        return;
    self->log_time = time;
    self->log_time_at = clock_boot ();
}

/* A clock that no majority has confirmed may be far ahead, and what was told once is
 * not taken back: until then time goes on from where the log was. */
uint64_t links_log_time (links_t *self)
{
    uint64_t wall = clock_wall (), boot = clock_boot ();

    if (timekeeper_certain (&self->time))
        links_saw_time (self,
                        timekeeper_log (timekeeper_now (&self->time, wall, boot),
                                        self->log_time, boot - self->log_time_at));
    else if (self->log_time)
        links_saw_time (self, self->log_time + (boot - self->log_time_at));
    else if (self->role == JOURNAL_LEADER)
        return wall;
    return self->log_time;
}

void links_step (links_t *self, event_t *event)
{
    event->now = self->now;
    event->log_time = links_log_time (self);
    event->log_index = self->log_index;
    event->clock_off = agree_holds (self);
    core_step (self->core, event, self->actions);
}

bool links_serves (const links_t *self)
{
    return roster_leads (self->roster) && !self->stopping && !self->stall.hangs;
}

bool links_leads (const links_t *self)
{
    return roster_leads (self->roster);
}

bool links_several (const links_t *self)
{
    /* The log's voters count, whatever an edited cluster.cfg says. */
    return self->several || self->voters > 1 || self->config.cluster->n_brokers > 1;
}

const char *links_leader (const links_t *self)
{
    if (self->role == JOURNAL_LEADER)
        return self->config.broker->name;
    return self->leader[0] ? self->leader : NULL;
}

/* --- jobs --- */

job_t *links_job (links_t *self)
{
    job_t *job = self->spare;

    if (!job)
        return job_new ();
    self->spare = job->next;
    self->n_spare--;
    job->next = NULL;
    return job;
}

void links_release (links_t *self, job_t *job)
{
    if (--job->refs > 0)
        return;
    if (self->n_spare == SPARE_MAX) {
        mail_free (&job->head);
        return;
    }
    job_reset (job);
    job->next = self->spare;
    self->spare = job;
    self->n_spare++;
}

/* Listings take long and go one after the other: those of one client must not keep
 * everybody else from being served. */
static bool take_listing (links_t *self, job_t *job)
{
    session_t *session = clients_get (self->clients, job->session);

    if (self->n_listing >= LISTING_MAX ||
        (session && session->n_listing >= LISTING_SESSION)) {
        front_refuse (self, job, DFS_EAGAIN, "too many listings at once");
        return false;
    }
    self->n_listing++;
    if (session)
        session->n_listing++;
    return true;
}

void links_ask_storage (links_t *self, job_t *job)
{
    if (job->env->body_case != DFS__ENVELOPE__BODY_LIST)
        self->n_asked++;
    else if (!take_listing (self, job))
        return;
    job->refs++;
    job->log_time = links_log_time (self);
    storage_push (self->storage, &job->head);
}

void links_drop (links_t *self, const char *link, const envelope_from_t *from,
                 const char *why)
{
    char quoted[600];

    if (self->now - self->log_filled >= SEC) {
        if (self->log_muted)
            log_warn ("dropped_more", "messages=%llu",
                      (unsigned long long)self->log_muted);
        self->log_muted = 0;
        self->log_filled = self->now;
        self->log_tokens = DROP_BURST;
    }
    if (self->log_tokens == 0) {
        self->log_muted++;
        return;
    }
    self->log_tokens--;
    log_warn ("dropped", "link=%s fd=%d err=%s", link, from ? from->fd : -1,
              log_quote (quoted, sizeof quoted, why));
}

void links_give_up (links_t *self, const char *text)
{
    uint64_t one = 1;
    char quoted[600];

    log_error ("fatal", "err=%s", log_quote (quoted, sizeof quoted, text));
    ssize_t rc = write (self->config.fatal_fd, &one, sizeof one);
    (void)rc;
}

/* --- mail --- */

static void check_serving (links_t *self)
{
    uint64_t one = 1;

    if (self->served || !roster_leads (self->roster))
        return;
    self->served = true;
    log_info ("serving", "epoch=%u.%llu index=%llu", self->incarnation,
              (unsigned long long)self->term, (unsigned long long)self->log_index);
    ssize_t rc = write (self->serving_fd, &one, sizeof one);
    (void)rc;
}

static void applied (links_t *self, const mail_applied_t *mail)
{
    self->log_index = mail->index;
    links_saw_time (self, mail->time_ns);
    self->inline_max = mail->inline_max;
    if (mail->n_effects) {
        event_t event = {.type = EVENT_EFFECTS,
                         .u.effects = {.items = mail->effects, .n = mail->n_effects}};
        links_step (self, &event);
    }
    pending_applied (self, mail);
    reads_applied (self);
    agree_applied (self, mail);
}

static void count_voters (links_t *self)
{
    journal_stats_t journal;

    journal_stats (self->journal, &journal);
    self->voters = 0;
    for (size_t i = 0; i < journal.n_members; i++)
        self->voters += journal.members[i].part == JOURNAL_VOTER;
}

static void set_role (links_t *self, enum journal_role role, uint64_t term,
                      const char *leader)
{
    /* One that is not fit hands the lead on, and takes nothing up meanwhile. */
    bool leads = role == JOURNAL_LEADER && agree_fit (self);
    bool led = self->role == JOURNAL_LEADER;

    if (role == JOURNAL_LEADER && !leads) {
        role = JOURNAL_FOLLOWER;
        leader = "";
    }
    bool other = role != self->role || term != self->term;
    /* Orders go out under the epoch in which they were decided. */
    if (other)
        act_run (self);
    if (leads)
        agree_clocks (self); /* what time it is, before it is told */
    if (other || strcmp (self->leader, leader) != 0)
        self->role_at = self->now;
    self->role = role;
    self->term = term;
    snprintf (self->leader, sizeof self->leader, "%s", leader);
    count_voters (self);
    if (!other)
        return;
    roster_role (self);
    /* Also those go who only wanted what a follower knows: the core begins anew. */
    if (led || leads)
        front_leave (self);
    if (led) {
        pending_leave (self);
        reads_leave (self);
        brokers_clear (self);
        self->served = false;
    }
}

void links_role_now (links_t *self)
{
    journal_stats_t journal;

    journal_stats (self->journal, &journal);
    set_role (self, journal.role, journal.term, journal.leader);
}

static void probed (links_t *self, const mail_probe_t *mail)
{
    event_t event = {.type = EVENT_PROBE_RESULT,
                     .u.probe = {.worker = mail->worker,
                                 .probe = mail->probe,
                                 .outcome = mail->outcome}};
    links_step (self, &event);
}

static void reload (links_t *self, mail_reload_t *mail)
{
    const cluster_node_t *broker =
        cluster_broker (mail->cluster, self->config.broker->name);

    if (!broker || memcmp (mail->cluster->id, self->config.cluster->id, 16) != 0) {
        log_warn ("reload_refused", "err=\"cluster.cfg no longer names this broker\"");
        cluster_destroy (&mail->cluster);
        return;
    }
    cluster_destroy (&self->reloaded);
    self->reloaded = mail->cluster;
    self->config.cluster = mail->cluster;
    self->config.broker = broker;
    log_info ("reloaded", "workers=%zu", mail->cluster->n_workers);
    roster_allow (self);
    roster_refresh (self);
}

static void take_mail (links_t *self, mail_t *mail)
{
    switch (mail->kind) {
    case MAIL_JOB:
        front_answered (self, (job_t *)mail);
        return;
    case MAIL_CORE:
        links_step (self, &((mail_core_t *)mail)->answer);
        break;
    case MAIL_TOTALS:
        front_totals (self, (mail_totals_t *)mail);
        break;
    case MAIL_POLICY:
        front_policy_found (self, (mail_policy_t *)mail);
        break;
    case MAIL_LOST:
        lost_found (self, (mail_lost_t *)mail);
        break;
    case MAIL_CHORES:
        roster_chores_found (self, (mail_chores_t *)mail);
        break;
    case MAIL_DECIDED:
        pending_decided (self, (mail_decided_t *)mail);
        break;
    case MAIL_APPLIED:
        applied (self, (mail_applied_t *)mail);
        break;
    case MAIL_DURABLE:
        journal_applied (self->journal, ((mail_durable_t *)mail)->index);
        break;
    case MAIL_CHECKED:
        agree_checked (self, (mail_checked_t *)mail);
        break;
    case MAIL_DIRECTORY:
        roster_directory (self, (mail_directory_t *)mail);
        check_serving (self);
        return;
    case MAIL_ROLE:
        set_role (self, ((mail_role_t *)mail)->role, ((mail_role_t *)mail)->term,
                  ((mail_role_t *)mail)->leader);
        break;
    case MAIL_READ:
        reads_point (self, (mail_read_t *)mail);
        break;
    case MAIL_ANSWERED:
        brokers_answered (self, (mail_answered_t *)mail);
        break;
    case MAIL_MEMBERS:
        count_voters (self);
        break;
    case MAIL_DROPPED:
        pending_dropped (self, (mail_dropped_t *)mail);
        break;
    case MAIL_PROBE:
        probed (self, (mail_probe_t *)mail);
        break;
    case MAIL_RELOAD:
        reload (self, (mail_reload_t *)mail);
        break;
    default:
        assert (!"mail that is not for the reactor");
    }
    mail_free (mail);
}

static void drain_mail (links_t *self)
{
    for (int i = 0; i < MAIL_MAX; i++) {
        mail_t *mail = mailbox_pop (self->config.mail);
        if (!mail)
            return;
        take_mail (self, mail);
    }
}

/* --- time --- */

static void look_at_clock (links_t *self)
{
    if (!timekeeper_look (&self->time, clock_wall (), clock_boot ()))
        return;
    if (self->time.off)
        log_error ("clock_jumped", "seconds=%lld",
                   (long long)self->time.off / (long long)SEC);
    else
        log_info ("clock_back", "seconds=0");
}

static void forget_sessions (links_t *self)
{
    session_t *gone[1024]; /* the rest a second later */
    size_t n = clients_expired (self->clients, self->now, gone, 1024);

    for (size_t i = 0; i < n; i++)
        front_forget (self, gone[i]);
}

static void tick (links_t *self)
{
    if (core_wake (self->core) <= self->now) {
        event_t event = {.type = EVENT_TICK};
        links_step (self, &event);
    }
    if (self->now < self->tick_at)
        return;
    self->tick_at = self->now + SEC;
    forget_sessions (self);
    stall_tick (self);
    agree_tick (self);
    roster_chores (self);
    reads_tick (self);
    lost_tick (self);
}

static int next_wait (const links_t *self)
{
    uint64_t next = core_wake (self->core);
    uint64_t now = clock_mono ();

    if (self->tick_at < next)
        next = self->tick_at;
    if (self->stopping && self->stop_by < next)
        next = self->stop_by;
    if (self->blocked && now + RETRY_NS < next)
        next = now + RETRY_NS;
    return next <= now ? 0 : (int)((next - now + MS - 1) / MS);
}

static bool stopped (const links_t *self)
{
    bool leads = self->role == JOURNAL_LEADER && self->voters > 1;

    return self->stopping &&
           ((pending_idle (self->pending) && !leads) || self->now >= self->stop_by);
}

enum item {
    ITEM_STOP,
    ITEM_MAIL,
    ITEM_FRONT_MONITOR,
    ITEM_BACK_MONITOR,
    ITEM_PULSE_MONITOR,
    ITEM_ANNOUNCE_MONITOR,
    ITEM_PULSE,
    ITEM_BACK,
    ITEM_FRONT,
    ITEMS
};

void *links_run (void *arg)
{
    links_t *self = arg;
    zmq_pollitem_t items[ITEMS] = {
        [ITEM_STOP] = {.fd = self->stop_fd, .events = ZMQ_POLLIN},
        [ITEM_MAIL] = {.fd = mailbox_fd (self->config.mail), .events = ZMQ_POLLIN},
        [ITEM_FRONT_MONITOR] = {.socket = self->front.monitor, .events = ZMQ_POLLIN},
        [ITEM_BACK_MONITOR] = {.socket = self->back.monitor, .events = ZMQ_POLLIN},
        [ITEM_PULSE_MONITOR] = {.socket = self->pulse_monitor, .events = ZMQ_POLLIN},
        [ITEM_ANNOUNCE_MONITOR] = {.socket = self->announce_monitor,
                                   .events = ZMQ_POLLIN},
        [ITEM_PULSE] = {.socket = self->pulse, .events = ZMQ_POLLIN},
        [ITEM_BACK] = {.socket = self->back.sock, .events = ZMQ_POLLIN},
        [ITEM_FRONT] = {.socket = self->front.sock, .events = ZMQ_POLLIN},
    };

    while (!stopped (self)) {
        /* Clients wait in their queues while storage has enough to do, and are refused
         * while it hangs. */
        bool enough = self->n_asked >= ASKED_MAX && !self->stall.hangs;
        int n = self->stopping || enough ? ITEM_FRONT : ITEMS;
        int rc = zmq_poll (items, n, next_wait (self));
        if (rc < 0 && errno != EINTR)
            break;
        self->now = clock_mono ();
        look_at_clock (self);
        daemon_beat ();
        if (items[ITEM_STOP].revents && !self->stopping) {
            self->stopping = true;
            self->stop_by = self->now + STOP_NS;
            /* Another one leads before this one is gone. */
            if (self->role == JOURNAL_LEADER && self->voters > 1)
                journal_transfer (self->journal, NULL, 0);
            items[ITEM_STOP].events = 0;
        }
        if (items[ITEM_FRONT_MONITOR].revents)
            front_closed (self);
        if (items[ITEM_BACK_MONITOR].revents)
            back_closed (self);
        knock_drain (&self->pulse_knock, "pulse", self->pulse_monitor, self->now);
        knock_drain (&self->announce_knock, "announce", self->announce_monitor,
                     self->now);
        drain_mail (self);
        if (items[ITEM_PULSE].revents)
            pulse_drain (self);
        if (items[ITEM_BACK].revents)
            back_drain (self);
        if (n == ITEMS && items[ITEM_FRONT].revents)
            front_drain (self);
        tick (self);
        act_run (self);
        pending_flush (self);
        reads_flush (self);
        self->blocked = outbox_retry (&self->front);
        self->blocked |= outbox_retry (&self->back);
    }
    return NULL;
}
