/* SPDX-License-Identifier: MPL-2.0 */
/* What the core hears (events) and what it wants done (actions): plain structs without
 * protobuf, sockets or clocks. Threading: owned by whoever owns the core.
 *
 * Ownership: pointers in an event are borrowed during core_step. Pointers in an action
 * point into its actions_t and are valid until actions_reset. Times are nanoseconds;
 * worker ids are member ids of the log (> 0); tokens are the core's and are echoed. */
#ifndef BROKER_CORE_EVENT_H
#define BROKER_CORE_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "msgs/copykey.h"
#include "msgs/grant.h"
#include "msgs/node.h"

#define CORE_NAME_MAX     64  /* node name, with its NUL */
#define CORE_HOST_MAX     256 /* advertised host, with its NUL */
#define CORE_LOCATION_MAX 256 /* "dc1/rack1/host1", with its NUL */
#define CORE_TROUBLE_MAX  208
#define CORE_STORES       16 /* disks of one worker */
#define CORE_COPIES       32 /* copies of one chunk that are looked at */
#define CORE_PLACE_ITEMS  256
#define CORE_FETCH_PIECES 256
#define CORE_COMMIT_KEYS  512
#define CORE_VERIFY_KEYS  64
#define CORE_RECLAIM_ROWS 512 /* of one answer or one proposal */
#define CORE_DROP_ITEMS   256 /* of one order */
#define CORE_AVOID        16  /* workers an item asks to avoid; more are ignored */

/* --- shared parts --- */

typedef struct core_member {
    uint32_t id;
    char name[CORE_NAME_MAX];
    char host[CORE_HOST_MAX];
    char location[CORE_LOCATION_MAX];
    uint32_t port; /* ingest */
    uint8_t key[32];
    bool removed;
    bool draining;
} core_member_t;

typedef struct core_policy {
    uint32_t id;
    uint32_t replicas;
    uint32_t min_replicas;
} core_policy_t;

typedef struct core_store {
    uint8_t id[16];
    uint64_t incarnation;
    uint64_t first_seq; /* oldest change still kept by the worker */
    uint64_t last_seq;
    uint64_t capacity;
    uint64_t used;
    uint64_t chunks;
} core_store_t;

/* How far locations are applied. */
typedef struct core_mark {
    uint8_t id[16];
    uint64_t incarnation;
    uint64_t seq;
    uint64_t pages; /* of a listing: so many may be sent; 0: not said */
} core_mark_t;

/* KIND has the numbers of LocationKind in control.proto. */
enum core_change_kind {
    CHANGE_STORED = 1,
    CHANGE_GONE = 2,
    CHANGE_DAMAGED = 3,
    CHANGE_RENEWED = 4,
};

typedef struct core_change {
    int kind;
    copykey_t key;
    uint64_t birth;
    uint64_t length;
    uint64_t upload;
} core_change_t;

/* One copy as the location table knows it. */
typedef struct core_copy {
    uint32_t worker;
    uint64_t birth;
    bool damaged;
} core_copy_t;

/* A chunk as namespace and locations know it, in the order it was asked for. */
typedef struct core_chunk {
    copykey_t key;
    uint64_t refs; /* 0: no record */
    uint64_t
        length; /* of the copies; as the record says when there are none; 0 unknown */
    uint32_t replicas;  /* strictest policy that refers to it; 0 when there is none */
    uint64_t condemned; /* log index, 0: not */
    bool recorded;      /* the namespace has a record of it */
    uint32_t n_copies;
    core_copy_t copies[CORE_COPIES];
} core_chunk_t;

/* A chunk on its way out, or a copy that counts as gone (worker > 0). */
typedef struct core_reclaim {
    copykey_t key;
    uint64_t length;  /* condemning what has no record */
    uint64_t index;   /* since when */
    uint64_t time_ns; /* log time then */
    uint32_t worker;
    uint64_t limit; /* births before that */
    bool trim;      /* other copies are enough; else the chunk is condemned */
    uint32_t n_keep;
    uint32_t keep[CORE_COPIES]; /* a trim counts on these */
} core_reclaim_t;

