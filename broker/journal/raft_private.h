/* SPDX-License-Identifier: MPL-2.0 */
/* The driver's own state, for the files of which it is made: raft_start.c,
 * raft_driver.c (steps and what they order), raft_send.c (messages out), raft_reads.c
 * (read points), raft_members.c (changes of the brokers), raft_apply.c (what is
 * committed), raft_points.c (snapshots), raft_disk.c (a disk that does not go on). */
#ifndef BROKER_JOURNAL_RAFT_PRIVATE_H
#define BROKER_JOURNAL_RAFT_PRIVATE_H

#include "raft_driver.h"
#include "raft_guards.h"
#include "raft_tail.h"
#include "raft_wire.h"

#define PEERS_MAX  32
#define READ_BYTES (1024u * 1024) /* from the log at once */

/* Entries sent and not yet confirmed. */
typedef struct raft_flight {
    uint64_t last; /* index of the last one */
    size_t bytes;
} raft_flight_t;

typedef struct raft_peer {
    uint64_t id;
    uint64_t sent;          /* number of the last packet */
    guard_peer_t in;        /* G1 */
    uint64_t pong;          /* last round of pings it answered in this term */
    raft_flight_t *flights; /* in order */
    size_t n_flights;
    size_t flights_cap;
    size_t flying;      /* bytes of them */
    uint64_t flight_at; /* when the last one was sent */
    bool gap;           /* entries behind... */
    uint64_t gap_after; /* ...this one were not sent; the core counts them as sent */
} raft_peer_t;

/* A proposal made here. */
typedef struct raft_cookie {
    uint64_t index;
    uint64_t term;
    uint64_t cookie;
    size_t weight;
} raft_cookie_t;

/* Entries that were delivered and are not known to be applied. */
typedef struct raft_handed {
    uint64_t last; /* index of the last one */
    size_t bytes;
} raft_handed_t;

/* What a proposal, or an entry that is delivered, costs beside its data. */
#define PROPOSAL_OVERHEAD 64

typedef struct raft_read {
    uint64_t cookie;
    uint64_t index;
    uint64_t round; /* of pings that was sent after it came */
} raft_read_t;

struct raft_driver {
    raft_driver_config_t config;
    char address[WIRE_ADDRESS_MAX + 1];
    struct raft r;
    bool running; /* r is initialised */
    dfs_error_t failed;
    raft_tail_t tail;
    guard_writes_t writes;
    raft_point_t point;   /* last snapshot */
    raft_point_t pending; /* being installed */
    uint64_t conf_index;  /* of the last committed configuration, which is... */
    size_t conf_len;
    uint8_t conf[POINT_CONF_MAX];
    uint64_t applied;   /* delivered up to */
    uint64_t seen;      /* committed and durable entries looked at up to */
    uint64_t lead_term; /* this term began with our barrier at... */
    uint64_t lead_index;
    uint64_t founding; /* of the log, or of the leader that a newcomer follows */
    uint64_t heard;    /* when the leader was last heard, ms */
    bool advancing;
    bool abstains;          /* never asks for votes */
    bool mute;              /* the step's messages are not sent */
    enum journal_role role; /* as reported */
    uint64_t role_term;
    uint64_t role_leader;
    raft_peer_t peers[PEERS_MAX];
    size_t n_peers;
    raft_cookie_t *cookies; /* in order of index, those from first_cookie on */
    size_t first_cookie;
    size_t n_cookies; /* end */
    size_t in_flight; /* their weight */
    size_t cookies_cap;
    raft_read_t *reads;
    size_t n_reads;
    size_t reads_cap;
    uint64_t round;
    uint64_t round_at;     /* when the last round was sent */
    raft_handed_t *handed; /* in order, those from first_handed on */
    size_t first_handed;
    size_t n_handed; /* end */
    size_t handed_cap;
    size_t handed_bytes;
    size_t step_left;    /* of what may be delivered at... */
    uint64_t step_at;    /* ...this time */
    bool more;           /* there is something left */
    raft_point_t saving; /* own snapshot on its way to the disk; index 0: none */
    uint64_t saving_keep;
    uint64_t disk_at;    /* when a write last ended, or began with none before it */
    uint64_t no_room_at; /* since when there is no room for any; 0: there is */
    uint64_t handed_on;  /* when the lead was last handed on for that */
    bool stuck;
};

/* Marks what the library must not free. */
extern char raft_borrowed[16];

raft_peer_t *driver_peer (raft_driver_t *self, uint64_t id);
int driver_fail (raft_driver_t *self, int code, const char *fmt, ...)
    __attribute__ ((format (printf, 3, 4)));
/* Steps the core and carries out what it orders. Returns what raft_step did. */
int driver_step (raft_driver_t *self, struct raft_event *event,
                 const struct raft_message *m);
/* Starts the core on what is durable, the log being FIRST to LAST. */
int driver_start (raft_driver_t *self, uint64_t first, uint64_t last, uint64_t term,
                  uint64_t voted_for, uint64_t now);
/* Term of the entry at INDEX, 0 when it is not known. */
uint64_t driver_term_of (raft_driver_t *self, uint64_t index);

/* Delivers what is committed and durable here; begins a leader's term. */
void driver_advance (raft_driver_t *self);
/* Proposals from INDEX on will not commit. */
void driver_drop_cookies (raft_driver_t *self, uint64_t index, int code);
/* Nothing that was delivered waits to be applied any more, up to INDEX. */
void driver_forget_handed (raft_driver_t *self, uint64_t index);

void driver_send_message (raft_driver_t *self, const struct raft_message *m);
/* What RESULT says of the entries on their way to its sender. */
void driver_landed (raft_driver_t *self, uint64_t from,
                    const struct raft_append_entries_result *result);
/* Nothing is on its way any more. */
void driver_ground (raft_driver_t *self);
void driver_send_ping (raft_driver_t *self, uint64_t to, unsigned kind, uint64_t term,
                       uint64_t round);

void driver_reads_pong (raft_driver_t *self, raft_peer_t *peer,
                        const wire_ping_t *pong);
void driver_reads_tick (raft_driver_t *self, uint64_t now);
void driver_reads_drop (raft_driver_t *self);

#endif
