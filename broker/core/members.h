/* SPDX-License-Identifier: MPL-2.0 */
/* Workers: who is a member, which state each is in, what it last said of itself. States
 * change by hellos, heartbeats, silence, closed connections and refused probes; every
 * change is told to the other modules by core_worker_changed. */
#ifndef BROKER_CORE_MEMBERS_H
#define BROKER_CORE_MEMBERS_H

#include "broker/core/domains.h"
#include "broker/core/state.h"

typedef struct members members_t;

/* One disk of a worker, and how far its changes have come. */
typedef struct store_state {
    core_store_t store; /* last_seq: what the worker announced */
    uint64_t goal;      /* last_seq at the hello: until then not all is known */
    uint64_t sent;      /* highest sequence handed to storage on this connection */
    uint64_t mark;      /* applied by storage */
    uint64_t gap_since; /* a hole was met then and asked for; 0 none */
    uint32_t gaps;      /* in a row: nothing was applied in between */
    uint64_t moved;     /* when something of it was applied last, or it was asked for */
    bool inventory;     /* in the middle of a full listing */
    bool listing;       /* its last page has not come */
    bool counted;       /* the pages of its listing are numbered, and given out */
    uint64_t pages;     /* of its listing that came; 0: none has begun */
    uint64_t stored;    /* of those, applied */
    uint64_t given;     /* pages of it that may be sent */
    bool broken;        /* nothing more is taken on this connection */
    bool known;         /* storage said how far it is */
} store_state_t;

typedef struct worker {
    core_member_t member; /* host, port, location as last said by a hello */
    domain_path_t path;
    int state; /* enum worker_state; draining counts as up */
    int condition;
    uint64_t conn; /* 0: none */
    bool welcomed;
    uint64_t incarnation; /* of its process */
    uint64_t heard;       /* 0 never */
    uint64_t since;       /* of its state */
    uint64_t timer;       /* when its timer runs out, 0 none is set */
    uint64_t probe;       /* in the air, 0 none */
    uint64_t probe_next;
    uint64_t refused_since;
    uint32_t flaps; /* of late */
    uint64_t flap_at;
    uint64_t damped_until;  /* gets nothing new before */
    event_heartbeat_t beat; /* without stores */
    bool beaten;
    store_state_t stores[CORE_STORES];
    size_t n_stores;
    bool said_hello;
    bool seen;      /* it was live since it was dead last, or since the start */
    bool known;     /* it has told in this term */
    bool long_dead; /* it was dead already when this term began */
    bool placed;    /* its hello said where it stands */
    bool told;      /* what it had at its hello has come: its copies are known */
    bool doubt;     /* copies told before its marks may be of a store that is gone */
    uint32_t epoch; /* counts the times that a store of it went away */
    size_t later;   /* pieces of work for later that storage has of it */
    bool takes;     /* new chunks: it is one of members_placeable */
    uint64_t named; /* the answer to a Place that names it already */
    bool looked_through; /* draining: all its chunks were looked at since it began */
    uint64_t leaving;    /* of those, chunks that are to be copied elsewhere */
    bool damped;         /* counted: up, and gets nothing new for a while */

    /* credit: bytes of its ingest window given out */
    uint64_t granted;
    /* reading: bytes ordered since its last heartbeat */
    uint64_t ordered;
    /* copying */
    struct seen_by_copier {
        int state;
        bool told;
        bool takes;   /* new chunks */
    } copier_saw;     /* when it was told of a change last */
    uint64_t read_at; /* clients were seen to read from it in earnest then, 0 never */
    uint32_t copying_from;
    uint32_t copying_to;
    uint64_t copying_bytes; /* credit of the orders that it is the target of */
    list_t slots;           /* of grants that wait for it */
    list_t orders;          /* replicate orders that it is the target of */
    list_t sources;         /* replicate orders that it is the source of */
} worker_t;

members_t *members_new (core_t *core);
void members_destroy (members_t **self_p);

/* --- events --- */