/* What an entry did that placement must know before anything else is decided. The
 * numbers are those of namespace.h. */
enum core_effect_kind {
    CORE_CONDEMNED,
    CORE_LIFTED,
    CORE_DROP,
    CORE_DROPPED,
    CORE_FORGOTTEN,
    CORE_HOLD,
};

typedef struct core_effect {
    int kind;
    copykey_t key;
    uint64_t index;
    uint32_t worker;
    uint64_t limit;
    bool trim;
} core_effect_t;

enum core_reclaim_list {
    CORE_LIST_FREE,
    CORE_LIST_CONDEMNED,
    CORE_LIST_DROPS,
};

/* --- events --- */

enum event_type {
    EVENT_TICK = 1, /* nothing but the time: core_wake () has come */
    /* from the log (at start all of them, then each change) */
    EVENT_ROLE,   /* role: this broker leads or not, under this epoch */
    EVENT_MEMBER, /* member: a worker was added, changed or removed */
    EVENT_POLICY, /* policy */
    /* of a worker; each also counts as a sign of life */
    EVENT_WORKER_HELLO,  /* hello */
    EVENT_WORKER_CLOSED, /* worker.id, worker.conn: that connection is gone */
    EVENT_WORKER_HEARD,  /* worker.id: any other message of it (at most a few a second
                            need be told) */
    EVENT_HEARTBEAT,     /* heartbeat */
    EVENT_PROBE_RESULT,  /* probe */
    EVENT_CHANGES,       /* changes */
    EVENT_REFUSED,      /* refused: a worker did not take a chunk; the client is told by
                           the reactor only when the core says so (ACTION_DURABLE) */
    EVENT_PROGRESS,     /* progress: a Credit message passed by */
    EVENT_ORDER_RESULT, /* order: of replicate and verify orders */
    EVENT_YIELDED,      /* yielded: pieces a worker gives back */
    EVENT_SEND_REFUSED, /* send_refused: pieces a worker would not send */
    /* of clients */
    EVENT_SESSION_OPEN, /* session: new, or resumed */
    EVENT_SESSION_GONE, /* session.id: its connection is gone for good */
    EVENT_PLACE,        /* place */
    EVENT_COMMIT,       /* commit: may this Commit or Stage be proposed? */
    EVENT_COMMITTED, /* committed: applied (or refused at apply); its pins may go. After
                        a refusal the client places the missing ones again */
    EVENT_UPLOAD_DONE, /* upload: committed whole, or dropped */
    EVENT_FETCH,       /* fetch */
    EVENT_CANCEL,      /* cancel */
    EVENT_VERIFY,      /* verify */
    /* of storage: answers to actions */
    EVENT_MARKS_FOUND,       /* marks */
    EVENT_LOCATIONS_APPLIED, /* applied */
    EVENT_CHUNKS_FOUND,      /* chunks */
    EVENT_EXTENTS_FOUND,     /* extents */
    EVENT_SCANNED,           /* scanned */
    EVENT_RECLAIM_FOUND,     /* reclaim */
    EVENT_BYTES_FOUND,       /* bytes */
    /* of the log */
    EVENT_EFFECTS,  /* effects: of entries that were applied, before all else */
    EVENT_PROPOSED, /* proposed: what became of ACTION_PROPOSE */
    /* of an operator */
    EVENT_REPAIR_RESUME, /* ends a hold of repair */
    EVENT_REBALANCE,     /* begin (or go on) now */
    EVENT_LOOK_AGAIN,    /* files changed their policy: every chunk is looked at */
};

typedef struct event_role {
    bool leader;
    uint32_t incarnation;
    uint64_t term;
} event_role_t;

typedef struct event_worker {
    uint32_t id;
    uint64_t conn; /* the reactor's number of the connection, > 0, never used again */
} event_worker_t;

