/* SPDX-License-Identifier: MPL-2.0 */
/* What the broker's threads hand to each other through mailboxes: the journal's
 * committed entries, requests that need the namespace or the locations, and their
 * answers. A mail belongs to whoever holds it; pushing it hands it over. */
#ifndef BROKER_STATE_MAIL_H
#define BROKER_STATE_MAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/core/event.h"
#include "broker/journal/journal.h"
#include "broker/namespace/locations.h"
#include "broker/namespace/namespace.h"
#include "common/arena.h"
#include "msgs/envelope.h"

enum mail_kind {
    MAIL_ENTRIES,   /* journal → storage */
    MAIL_JOB,       /* reactor → storage (→ reader) → reactor */
    MAIL_CORE,      /* reactor → storage → reactor */
    MAIL_TOTALS,    /* reactor → storage → reactor */
    MAIL_CHORES,    /* reactor → storage → reactor */
    MAIL_DECIDED,   /* reactor → storage → reactor */
    MAIL_LOST,      /* reactor → storage → reader → reactor */
    MAIL_POLICY,    /* reactor → storage → reader → reactor: what is under one */
    MAIL_APPLIED,   /* storage → reactor */
    MAIL_DURABLE,   /* storage → reactor */
    MAIL_CHECKED,   /* storage → reactor: what the namespace is like on the disk */
    MAIL_DIRECTORY, /* storage → reactor; empty the other way: asks for one */
    MAIL_ROLE,      /* journal → reactor */
    MAIL_DROPPED,   /* journal → reactor */
    MAIL_READ,      /* journal → reactor: a read point */
    MAIL_ANSWERED,  /* journal → reactor: an errand with brokers has ended */
    MAIL_MEMBERS,   /* journal → reactor: other voters */
    MAIL_PROBE,     /* reactor → prober → reactor */
    MAIL_RELOAD,    /* main → reactor */
    MAIL_INSTALL,   /* journal → storage */
    MAIL_STOP,      /* to a thread: end */
};

typedef struct mail {
    enum mail_kind kind;
} mail_t;

/* --- committed entries, with their bytes behind the rows --- */

typedef struct mail_entries {
    mail_t head;
    size_t n;
    journal_entry_t rows[];
} mail_entries_t;

typedef struct applied_row {
    uint64_t cookie;
    uint64_t index;
    Dfs__OpResult *result;
} applied_row_t;

typedef struct mail_applied {
    mail_t head;
    arena_t *arena;      /* holds the results */
    uint64_t index;      /* applied up to here */
    uint64_t time_ns;    /* log time of the last entry */
    uint64_t inline_max; /* longest content that is taken inline by now */
    size_t n;            /* rows of proposals made here; others are not listed */
    applied_row_t *rows;
    core_effect_t *effects; /* of all entries, in order */
    size_t n_effects;
    uint8_t hash[16];        /* of the namespace after INDEX */
    namespace_check_t check; /* the last that an entry brought; index 0: none did */
} mail_applied_t;

typedef struct mail_checked {
    mail_t head;
    bool altered;  /* records are not what was written */
    bool replaced; /* another broker's namespace has taken its place */
} mail_checked_t;

typedef struct mail_durable {
    mail_t head;
    uint64_t index;
} mail_durable_t;

/* Another state takes the place of the tables; the sender waits for `done`. */
typedef struct mail_install {
    mail_t head;
    const char *path;
    uint64_t index;
    int code;
    dfs_error_t *err;
    void *done; /* sem_t */
} mail_install_t;

/* --- a message that came in, until it was answered --- */

typedef struct job {
    mail_t head;
    struct job *next; /* in its owner's list */
    unsigned refs;    /* reactor: who still needs the arena */
    arena_t *arena;   /* holds ENV: a peer decides how full it is */
    arena_t *out;     /* holds what ANSWER points to: bounded by what answers are */
    envelope_from_t from;
    Dfs__Envelope *env;
    uint64_t conn; /* number of the connection it came by */
    uint64_t session;
    uint32_t user;
    uint64_t log_time; /* when it was handed to storage */
    uint64_t expires;  /* clock_mono: from then on nobody wants the answer; 0: never */
    uint64_t index;    /* a listing must see this */
    bool stale;        /* whatever this broker has applied will do */
    Dfs__Envelope answer;
    /* Verify: the chunks of the page asked for, and where the next one starts. */
    core_chunk_t *chunks;
    size_t n_chunks;
    uint64_t next_offset;
    bool more;
    /* A listing of lost files: the chunks without a live copy. */
    copykey_t *lost; /* owned */
    size_t n_lost;
    uint64_t grace_ns; /* of condemned chunks */
} job_t;

