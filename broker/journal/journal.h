/* SPDX-License-Identifier: MPL-2.0 */
/* The replicated log: propose entries, hear which are committed. With one broker it is
 * a cluster of one voter on the same write-ahead log. The journal runs threads of its
 * own; journal_… may be called from any one thread at a time, callbacks run on the
 * journal's threads and must only hand over (no blocking, no call back into the
 * journal), but for `address` and the three about states.
 *
 * A broker is known by its name (configuration, key) and by the id of its disk: one
 * that has lost its data comes back with another id, is no voter until
 * journal_replace, and can break no promise of the one before. The first
 * configuration is written by the first broker of the list, once all of them have been
 * heard and none has ever had a log. */
#ifndef BROKER_JOURNAL_JOURNAL_H
#define BROKER_JOURNAL_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

typedef struct journal journal_t;

#define JOURNAL_NAME    64 /* of a broker, with the NUL */
#define JOURNAL_MEMBERS 16

enum journal_role { JOURNAL_FOLLOWER, JOURNAL_CANDIDATE, JOURNAL_LEADER };

typedef struct journal_entry {
    uint64_t index;
    uint64_t term;
    const void *data; /* borrowed during the callback */
    size_t len;
    uint64_t cookie; /* of the proposal when made here in this run, else 0 */
} journal_entry_t;

typedef struct journal_events {
    /* Committed entries in order, each exactly once in a run, starting behind `applied`
     * of the config. A batch is what one fsync covered. */
    void (*committed) (const journal_entry_t *entries, size_t n, void *arg);
    /* Proposals that will never commit (lost leadership). */
    void (*dropped) (const uint64_t *cookies, size_t n, int code, void *arg);
    /* At each change of role, term or leader, whose name it is ("": not known). LEADER
     * only when an entry of TERM is committed and all up to it has been delivered. */
    void (*role) (enum journal_role role, uint64_t term, const char *leader, void *arg);
    /* Answer to journal_read_point: reads at INDEX or later are linearizable; code < 0
     * when that could not be confirmed. */
    void (*read_point) (uint64_t cookie, int code, uint64_t index, void *arg);
    /* A write or fsync failed: nothing more will be committed by this process. */
    void (*failed) (const dfs_error_t *err, void *arg);
    /* Answer to journal_transfer and journal_replace; TEXT says why CODE < 0. May be
     * NULL. */
    void (*answered) (uint64_t cookie, int code, const char *text, void *arg);
    /* Another set of voters is committed, or this broker's part in it. May be NULL. */
    void (*members) (void *arg);
    void *arg;
} journal_events_t;

typedef struct journal_broker {
    const char *name;
    uint8_t key[32]; /* CURVE public key, with security */
} journal_broker_t;

/* How brokers reach each other; zeroed for a broker alone. */
typedef struct journal_peers {
    void *zmq;                          /* context (borrowed) */
    const struct sock_identity *secret; /* borrowed */
    struct zap *zap;                    /* borrowed; NULL without security */
    const char *bind;                   /* "*" or a numeric address */
    uint16_t port;                      /* 0: the kernel picks */
    const journal_broker_t *brokers;    /* all of them, this one too; copied */
    size_t n;
    /* Numeric address and port of broker NAME; asked when there is no connection, now
     * and then, on a thread that may wait. */
    int (*address) (const char *name, char *host, size_t cap, uint16_t *port, void *arg,
                    dfs_error_t *err);
    /* On a thread that may wait: writes the state machine as it is on disk, of *INDEX,
     * to the file PATH, durably. */
    int (*copy_state) (const char *path, uint64_t *index, void *arg, dfs_error_t *err);
    /* Likewise: refuses what take_state could not take, touching nothing. May be NULL.
     */
    int (*check_state) (const char *path, uint64_t index, void *arg, dfs_error_t *err);
    /* Likewise: replaces the state machine by the file PATH, of INDEX, durably; it is
     * the one before or this one whenever the process ends. `committed` goes on behind
     * INDEX. */
    int (*take_state) (const char *path, uint64_t index, void *arg, dfs_error_t *err);
    void *arg;
} journal_peers_t;

typedef struct journal_config {
    const char *dir;  /* marked data directory; the log is in DIR/journal */
    uint64_t applied; /* durable applied index of the namespace: replay starts behind */
    uint64_t segment_size;  /* 0: 64 MiB */
    uint64_t trailing;      /* entries kept behind the trim point; 0: 16384 */
    uint64_t log_bytes;     /* of disk for what is kept, about; 0: 2 GiB */
    bool memory_durability; /* no fsync: only when asked for */
    uint64_t id;            /* of this broker's disk; 0: 1 */
    const char *name;       /* of this broker; NULL: "" */
    unsigned election_ms;   /* 0: 300 */
    unsigned heartbeat_ms;  /* 0: 50 */
    unsigned hang_ms;       /* without an end of a write: stuck; 0: 5000 */
    size_t window_bytes;    /* delivered and not yet applied; 0: 64 MiB */
    journal_peers_t peers;
    journal_events_t events;
} journal_config_t;