typedef struct event_hello {
    uint32_t worker;
    uint64_t conn;
    uint64_t incarnation; /* of its process */
    const char *host;     /* NULL: as in the member record */
    uint32_t port;        /* 0: as in the member record */
    const char *location; /* NULL: as in the member record */
    const core_store_t *stores;
    size_t n_stores; /* at most CORE_STORES */
} event_hello_t;

typedef struct event_heartbeat {
    uint32_t worker;
    uint64_t incarnation; /* of another process than the hello's: ignored */
    uint64_t number;
    int condition; /* enum worker_condition */
    uint64_t capacity;
    uint64_t used;
    uint64_t chunks;
    uint32_t cpu_permille;
    uint32_t disk_permille;
    uint64_t memory;
    uint64_t ingest_queued;
    uint64_t stream_queued;
    uint32_t streams;
    uint64_t interval_ns; /* 0: the configured one */
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t cache_hits;
    uint64_t cache_misses;
    uint32_t scrub_passes;
    uint64_t scrubbed;
    uint64_t scrub_damaged;
    char trouble[CORE_TROUBLE_MAX]; /* of a disk, for a person; empty: none */
    const core_store_t *stores;     /* last_seq of each, may be NULL */
    size_t n_stores;
} event_heartbeat_t;

enum probe_outcome {
    PROBE_OPEN,    /* connected: somebody listens */
    PROBE_REFUSED, /* the host answers, the port does not */
    PROBE_SILENT,  /* no answer in time, unreachable, name not found */
};

typedef struct event_probe {
    uint32_t worker;
    uint64_t probe; /* of the action */
    int outcome;    /* enum probe_outcome */
} event_probe_t;

typedef struct event_changes {
    uint32_t worker;
    uint64_t conn;
    uint8_t store[16];
    uint64_t incarnation; /* of the store */
    uint64_t first_seq;
    uint64_t last_seq; /* of the store now, 0 unknown */
    bool inventory;
    bool inventory_end;
    bool counted;    /* a listing's pages are numbered, all of them */
    uint64_t page;   /* its number then; without items and not the last: a question */
    bool unreadable; /* only the store is known of what came */
    const core_change_t *items;
    size_t n;
} event_changes_t;

typedef struct event_refused {
    uint32_t worker;
    uint64_t session; /* 0: a worker was the sender */
    uint64_t upload;  /* 0 not known */
    copykey_t key;
    int code;
} event_refused_t;

typedef struct event_progress {
    uint32_t worker;
    uint64_t session;
    uint64_t upload;
    copykey_t key;
    uint64_t consumed;
} event_progress_t;

typedef struct core_verified {
    copykey_t key;
    int code; /* DFS_OK, DFS_ENOENT, DFS_EDAMAGED, DFS_EIO, DFS_ETIMEOUT, DFS_EUNAVAIL
               */
    uint32_t worker; /* in actions; ignored in events */
    uint64_t bytes;
    uint64_t verified_at; /* the worker's wall clock, 0 never or not known */
} core_verified_t;

typedef struct event_order {
    uint32_t worker;
    uint64_t order;
    int code;
    const core_verified_t *verified; /* may come in parts: the order ends when all keys
                                        have come, or with code != DFS_OK */
    size_t n;
} event_order_t;

typedef struct event_send_refused {
    uint32_t worker;
    uint64_t session;
    uint64_t bytes; /* length of the pieces, 0 not known */
} event_send_refused_t;

typedef struct core_send_piece {
    uint64_t piece;
    copykey_t key;
    uint64_t offset;
    uint64_t length;
    bool keep; /* actions: the worker shall not give it back */
} core_send_piece_t;

typedef struct event_yielded {
    uint32_t worker;
    uint64_t session;
    const core_send_piece_t *pieces; /* at most CORE_FETCH_PIECES */
    size_t n;
} event_yielded_t;

typedef struct event_session {
    uint64_t id;
    uint32_t user;
    uint8_t client_key[32]; /* zeros without security */
    const char *location;   /* of the client, may be NULL */
} event_session_t;

