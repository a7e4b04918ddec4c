/* SPDX-License-Identifier: MPL-2.0 */
/* The journal's own state, for the files of which it is made: journal.c (calls),
 * journal_open.c (what is on disk), engine.c (the thread that runs the consensus core),
 * brokers.c (who is there, who asks to join, changes of the set). */
#ifndef BROKER_JOURNAL_JOURNAL_PRIVATE_H
#define BROKER_JOURNAL_JOURNAL_PRIVATE_H

#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>

#include "journal.h"
#include "lane.h"
#include "peers.h"
#include "point.h"
#include "queue.h"
#include "raft_driver.h"
#include "reader.h"
#include "vote.h"
#include "wal.h"
#include "writer.h"

#define IN_FLIGHT (64u * 1024 * 1024)
#define ENTRY_MAX (1024u * 1024)

/* A hello: version, flags, own id, last index, id of whom it is said to, founding, list
 * of brokers, term; then more. */
#define HELLO_SIZE    88
#define HELLO_VERSION 4
#define HELLO_EMPTY   1  /* I have no log */
#define HELLO_VOTER   2  /* you are a voter in my set of brokers */
#define HELLO_STANDBY 4  /* you are a standby */
#define HELLO_STUCK   8  /* my disk does not go on */
#define HELLO_REFUSES 16 /* I cannot take the state that I need */
#define HELLO_UNFIT   32 /* my state machine is not to be believed */
#define HELLO_HANGS   64 /* my state machine does not go on */

/* What was heard of a broker, by name. */
typedef struct known {
    char name[JOURNAL_NAME];
    uint64_t id; /* the last it gave; 0: not heard */
    uint8_t key[32];
    uint64_t heard; /* ms; 0: never */
    uint64_t hello; /* likewise: when it last said who it is */
    bool empty;     /* has no log, and no set of brokers */
    bool foreign;   /* has the log of another founding */
    uint64_t last;  /* index of its log */
    uint64_t list;  /* its list of brokers, as a number */
    uint64_t term;
    enum journal_trouble trouble;
    bool standby; /* holds this broker for a standby */
    journal_word_t word;
    int64_t clock_off; /* ns: its wall clock less ours, at its last hello */
} known_t;

enum note_kind {
    NOTE_PACKET,
    NOTE_HELLO,
    NOTE_TRANSFER,
    NOTE_REPLACE,
    NOTE_BROKERS,
    NOTE_FETCHED,
    NOTE_NOT_FETCHED,
};

/* What the engine is told. */
typedef struct note {
    struct note *next;
    enum note_kind kind;
    char name[JOURNAL_NAME];  /* sender; voter; OLD */
    char fresh[JOURNAL_NAME]; /* "": none */
    uint64_t cookie;          /* or index of a state */
    known_t *brokers;
    size_t n;
    uint8_t *bytes;
    size_t len;
    dfs_error_t err; /* of a state that was not fetched */
} note_t;

/* A change that was asked for and is not answered. */
typedef struct change {
    bool active;
    uint64_t cookie;
    char old[JOURNAL_NAME];
    char fresh[JOURNAL_NAME];
    uint64_t since;    /* ms */
    uint64_t fresh_id; /* 0: not yet known for sure */
    uint64_t hold_at;  /* proposals were last held for the promotion */
} change_t;

typedef struct transfer {
    bool active;
    uint64_t cookie;
    uint64_t to; /* id; 0: any */
    uint64_t until;
    uint64_t again; /* not tried again before this */
    bool held;      /* proposals are held, for the next try */
} transfer_t;

struct journal {
    journal_events_t events;
    char dir[PATH_MAX];
    char data[PATH_MAX];
    char name[JOURNAL_NAME];
    uint64_t id;
    uint64_t boot;
    uint64_t trailing;
    uint64_t log_bytes;
    unsigned election_ms;
    unsigned heartbeat_ms;
    unsigned hang_ms;
    size_t window_bytes;
    bool memory_durability;
    wal_t *wal;
    vote_t vote;
    point_t point;
    uint64_t start_applied;
    writer_t *writer;
    reader_t *reader;
    peers_t *peers; /* NULL: alone */
    lane_t *lane;
    pthread_t thread;
    atomic_uint_fast64_t applied;

