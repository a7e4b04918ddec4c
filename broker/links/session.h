/* SPDX-License-Identifier: MPL-2.0 */
/* Who is on the other side: connections of a ROUTER (known by its routing id, watched
 * by file descriptor) and clients' sessions, which outlive a connection for some
 * seconds. Reactor thread. */
#ifndef BROKER_LINKS_SESSION_H
#define BROKER_LINKS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "broker/core/event.h"
#include "broker/links/idmap.h"
#include "msgs/envelope.h"
#include "msgs/knock.h"

#define SESSION_GRACE_NS 15000000000ULL /* a client may come back that long */
#define SESSION_CHANGED  64
#define SESSION_ASKED    16
#define SESSIONS_MAX     65536
#define CONNS_MAX        65536 /* of one ROUTER that said hello */

typedef struct session session_t;

/* A peer that said hello. */
typedef struct conn {
    uint64_t number; /* never used again in this process */
    route_t route;
    int fd;
    bool has_key;
    uint8_t key[32];
    session_t *session; /* client */
    /* what its queue could not take (outbox.h) */
    struct out_message *kept;
    struct out_message *kept_end;
    size_t n_kept;
    size_t kept_bytes;
    struct conn *next_blocked;
    /* worker */
    uint32_t worker;
    uint64_t sender; /* session id it sends chunks under */
    uint64_t hello_seq;
    uint64_t heard; /* when the core was last told of a sign of life */
    bool welcomed;
    uint8_t address[16]; /* of its other end, and those that have the same (near.h) */
    bool near_known;
    struct conn *near_before;
    struct conn *near_after;
    char name[CORE_NAME_MAX];
    char host[CORE_HOST_MAX];
    char location[CORE_LOCATION_MAX];
} conn_t;

/* One ROUTER. */
typedef struct link {
    const char *name;
    void *sock;
    void *monitor;
    knock_t knock;
    idmap_t *by_route;
    idmap_t *by_fd;
    idmap_t *by_number;
    conn_t *blocked; /* list of those for whom something is kept */
} link_t;

struct session {
    uint64_t id;
    uint64_t trace; /* of its running operation, 0: none told */
    bool traced;    /* it wants to know where the time goes */
    /* its latest questions, a ring */
    struct {
        uint64_t seq; /* 0: answered */
        uint64_t came;
        uint64_t trace;
        const char *kind; /* static */
    } asked[SESSION_ASKED];
    size_t n_asked;
    size_t n_listing; /* at storage */
    uint32_t user;
    bool stale; /* reads that may be old do */
    bool has_key;
    uint8_t key[32];
    conn_t *conn; /* NULL: gone, may come back */
    uint64_t gone_at;
    /* results that wait to be sent together */
    struct {
        uint64_t request;
        Dfs__OpResult *result;
    } changed[SESSION_CHANGED];
    size_t n_changed;
    size_t changed_bytes;
    uint64_t changed_seq; /* of the Change they answer, 0: of several */
    bool is_touched;
    session_t *touched;   /* next in the list of sessions with such results */
    struct job *verifies; /* Verify requests that wait for the workers */
};

typedef struct clients {
    idmap_t *by_id;
    idmap_t *senders; /* session ids of workers → conn_t */
} clients_t;

void link_init (link_t *link, const char *name);
/* Closes nothing: the socket is its owner's. */
void link_clear (link_t *link);
/* A connection that says hello: the one it had already, or a new one. NULL when there
 * are too many, or when the routing id is not one that a ROUTER gave. */
conn_t *link_hello (link_t *link, const envelope_from_t *from);
/* By the routing id of a message; NULL when it said no hello. */
conn_t *link_conn (const link_t *link, const route_t *route);
conn_t *link_by_number (const link_t *link, uint64_t number);
/* The connection with that descriptor, or NULL. */
conn_t *link_by_fd (const link_t *link, int fd);
/* Forgets and frees. */
void link_drop (link_t *link, conn_t **conn_p);

clients_t *clients_new (void);
void clients_destroy (clients_t **self_p);
session_t *clients_get (const clients_t *self, uint64_t id);
/* A session under ID (0: a new random one); NULL when there are too many. */
session_t *clients_add (clients_t *self, uint64_t id);
void clients_remove (clients_t *self, session_t **session_p);
/* Ends all of them. */
void clients_clear (clients_t *self);
/* There are as many as there may be. */
bool clients_full (const clients_t *self);
/* Sessions whose grace ended at NOW into OUT, at most MAX; returns their number. */
size_t clients_expired (const clients_t *self, uint64_t now, session_t **out,
                        size_t max);

#endif