typedef struct event_place_item {
    copykey_t key;
    uint64_t length;
    const uint32_t *avoid;
    size_t n_avoid;
} event_place_item_t;

typedef struct event_place {
    uint64_t session;
    uint64_t seq; /* of the request, echoed */
    uint64_t upload;
    uint32_t policy; /* 0: the default, 1 */
    const event_place_item_t *items;
    size_t n;
} event_place_t;

/* Keys of the chunk extents (not holes, not inline) that the entry itself names; pages
 * staged before were checked when they were staged. */
typedef struct event_commit {
    uint64_t session;
    uint64_t token; /* the reactor's, echoed */
    uint32_t policy;
    const copykey_t *keys;
    size_t n;
    const uint64_t *lengths; /* that the entry says they have; NULL: not told */
} event_commit_t;

typedef struct event_committed {
    uint64_t session;
    const copykey_t *keys;
    size_t n;
} event_committed_t;

typedef struct event_upload {
    uint64_t session;
    uint64_t upload;
} event_upload_t;

typedef struct event_piece {
    uint64_t piece; /* the client's number */
    uint64_t inode;
    uint64_t version;
    uint64_t extent_offset; /* in the file */
    uint64_t offset;        /* in the chunk */
    uint64_t length;
    uint32_t avoid[CORE_AVOID];
    uint32_t n_avoid;
    bool second; /* somebody else sends it already, but slowly */
} event_piece_t;

typedef struct event_fetch {
    uint64_t session;
    uint64_t seq;
    const event_piece_t *pieces;
    size_t n;
} event_fetch_t;

typedef struct event_cancel {
    uint64_t session;
    const uint64_t *pieces; /* n = 0: everything of the session */
    size_t n;
} event_cancel_t;

/* The reactor has looked up the chunks of a page of the file. */
typedef struct event_verify {
    uint64_t session;
    uint64_t seq;
    const core_chunk_t *chunks; /* at most CORE_VERIFY_KEYS */
    size_t n;
    bool peek; /* hash nothing: are they there, when were they verified */
} event_verify_t;

typedef struct event_marks {
    uint64_t token;
    const core_mark_t
        *marks; /* one per store asked for, in order; seq 0: nothing known */
    size_t n;
    int code; /* != DFS_OK: what is known cannot be told, n = 0 */
} event_marks_t;

typedef struct event_applied {
    uint64_t token;
    int code; /* DFS_OK; DFS_ESTALE: a gap, nothing changed; others: disk trouble */
    uint64_t mark; /* of the store now (0: an inventory is not complete) */
} event_applied_t;

typedef struct event_chunks {
    uint64_t token;
    int code;                   /* != DFS_OK: could not be looked up, n = 0 */
    const core_chunk_t *chunks; /* as asked, in order */
    size_t n;
} event_chunks_t;

typedef struct event_extent {
    int code; /* DFS_OK; DFS_ESTALE (version gone), DFS_EINVAL (no such extent, or
                 offset and length beyond the chunk): echoed for the piece */
    core_chunk_t chunk;
} event_extent_t;

typedef struct event_extents {
    uint64_t token;
    int code;
    const event_extent_t *extents; /* as asked, in order */
    size_t n;
} event_extents_t;

typedef struct event_scanned {
    uint64_t token;
    int code;
    const core_chunk_t *chunks; /* in key order behind `after` of the action */
    size_t n;
    bool more;
} event_scanned_t;

typedef struct event_reclaim {
    uint64_t token;
    int code;
    const core_reclaim_t *rows;
    size_t n;
    bool more;
    bool held; /* as it is now */
    uint64_t hold_index;
} event_reclaim_t;

typedef struct core_bytes {
    uint32_t worker;
    uint64_t bytes; /* of the copies that are known there */
} core_bytes_t;

typedef struct event_bytes {
    uint64_t token;
    const core_bytes_t *rows; /* one for each worker asked for */
    size_t n;
} event_bytes_t;

