/* SPDX-License-Identifier: MPL-2.0 */
/* Brokers in one process, each a journal on real sockets and files with a small state
 * machine behind it: what is left of a broker when its journal is closed is its
 * directory and that state. */
#ifndef T_UNIT_JOURNAL_TRIO_H
#define T_UNIT_JOURNAL_TRIO_H

#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "broker/journal/journal.h"
#include "msgs/sock.h"

#define TRIO_MAX 5

typedef struct state {
    uint64_t index;
    uint64_t n;   /* entries with content */
    uint64_t sum; /* of them, in order */
} state_t;

typedef struct node {
    char name[16];
    char dir[4200];
    uint64_t id;
    sock_identity_t secret;
    journal_t *journal; /* NULL: down */
    uint16_t port;      /* 0: down */
    state_t state;      /* as on disk */
    enum journal_role role;
    uint64_t term;
    char leader[JOURNAL_NAME];
    bool wrong; /* an index out of order */
    int failed;
    uint64_t acked; /* last cookie */
    uint64_t n_acked;
    uint64_t n_dropped;
    uint64_t n_final; /* of them with a code that is not "ask again" */
    uint64_t taken;   /* states that were installed */
    bool refuses;     /* any state... */
    uint64_t refused;
    uint64_t read_index;
    int read_code;
    uint64_t n_reads;
    bool holds; /* read points: their callback does not return */
    bool held;
    int answer;
    uint64_t n_answers;
    char text[520];
} node_t;

typedef struct trio {
    char *root;
    void *zmq;
    struct zap *zap;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    size_t n;
    node_t nodes[TRIO_MAX];
    uint64_t cookie;
    uint64_t trailing;
    unsigned election_ms;
    unsigned hang_ms;
    size_t window_bytes;
    uint64_t log_bytes;
} trio_t;

extern trio_t trio;

/* N brokers with keys and empty directories; none runs. */
void trio_new (size_t n, bool secure);
void trio_destroy (void);
void trio_start (size_t i);
void trio_start_all (void);
/* With brokers FROM to TO - 1 for its list; or gives it that list later. */
void trio_start_with (size_t i, size_t from, size_t to);
void trio_brokers (size_t i, size_t from, size_t to);
void trio_stop (size_t i);
/* Takes its data, and gives its directory a new id. */
void trio_wipe (size_t i);
/* What its journal says of itself; it runs. */
journal_stats_t trio_stats (size_t i);
/* Waits for one that leads and whom a majority follows; its number. */
size_t trio_leader (void);
/* Proposes N entries at whoever leads, and waits until they are committed there. */
void trio_commit (uint64_t n);
/* Waits until all that run have the same state, of at least N entries. */
void trio_same (uint64_t n);

/* Waits up to a minute for CONDITION, which reads nodes. */
#define TRIO_WAIT(condition)                                                           \
    do {                                                                               \
        struct timespec trio_until;                                                    \
        clock_gettime (CLOCK_REALTIME, &trio_until);                                   \
        trio_until.tv_sec += 60;                                                       \
        int trio_late = 0;                                                             \
        pthread_mutex_lock (&trio.lock);                                               \
        while (!(condition) && !trio_late)                                             \
            trio_late =                                                                \
                pthread_cond_timedwait (&trio.changed, &trio.lock, &trio_until);       \
        bool trio_there = (condition);                                                 \
        pthread_mutex_unlock (&trio.lock);                                             \
        if (!trio_there)                                                               \
            trio_describe ();                                                          \
        assert_true (trio_there);                                                      \
    } while (0)

/* The same for what no callback tells, which takes no lock. */
#define TRIO_UNTIL(condition)                                                          \
    do {                                                                               \
        int trio_i = 0;                                                                \
        while (!(condition) && trio_i++ < 12000)                                       \
            usleep (5000);                                                             \
        if (!(condition))                                                              \
            trio_describe ();                                                          \
        assert_true (condition);                                                       \
    } while (0)
void trio_describe (void);

#endif