/* Opens the log (recovers a torn tail; refuses damage in the middle with DFS_EDAMAGED
 * naming segment and offset) and starts. Committed entries behind `applied` are
 * delivered before the role becomes leader. */
journal_t *journal_open (const journal_config_t *config, dfs_error_t *err);
/* Writes what was proposed, then stops. */
void journal_close (journal_t **self_p);

typedef struct journal_proposal {
    const void *data; /* copied */
    size_t len;       /* at most 1 MiB */
    uint64_t cookie;
} journal_proposal_t;

/* Proposes N entries as one batch, in order. DFS_EAGAIN when too much is in flight (64
 * MiB), DFS_ENOTLEADER. */
int journal_propose (journal_t *self, const journal_proposal_t *proposals, size_t n,
                     dfs_error_t *err);
void journal_read_point (journal_t *self, uint64_t cookie);
/* The namespace has INDEX on its own disk: the log may be trimmed up to it. No more is
 * delivered while 64 MiB are not known to be there. */
void journal_applied (journal_t *self, uint64_t index);
/* Makes durable what was delivered, which it is already unless MEMORY_DURABILITY: to be
 * called, by any thread that may wait, before the namespace makes it so, for a log that
 * ends before its namespace is refused. */
int journal_sync (journal_t *self, dfs_error_t *err);

/* The list of brokers was read again: names and keys. */
void journal_brokers (journal_t *self, const journal_broker_t *brokers, size_t n);
/* Port on which this broker hears the others, 0 when it is alone. */
uint16_t journal_port (const journal_t *self);

/* Hands leadership to broker NAME (NULL: whoever has most). Answered by `answered`. */
void journal_transfer (journal_t *self, const char *name, uint64_t cookie);
/* Exchanges the voter OLD for broker FRESH, which may have the same name (a broker that
 * has lost its data) and must have asked to join: it gets everything, becomes a voter,
 * then OLD leaves. Answered by `answered` when all that is committed; asked again, at
 * whoever leads then, it goes on where it was. OLD NULL: FRESH joins. FRESH NULL: OLD
 * leaves. */
void journal_replace (journal_t *self, const char *old, const char *fresh,
                      uint64_t cookie);

/* Why a broker does not come along, as it says itself. */
enum journal_trouble {
    JOURNAL_WELL,
    JOURNAL_STUCK,   /* the disk of its log is full or hangs */
    JOURNAL_REFUSES, /* a state that it needs, and cannot take */
    JOURNAL_HANGS    /* its state machine does not go on */
};

/* What a broker says to the others of its state machine, twice a second. */
typedef struct journal_word {
    uint64_t index;   /* of HASH; 0: none */
    uint8_t hash[16]; /* of the state machine after that entry */
    bool unfit;       /* it is not to be believed: this broker does not lead */
    bool hangs;       /* nor while it does not go on */
} journal_word_t;
/* Copied. An unfit broker, or one that hangs, hands the lead on as soon as there is
 * somebody to take it. */
void journal_say (journal_t *self, const journal_word_t *word);

enum journal_part { JOURNAL_JOINER, JOURNAL_STANDBY, JOURNAL_VOTER };

typedef struct journal_member {
    uint64_t id;
    char name[JOURNAL_NAME];
    enum journal_part part;
    bool self;
    bool connected;    /* something was heard within an election timeout */
    uint64_t match;    /* at the leader: what is known to be durable there */
    uint64_t heard_ns; /* since the last packet; UINT64_MAX: never */
    enum journal_trouble trouble;
    uint64_t sent;    /* bytes of a state on its way there... */
    uint64_t to_send; /* ...of these; 0: none */
    journal_word_t word;
    bool clock_known;     /* it said so lately */
    int64_t clock_off_ns; /* its wall clock less this one's, when it was heard */
} journal_member_t;

typedef struct journal_stats {
    uint64_t term;
    uint64_t point; /* up to here the namespace replaces the log */
    uint64_t first_index;
    uint64_t last_index;
    uint64_t committed;
    enum journal_role role;
    char leader[JOURNAL_NAME]; /* name; "": not known */
    enum journal_part part;    /* of this broker */
    enum journal_trouble trouble;
    char why[256]; /* nothing begins, or this broker does not come along; "": it does */
    /* Voters and standbys of the present configuration, then those who ask to join. */
    size_t n_members;
    journal_member_t members[JOURNAL_MEMBERS];
} journal_stats_t;
void journal_stats (journal_t *self, journal_stats_t *out);

#endif