void members_member (core_t *core, const core_member_t *member);
void members_hello (core_t *core, const event_hello_t *hello);
void members_marks (core_t *core, const event_marks_t *marks);
void members_closed (core_t *core, uint32_t id, uint64_t conn);
void members_heard (core_t *core, uint32_t id);
void members_heartbeat (core_t *core, const event_heartbeat_t *beat);
void members_probe (core_t *core, const event_probe_t *probe);
void members_timer (core_t *core, uint32_t id);
void members_announce_timer (core_t *core);
/* This step comes LATE ns after the time that was asked for: the broker was away. */
void members_late (core_t *core, uint64_t late);
/* This broker leads now, or does not any more: it is announced at once. */
void members_role (core_t *core);
/* Grants and orders are forgotten. */
void members_forget_work (core_t *core);
/* Sends what this step changed of the directory. */
void members_flush (core_t *core);

/* --- questions --- */

/* Returns borrowed, valid until the worker is removed; NULL when not a member. */
worker_t *members_find (const core_t *core, uint32_t id);
/* Serves reads and counts as a live copy. */
bool worker_live (const worker_t *worker);
/* Not heard enough of, may be back at any moment. */
bool worker_unsure (const worker_t *worker);
/* Bytes that clients were promised from it and do not have yet, as far as is known. */
uint64_t worker_sending (const worker_t *worker);
/* Clients read from it in earnest: copying leaves them room. */
bool worker_read_from (const worker_t *worker);
/* Live, or it was a moment ago: what it has is durable as far as anybody knows. */
bool worker_there (const worker_t *worker);
/* Live, has told what it has, and is not to be emptied: its copies can be counted on.
 */
bool worker_steady (const worker_t *worker);
/* Live or unsure, its disks do not fail, and it is not to be emptied: its copies are
 * there to stay. */
bool worker_stays (const worker_t *worker);
/* What it had when it said hello is applied: its copies are known. */
bool worker_caught_up (const worker_t *worker);
/* Every member has told what it has, in this term: what is not known is not there. */
bool members_all_known (const core_t *core);
/* A term begins: who is away has to tell anew. */
void members_term (core_t *core);
/* Tells the others when WORKER has just said all that it had at its hello, or when the
 * term began or it came back in it. */
void worker_look_told (core_t *core, worker_t *worker);
/* It does not get there: what it tells cannot be used again and again, or nothing comes
 * any more. Nobody waits for it. */
bool worker_behind (const core_t *core, const worker_t *worker);
/* Every worker that is neither dead nor behind has told what it has: what is not known
 * now is not there, or no better than that. */
bool members_caught_up (const core_t *core);
uint64_t worker_free (const worker_t *worker);
/* Refused a chunk for its own sake: nothing new until its next heartbeat. */
void members_condition (core_t *core, worker_t *worker, int condition);
/* All that are not removed. */
worker_t *const *members_all (const core_t *core, size_t *n);
/* Those that take new chunks: those of one domain are next to each other. */
worker_t *const *members_placeable (const core_t *core, size_t *n);
/* The first of those among them that stand in the same domain of LEVEL as PATH, which
 * is deeper than that; *N of them. */
size_t members_run (const core_t *core, const domain_path_t *path, uint32_t level,
                    size_t *n);
size_t members_in_state (const core_t *core, enum worker_state state);
size_t members_unsure (const core_t *core);
/* Somebody who is missing now may take new chunks soon. */
bool members_may_return (const core_t *core);
/* Members that are to be emptied. */
size_t members_drained (const core_t *core);
/* Domains of LEVEL (0: the first component) that members which stay stand in, whether
 * they are there now or not. */
uint32_t members_domains (core_t *core, uint32_t level);
/* Failure domains that lost all their workers since SINCE, and all there are. */
void members_vanished (const core_t *core, uint64_t since, size_t *gone, size_t *all);
uint64_t members_directory (const core_t *core);
/* Address for an action, its text in the actions' memory. */
core_address_t members_address (core_t *core, const worker_t *worker);

/* core.c: WORKER went from state BEFORE to its present one; tells every module. */
void core_worker_changed (core_t *core, worker_t *worker, int before);

#endif