typedef struct event_effects {
    const core_effect_t *items;
    size_t n;
} event_effects_t;

typedef struct event_proposed {
    uint64_t token;
    int code;
} event_proposed_t;

typedef struct event {
    enum event_type type;
    uint64_t now;       /* monotonic */
    uint64_t log_time;  /* log time now */
    uint64_t log_index; /* applied */
    bool clock_off;     /* log time is in doubt */
    union {
        event_role_t role;
        core_member_t member;
        core_policy_t policy;
        event_worker_t worker;
        event_hello_t hello;
        event_heartbeat_t heartbeat;
        event_probe_t probe;
        event_changes_t changes;
        event_refused_t refused;
        event_progress_t progress;
        event_order_t order;
        event_yielded_t yielded;
        event_send_refused_t send_refused;
        event_session_t session;
        event_place_t place;
        event_commit_t commit;
        event_committed_t committed;
        event_upload_t upload;
        event_fetch_t fetch;
        event_cancel_t cancel;
        event_verify_t verify;
        event_marks_t marks;
        event_applied_t applied;
        event_chunks_t chunks;
        event_extents_t extents;
        event_scanned_t scanned;
        event_reclaim_t reclaim;
        event_bytes_t bytes;
        event_effects_t effects;
        event_proposed_t proposed;
    } u;
} event_t;

/* --- actions --- */

enum action_type {
    /* to storage; each is answered by one event with its token */
    ACTION_LOOKUP_MARKS = 1, /* marks -> EVENT_MARKS_FOUND; the stores named are all
                                that the worker has: copies in others, or in another
                                incarnation, are gone */
    ACTION_LOCATIONS_APPLY,  /* apply -> EVENT_LOCATIONS_APPLIED */
    ACTION_LOOKUP_CHUNKS,    /* chunks -> EVENT_CHUNKS_FOUND */
    ACTION_LOOKUP_EXTENTS,   /* extents -> EVENT_EXTENTS_FOUND */
    ACTION_SCAN_WORKER,      /* scan -> EVENT_SCANNED */
    ACTION_LOOKUP_RECLAIM,   /* reclaim -> EVENT_RECLAIM_FOUND */
    ACTION_LOOKUP_BYTES,     /* bytes -> EVENT_BYTES_FOUND */
    /* to workers */
    ACTION_WELCOME,      /* welcome: answer the hello on that connection */
    ACTION_CHANGES_ACK,  /* ack */
    ACTION_REPLICATE,    /* replicate */
    ACTION_VERIFY_ORDER, /* verify_order */
    ACTION_DROP_ORDER,   /* drop_order: answered by EVENT_ORDER_RESULT, key by key */
    ACTION_SEND_ORDER,   /* send */
    ACTION_CANCEL_ORDER, /* cancel */
    ACTION_YIELD_ORDER,  /* yield: give back pieces that wait -> EVENT_YIELDED */
    ACTION_DIRECTORY,    /* directory: whole, to every worker */
    ACTION_PROBE,        /* probe: connect to its ingest, answer EVENT_PROBE_RESULT */
    ACTION_CLOSE,        /* close: this connection was replaced or may not stay */
    /* to all */
    ACTION_ANNOUNCE, /* announce: publish now */
    /* to clients */
    ACTION_PLACED,       /* placed: answer, or a further part of it */
    ACTION_DURABLE,      /* durable */
    ACTION_FETCHING,     /* fetching: answer */
    ACTION_VERIFY_REPLY, /* verify_reply: answer */
    /* to the reactor itself */
    ACTION_COMMIT_OK,      /* commit_ok: propose it */
    ACTION_COMMIT_REFUSED, /* commit_refused: answer it */
    ACTION_PROPOSE,        /* propose: an entry of the broker's own -> EVENT_PROPOSED */
    ACTION_LOG,            /* log: a line for the log */
};

typedef struct action_lookup_marks {
    uint64_t token;
    uint32_t worker;
    const core_store_t *stores;
    size_t n;
    bool later; /* behind everything of this worker that is for later */
} action_lookup_marks_t;