    /* The engine's. */
    raft_driver_t *driver;
    size_t appends;    /* ordered and not yet durable */
    uint64_t appended; /* highest index that was ever ordered */
    uint64_t told;     /* index up to which the core knows what is applied */
    bool stuck;        /* this broker's disk does not go on... */
    bool hangs;        /* ...that of the state machine */
    enum journal_role role;
    uint64_t role_term;
    uint64_t role_leader;
    bool role_said;
    known_t known[JOURNAL_MEMBERS]; /* the first is the first broker of the list */
    size_t n_known;
    bool alone;          /* was started with no other in its list */
    uint64_t waiting_at; /* since when nothing begins; 0: it has begun */
    uint64_t waiting_told;
    char waits_for[200]; /* whom, and why */
    uint64_t hello_at;
    uint64_t grace; /* no timer before this: this process has slept */
    uint64_t hold;  /* no proposals before this */
    bool installing;
    bool install_committed; /* the point is on disk, the log is not empty yet */
    raft_point_t install_point;
    bool install_ready; /* the state is there, up to... */
    bool install_failed;
    uint64_t install_state;
    uint64_t refused_until; /* the state was refused: not asked for before this */
    char refused[256];      /* why; "": it was not */
    uint64_t conf_seen;     /* hash of the set that was last announced */
    change_t change;
    transfer_t transfer;
    bool founding;       /* not all are known to have the first set of brokers */
    uint64_t members_at; /* when they were last published */

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t wake;
    queue_t queues[2];
    queue_t *filling;
    size_t taken;     /* weight of the other queue while it is worked on */
    size_t in_flight; /* of what the core has */
    note_t *notes;
    note_t **notes_end;
    size_t notes_bytes;
    size_t persisted; /* appends not yet told to the core */
    bool point_due;   /* something may be trimmed */
    bool point_done;  /* the writer is done with a point... */
    bool point_saved; /* ...and it is durable */
    bool read_ready;  /* the reader has something */
    bool full;        /* too much waits to be applied */
    bool waiting;     /* the engine sleeps */
    bool stop;
    bool stopping; /* the engine knows */
    dfs_error_t failed;
    journal_stats_t stats;
    journal_word_t word; /* of this broker */
};

/* Opens log, vote and point, and checks that they belong together and to the state
 * machine. */
int journal_open_log (journal_t *self, const journal_config_t *config,
                      dfs_error_t *err);

void *engine_main (void *journal);
/* engine_orders.c. Starts the core on what is on disk; writes the first entry when it
 * is time, and starts on it; goes on with the installation of a state. */
bool engine_start (journal_t *self, uint64_t now);
/* ENTRY NULL: if this broker is to write it. */
void engine_found (journal_t *self, uint64_t now, const uint8_t *entry, size_t len);
void engine_install_work (journal_t *self, uint64_t now);
/* The state that was asked for is not here. */
void engine_not_fetched (journal_t *self, const dfs_error_t *err, uint64_t now);
/* engine_news.c, from any thread. The lock is held. */
void engine_wake (journal_t *self);
/* Takes NOTE. */
void engine_tell (journal_t *self, note_t *note);
/* Callbacks of writer, peers and lane. */
void engine_written (size_t n, void *journal);
void engine_write_failed (const dfs_error_t *err, void *journal);
void engine_point_done (bool saved, void *journal);
void engine_read_ready (void *journal);
void engine_received (peers_message_t *message, void *journal);
void engine_fetched (int code, uint64_t state, const dfs_error_t *err, void *journal);
void engine_fail (journal_t *self, const dfs_error_t *err);
note_t *note_new (enum note_kind kind, const char *name);
void note_free (note_t *note);

/* brokers.c; the engine's thread. */
/* In the core's set of brokers an address is NAME#ID, for no two may have the same. */
void brokers_address (const char *name, uint64_t id, char out[WIRE_ADDRESS_MAX + 1]);
/* Servers of the present set, with names for addresses. */
size_t brokers_servers (journal_t *self, raft_server_info_t out[JOURNAL_MEMBERS]);
known_t *brokers_known (journal_t *self, const char *name);
void brokers_set (journal_t *self, const known_t *brokers, size_t n);
/* Name of the broker with ID, NULL when it is not known. */
const char *brokers_name (journal_t *self, uint64_t id, char out[JOURNAL_NAME]);
/* Its CURVE key; zeros when it is not in the list. */
const uint8_t *brokers_key (journal_t *self, const char *name);
/* True when broker NAME may speak as ID. */
bool brokers_may_speak (journal_t *self, const char *name, uint64_t id);
void brokers_hello (journal_t *self, const note_t *note, uint64_t now);
/* True when this broker has nothing. */
bool brokers_empty (journal_t *self);
/* What keeps this broker from coming along, for a person. */
enum journal_trouble brokers_trouble (const journal_t *self, char *why, size_t cap);
/* Says hello when it is time. */
void brokers_tick (journal_t *self, uint64_t now);
/* True when this broker is to write the first configuration now; *ENTRY is returned
 * owned. */
bool brokers_found (journal_t *self, uint64_t now, uint8_t **entry, size_t *len);
void brokers_ask_transfer (journal_t *self, const note_t *note, uint64_t now);
void brokers_ask_replace (journal_t *self, const note_t *note, uint64_t now);
/* Goes on with what was asked for. */
void brokers_work (journal_t *self, uint64_t now);
void brokers_answer (journal_t *self, uint64_t cookie, int code, const char *text);
void brokers_stats (journal_t *self, uint64_t now, journal_stats_t *out);

#endif
