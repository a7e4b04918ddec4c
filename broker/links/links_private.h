/* SPDX-License-Identifier: MPL-2.0 */
/* Shared by the files of broker/links. Everything here belongs to the reactor thread.
 */
#ifndef BROKER_LINKS_LINKS_PRIVATE_H
#define BROKER_LINKS_LINKS_PRIVATE_H

#include <pthread.h>

#include "broker/core/core.h"
#include "broker/links/pending.h"
#include "broker/links/reads.h"
#include "broker/links/agree.h"
#include "broker/links/idmap.h"
#include "broker/links/links.h"
#include "broker/links/lost.h"
#include "broker/links/roster.h"
#include "broker/links/probe.h"
#include "broker/links/session.h"
#include "broker/links/stall.h"
#include "broker/links/timekeeper.h"
#include "common/log.h"
#include "common/units.h"

#define DRAIN_MAX 64  /* messages of one socket in one wake */
#define LOST_MAX  256 /* workers named in an announcement */

typedef struct errand errand_t; /* front_brokers.c */

struct links {
    links_config_t config;
    cluster_t *reloaded; /* owned: replaces the one of config */
    uint16_t ports[5];
    void *pulse;
    void *announce;
    void *pulse_monitor;
    void *announce_monitor;
    knock_t pulse_knock;
    knock_t announce_knock;
    link_t front;
    link_t back;
    journal_t *journal;
    storage_t *storage;
    prober_t *prober;
    core_t *core;
    actions_t *actions;
    clients_t *clients;
    pending_t *pending;
    reads_t *reads;
    roster_t *roster;
    lost_t *lost_files;
    job_t *spare; /* list of jobs for the next messages */
    size_t n_spare;
    size_t n_asked;   /* jobs that are at storage */
    size_t n_listing; /* listings, which take long: not among them */
    arena_t *scratch; /* for messages that are built and sent at once */

    pthread_t thread;
    bool running;
    int stop_fd; /* eventfd: links_stop was called */
    bool stopping;
    uint64_t stop_by; /* monotonic */
    int serving_fd;   /* eventfd: links_serves has become true */
    bool served;      /* it said so to serving_fd */
    bool blocked;     /* some peer's queue is full: try again soon */

    uint64_t now;     /* monotonic, of this wake */
    uint64_t started; /* monotonic */
    timekeeper_t time;
    agree_t agree;
    stall_t stall;
    uint64_t log_time;    /* never goes back */
    uint64_t log_time_at; /* when it was that, by the machine's clock */
    uint64_t log_index;   /* applied */
    uint64_t inline_max;  /* longest content that the namespace takes now */
    uint32_t incarnation;
    uint64_t term;
    enum journal_role role;
    char leader[64];
    uint64_t
        role_at; /* monotonic: role, term and leader are what they are since then */

    idmap_t *workers;   /* member id → conn_t of its newest connection */
    idmap_t *near;      /* the workers' connections by address (near.h) */
    uint64_t tick_at;   /* monotonic: once a second */
    uint64_t announced; /* their number */
    uint64_t directory_version;
    Dfs__Worker **directory; /* the workers, as the core last told */
    size_t n_directory;
    arena_t *directory_arena;
    uint32_t lost[LOST_MAX]; /* workers */
    size_t n_lost;

    uint32_t voters;     /* of the journal */
    bool several;        /* the configuration of the start named other brokers */
    errand_t *errands;   /* of operators, with brokers */
    uint64_t log_tokens; /* lines about bad peers that may still be written */
    uint64_t log_filled; /* when tokens were last added */
    uint64_t log_muted;
};

typedef struct mail_reload {
    mail_t head;
    cluster_t *cluster;
} mail_reload_t;

/* --- reactor.c --- */

/* The thread; ARG is the links_t. */
void *links_run (void *arg);

/* Log time now: the wall clock, but never before an entry. */
uint64_t links_log_time (links_t *self);
/* The log is at TIME at least. */
void links_saw_time (links_t *self, uint64_t time);
/* The broker cannot go on, because of TEXT: it ends. */
void links_give_up (links_t *self, const char *text);
/* Steps the core with EVENT (its times are set here). */
void links_step (links_t *self, event_t *event);
/* A job for the next message, and its way back. job_keep before it is handed on. */
job_t *links_job (links_t *self);
void links_release (links_t *self, job_t *job);
/* Sends JOB to storage; it comes back to front_answered. A listing may be refused at
 * once instead. */
void links_ask_storage (links_t *self, job_t *job);
/* A line about a peer's message that was dropped, unless there were too many of them.
 */
void links_drop (links_t *self, const char *link, const envelope_from_t *from,
                 const char *why);
/* What the journal says of this broker's part counts, unless it is not fit for it. */
void links_role_now (links_t *self);
/* This broker leads, and its namespace has its seed and all that was committed under
 * leaders before it, and goes on. */
bool links_serves (const links_t *self);
/* The core decides: this broker leads. */
bool links_leads (const links_t *self);
/* The cluster has other brokers. */
bool links_several (const links_t *self);
/* Name of the broker that leads, as far as this one knows; NULL: not known. */
const char *links_leader (const links_t *self);

/* --- front.c, back.c, pulse.c, announce.c: one socket each --- */