typedef struct action_apply {
    uint64_t token;
    uint32_t worker;
    uint8_t store[16];
    uint64_t incarnation;
    uint64_t first_seq;
    bool inventory;
    bool inventory_begin; /* its first page: start from nothing */
    bool inventory_end;
    bool later; /* when there is nothing else to do; those for later keep their order */
    const core_change_t *items;
    size_t n;
} action_apply_t;

typedef struct action_lookup_chunks {
    uint64_t token;
    const copykey_t *keys;
    size_t n;
} action_lookup_chunks_t;

typedef struct action_lookup_extents {
    uint64_t token;
    const event_piece_t *pieces;
    size_t n;
} action_lookup_extents_t;

/* Copies of a worker, in key order behind AFTER, with facts and all locations. Worker
 * 0: every chunk that has references, whether it has copies or not. */
typedef struct action_scan {
    uint64_t token;
    uint32_t worker;
    bool from_start;
    copykey_t after;
    size_t max;
} action_scan_t;

typedef struct action_welcome {
    uint32_t worker;
    uint64_t conn;
    const core_mark_t *marks;
    size_t n;
} action_welcome_t;

typedef struct action_ack {
    uint32_t worker;
    uint64_t conn;
    core_mark_t mark;
} action_ack_t;

typedef struct core_address {
    uint32_t id;
    const char *name;
    const char *host;
    const char *location;
    uint32_t port;
    uint8_t key[32];
    int state; /* enum worker_state */
} core_address_t;

typedef struct action_replicate {
    uint64_t order;
    uint32_t worker; /* the source */
    grant_t grant;   /* key_id is the reactor's to set before it is sealed */
    const core_address_t *targets;
    size_t n_targets;
} action_replicate_t;

typedef struct action_verify_order {
    uint64_t order;
    uint32_t worker;
    const copykey_t *keys;
    size_t n;
    bool peek;
} action_verify_order_t;

typedef struct action_drop_order {
    uint64_t order;
    uint32_t worker;
    const core_reclaim_t *items; /* key and limit; at most CORE_DROP_ITEMS */
    size_t n;
} action_drop_order_t;

typedef struct action_reclaim {
    uint64_t token;
    int list; /* enum core_reclaim_list */
    bool from_start;
    core_reclaim_t after;
    size_t max;
} action_reclaim_t;

typedef struct action_bytes {
    uint64_t token;
    const uint32_t *workers;
    size_t n;
} action_bytes_t;

enum core_proposal {
    PROPOSE_CONDEMN, /* key, length */
    PROPOSE_DROP, /* key, worker, limit; all with the same `trim`, a trim with keep */
    PROPOSE_DROPPED, /* key, worker, limit */
    PROPOSE_FORGET,  /* key */
    PROPOSE_HOLD,    /* why */
};

typedef struct action_propose {
    uint64_t token;
    int what;                    /* enum core_proposal */
    const core_reclaim_t *items; /* at most CORE_RECLAIM_ROWS */
    size_t n;
    const char *why;
} action_propose_t;

typedef struct action_send {
    uint32_t worker;
    uint64_t session;
    uint8_t client_key[32];
    const core_send_piece_t *pieces;
    size_t n;
} action_send_t;

typedef struct action_cancel {
    uint32_t worker;
    uint64_t session;
    const uint64_t *pieces; /* n = 0: all, the session is gone */
    size_t n;
} action_cancel_t;

typedef struct action_yield {
    uint32_t worker;
    uint64_t bytes;
} action_yield_t;

typedef struct action_directory {
    uint64_t version;
    const core_address_t *workers;
    size_t n;
} action_directory_t;

typedef struct action_probe {
    uint32_t worker;
    uint64_t probe;
    const char *host;
    uint32_t port;
    uint64_t timeout_ns;
} action_probe_t;

typedef struct action_close {
    uint32_t worker;
    uint64_t conn;
} action_close_t;