/* A page of the files that need a chunk without a live copy. */
typedef struct mail_lost {
    mail_t head;
    copykey_t *keys; /* owned */
    size_t n;
    Dfs__List ask; /* its cursor: in the arena */
    arena_t *arena;
    Dfs__Listing *listing;
    int code;
} mail_lost_t;

/* --- what the core asks of storage: one action, answered by one event --- */

typedef struct mail_core {
    mail_t head;
    arena_t *arena;         /* holds what both point to */
    action_t ask;           /* ACTION_LOOKUP_MARKS … ACTION_SCAN_WORKER */
    event_t answer;         /* type and u; the times are the reactor's */
    core_chunk_t *listed;   /* a scan of all chunks: what the reader found */
    bool read;              /* it has been at the reader */
    struct mail_core *next; /* in storage's list of work for later */
} mail_core_t;

/* --- members, users and policies, whole --- */

typedef struct mail_directory {
    mail_t head;
    arena_t *arena;
    uint64_t asked; /* number of the question that this answers, 0: none */
    bool seeded;
    uint8_t cluster_id[16];
    uint32_t incarnation;
    uint64_t index;
    uint64_t time_ns;
    Dfs__Member **members;
    size_t n_members;
    Dfs__User **users;
    size_t n_users;
    Dfs__Policy *policy; /* the cluster's default; NULL before the seed */
    Dfs__Policy **policies;
    size_t n_policies;
} mail_directory_t;

typedef struct mail_totals {
    mail_t head;
    job_t *job;     /* the request that wants them */
    uint32_t round; /* of what it takes to do what was asked */
    namespace_totals_t totals;
    reclaim_hold_t hold;
    uint64_t applied;
    locations_held_t *disks; /* owned */
    size_t n_disks;
} mail_totals_t;

typedef struct mail_policy {
    mail_t head;
    job_t *job;     /* the request that wants it */
    uint32_t round; /* of what it takes to do what was asked */
    int code;
    policy_use_t use;
} mail_policy_t;

#define CHORES_SESSIONS 256

/* What the leader should propose to keep the log in order. */
typedef struct mail_chores {
    mail_t head;
    uint64_t idle_before; /* log time */
    uint64_t idle_from;   /* the first to look at; in the answer: the next time's */
    uint64_t job;         /* 0: none is open */
    uint64_t prune_now;   /* log time */
    bool prune;           /* there is something to prune... */
    namespace_place_t at; /* ...from here on; in the question: look from here on */
    size_t n_sessions;    /* silent since idle_before */
    uint64_t sessions[CHORES_SESSIONS];
} mail_chores_t;

/* Was this request decided before? */
typedef struct mail_decided {
    mail_t head;
    arena_t *arena; /* holds RESULT */
    uint64_t cookie;
    uint64_t session;
    uint64_t request;
    int code; /* 1: by RESULT; 0: not; negative: cannot be told */
    Dfs__OpResult *result;
} mail_decided_t;

typedef struct mail_probe {
    mail_t head;
    uint32_t worker;
    uint64_t probe;
    uint32_t port;
    uint64_t timeout_ns;
    int outcome; /* enum probe_outcome */
    char host[CORE_HOST_MAX];
} mail_probe_t;

typedef struct mail_role {
    mail_t head;
    enum journal_role role;
    uint64_t term;
    char leader[64];
} mail_role_t;

typedef struct mail_read {
    mail_t head;
    uint64_t cookie;
    int code;
    uint64_t index;
} mail_read_t;

typedef struct mail_answered {
    mail_t head;
    uint64_t cookie;
    int code;
    char text[256];
} mail_answered_t;

typedef struct mail_dropped {
    mail_t head;
    int code;
    size_t n;
    uint64_t cookies[];
} mail_dropped_t;

/* Zeroed, SIZE bytes, with its kind set. Frees with what it owns; NULL is fine. */
void *mail_new (enum mail_kind kind, size_t size);
void mail_free (mail_t *mail);
mail_checked_t *mail_checked_new (bool altered, bool replaced);
/* Copies entries that are borrowed into one mail. */
mail_entries_t *mail_entries_new (const journal_entry_t *entries, size_t n);

/* A question with its arena. */
mail_lost_t *mail_lost_new (void);

/* Copies ASK (an action for storage) with all it points to. */
mail_core_t *mail_core_new (const action_t *ask);

/* An empty job with its arenas. */
job_t *job_new (void);
/* Makes a used job fit for the next message. */
void job_reset (job_t *job);
/* The answer is CODE and TEXT (copied; may be NULL). */
void job_refuse (job_t *job, int code, const char *text);

#endif