#define GRANT_KEY_ID 1 /* the one HMAC key there is */

void front_drain (links_t *self);
/* Connections that ended. */
void front_closed (links_t *self);
/* Sends JOB->answer to where JOB came from; a peer that is gone or slow loses it. */
void front_reply (links_t *self, job_t *job);
/* Answers at once with CODE. */
void front_refuse (links_t *self, job_t *job, int code, const char *text);
/* Answers that another broker leads, or nobody. */
void front_not_leader (links_t *self, job_t *job);
/* This broker does not lead any more: every client is told, and its session ends. */
void front_leave (links_t *self);
/* Sends to a session's connection, if it has one. */
void front_send (links_t *self, session_t *session, Dfs__Envelope *env);
/* Ends a session: its grace is over. */
void front_forget (links_t *self, session_t *session);
void back_drain (links_t *self);
void back_closed (links_t *self);
void back_send (links_t *self, conn_t *conn, Dfs__Envelope *env);
/* Ends a worker's connection. */
void back_forget (links_t *self, conn_t *conn);
/* The newest connection of a worker, or NULL. */
conn_t *back_worker (links_t *self, uint32_t worker);
void pulse_drain (links_t *self);
/* Publishes. */
void announce_set (links_t *self, const action_announce_t *what);

/* Checks what hellos have in common: cluster, version, name, the key of the connection
 * (DOMAIN says which it may have). */
int hello_check (links_t *self, const job_t *job, Dfs__Role role, const char *domain,
                 dfs_error_t *err);
/* Starts a Welcome in the scratch arena. */
Dfs__Welcome *hello_welcome (links_t *self);

/* --- handlers: (front_table.c, back_table.c say which role each needs) --- */

typedef void (link_handler_f) (links_t *self, conn_t *conn, job_t *job);

link_handler_f front_hello, front_ping, front_stat, front_open, front_by_handle,
    front_list, front_fetch, front_cancel, front_change, front_place, front_status,
    front_admin, front_scrub;
link_handler_f back_hello, back_ping, back_changes, back_stream_ready,
    back_send_refused, back_yielded, back_traced, back_credit, back_refused,
    back_order_result;

typedef struct link_row {
    Dfs__Envelope__BodyCase body;
    link_handler_f *handler;
    Dfs__Role role; /* ROLE_NONE: before the hello */
} link_row_t;

const link_row_t *front_row (Dfs__Envelope__BodyCase body);
const link_row_t *back_row (Dfs__Envelope__BodyCase body);

/* A look-up or listing came back from storage. */
void front_answered (links_t *self, job_t *job);
void front_totals (links_t *self, mail_totals_t *mail);
/* Puts the notes of a status that is filled in but for them. */
void status_notes (links_t *self, const core_status_t *core,
                   Dfs__ClusterStatusReply *out);
/* reclaim and rebalance, for an administrator. */
void front_reclaim (links_t *self, job_t *job);
/* JOB, whose reference is taken, goes on with ROUND when storage has told the totals.
 */
void front_reclaim_round (links_t *self, job_t *job, uint32_t round);
/* What the admin asked for goes on with ROUND: as front_reclaim_round. */
void front_admin_round (links_t *self, job_t *job, uint32_t round);
/* The totals that front_reclaim asked for. */
void front_reclaim_totals (links_t *self, mail_totals_t *mail);
/* What the admin asked for has happened; gives up the reference to JOB. */
void front_admin_done (links_t *self, job_t *job);
void front_verified (links_t *self, const action_verify_reply_t *reply);

/* --- front_policy.c --- */

void front_policies (links_t *self, job_t *job);
void front_policy_set (links_t *self, job_t *job);
/* A policy goes in rounds: a look, an entry, a look again, an entry. */
void front_policy_remove (links_t *self, job_t *job);
void front_policy_round (links_t *self, job_t *job, uint32_t round);
void front_policy_found (links_t *self, mail_policy_t *mail);

/* --- front_brokers.c --- */

/* Fills in the brokers. MEMORY: resident bytes of this one. */
void brokers_put (links_t *self, const mail_totals_t *totals, uint64_t memory,
                  Dfs__ClusterStatusReply *out);
/* Notes (at most MAX) about them; false when one that should be there is not. */
bool brokers_note (links_t *self, Dfs__ClusterStatusReply *out, size_t max);
/* An administrator's request about brokers. */
void front_brokers (links_t *self, job_t *job);
void brokers_answered (links_t *self, const mail_answered_t *mail);
void brokers_clear (links_t *self);

/* --- act.c: what the core wants done --- */

void act_run (links_t *self);
void act_placed (links_t *self, const action_t *action);
void act_durable (links_t *self, const action_t *action);
void act_fetching (links_t *self, const action_t *action);
/* Proposes an entry that the core wants. */
void act_propose (links_t *self, const action_t *action);
/* Tells a worker to begin a scrub pass. */
void act_scrub (links_t *self, conn_t *conn);
/* Zeroed memory of the scratch arena: messages that are built and sent at once. */
void *links_need (links_t *self, size_t size);
char *links_text (links_t *self, const char *text);
/* Worker as messages show it, in the scratch arena. */
Dfs__Worker *links_worker (links_t *self, const core_address_t *address);

#endif