typedef struct action_announce {
    uint64_t number;
    uint64_t directory_version;
    const uint32_t *lost; /* workers that are dead */
    size_t n_lost;
} action_announce_t;

typedef struct core_placed {
    copykey_t key;
    uint64_t index; /* log index of the answer */
    bool have;
    int code;        /* < 0: neither have nor send */
    grant_t grant;   /* send: n_targets > 0; key_id is the reactor's to set */
    uint64_t credit; /* bytes that may be unacknowledged; 0: all of it */
    uint32_t copies; /* that a Durable will promise */
} core_placed_t;

typedef struct action_placed {
    uint64_t session;
    uint64_t seq;
    uint64_t upload;
    const core_placed_t *items;
    size_t n;
    const core_address_t *workers; /* each target named in items */
    size_t n_workers;
    bool last; /* no further part follows */
} action_placed_t;

typedef struct core_durable {
    uint64_t upload;
    copykey_t key;
    uint32_t copies;
    int code; /* < 0: must be placed again */
} core_durable_t;

typedef struct action_durable {
    uint64_t session;
    const core_durable_t *items;
    size_t n;
} action_durable_t;

typedef struct core_fetching {
    uint64_t piece;
    uint32_t worker; /* 0: none, see code */
    int code;
} core_fetching_t;

typedef struct action_fetching {
    uint64_t session;
    uint64_t seq; /* 0: not asked for, others send these pieces now */
    int code;     /* of the whole request */
    const core_fetching_t *pieces;
    size_t n;
} action_fetching_t;

typedef struct action_verify_reply {
    uint64_t session;
    uint64_t seq;
    int code;
    const core_verified_t *replicas;
    size_t n;
    uint32_t chunks;
} action_verify_reply_t;

typedef struct action_commit_ok {
    uint64_t session;
    uint64_t token;
    uint32_t copies; /* fewest of any chunk; UINT32_MAX when there are no chunks */
} action_commit_ok_t;

typedef struct action_commit_refused {
    uint64_t session;
    uint64_t token;
    int code; /* DFS_EMISSING: place and send `missing` again; DFS_EINVAL: a chunk has
                 another length; others: try later */
    const copykey_t *missing;
    size_t n;
} action_commit_refused_t;

typedef struct action_log {
    int level;         /* enum log_level */
    const char *event; /* static */
    const char *text;  /* key=value … */
} action_log_t;

typedef struct action {
    enum action_type type;
    union {
        action_lookup_marks_t marks;
        action_apply_t apply;
        action_lookup_chunks_t chunks;
        action_lookup_extents_t extents;
        action_scan_t scan;
        action_reclaim_t reclaim;
        action_bytes_t bytes;
        action_drop_order_t drop_order;
        action_propose_t propose;
        action_welcome_t welcome;
        action_ack_t ack;
        action_replicate_t replicate;
        action_verify_order_t verify_order;
        action_send_t send;
        action_cancel_t cancel;
        action_yield_t yield;
        action_directory_t directory;
        action_probe_t probe;
        action_close_t close;
        action_announce_t announce;
        action_placed_t placed;
        action_durable_t durable;
        action_fetching_t fetching;
        action_verify_reply_t verify_reply;
        action_commit_ok_t commit_ok;
        action_commit_refused_t commit_refused;
        action_log_t log;
    } u;
} action_t;

/* --- list of actions --- */

typedef struct actions actions_t;

actions_t *actions_new (void);
void actions_destroy (actions_t **self_p);
/* In order; pointers are valid until actions_reset. */
size_t actions_count (const actions_t *self);
const action_t *actions_at (const actions_t *self, size_t i);
/* Forgets all; memory is kept for the next steps. */
void actions_reset (actions_t *self);

/* For the core: a zeroed action of TYPE at the end (valid until the next one is added),
 * and memory that lives as long as the actions. */
action_t *actions_add (actions_t *self, enum action_type type);
void *actions_alloc (actions_t *self, size_t size);
void *actions_dup (actions_t *self, const void *data, size_t size);

#endif
