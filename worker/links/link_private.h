/* SPDX-License-Identifier: MPL-2.0 */
/* State of the link thread, shared by the files that make it up: broker_link (loop),
 * link_peer (sockets, hello), link_handlers (messages in), link_send (messages out),
 * link_changes (change sequences). */
#ifndef WORKER_LINKS_LINK_PRIVATE_H
#define WORKER_LINKS_LINK_PRIVATE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>
#include <stdatomic.h>

#include "common/arena.h"
#include "common/mailbox.h"
#include "msgs/envelope.h"
#include "worker/links/actor.h"
#include "worker/links/broker_link.h"
#include "worker/links/jobs.h"
#include "worker/links/pulse.h"
#include "worker/links/sequence.h"

#define LINK_DISKS CLUSTER_DISKS

/* Of a broker, in the order of its ports. */
enum link_socket { LINK_DEALER, LINK_PULSE, LINK_LISTEN, LINK_SOCKETS };

/* One broker. */
typedef struct peer {
    int index;
    const cluster_node_t *node;
    uint8_t key[32];
    bool has_key;
    char address[64];             /* numeric, as connected to; empty: not yet */
    uint16_t ports[LINK_SOCKETS]; /* back, pulse, announce */
    void *dealer;
    void *pulse;
    void *listen;
    void *monitors[LINK_SOCKETS];
    uint64_t again_at[LINK_SOCKETS]; /* refused: connect then; 0: not due */
    bool connected;
    bool welcomed;
    bool dialing;      /* its address is being looked up */
    unsigned refusals; /* of our key, in a row */
    bool stale;        /* it speaks for an epoch that is over */
    uint64_t ping_at;  /* let it be heard (again) then */
    uint64_t here_at;  /* when it was last welcome */
    uint64_t dial_at;  /* look it up (again) then */
    uint64_t hello_at; /* say hello (again) then; 0: not due */
    uint64_t session;
    uint32_t incarnation; /* epoch, as last heard from it */
    uint64_t term;
    position_t positions[LINK_DISKS];
} peer_t;

struct broker_link {
    link_config_t config;
    uint64_t incarnation; /* of this process */
    peer_t peers[LINK_BROKERS];
    size_t n;
    char leader[64]; /* name; empty: not known */
    arena_t *arena;
    pulse_t *pulse;
    jobs_t *dial;       /* looks names up */
    jobs_t *history;    /* reads changes and inventories */
    mailbox_t *results; /* of both: result_t */
    actor_t *actor;
    uint64_t now;

    store_disk_t disks[LINK_DISKS]; /* as last looked at */
    size_t n_disks;
    recent_t *recent[LINK_DISKS];
    int condition;
    uint64_t beat_at; /* next heartbeat */
    uint64_t beat;    /* its number */
    uint64_t access_at;
    uint64_t names_at;  /* next round of look-ups of members */
    size_t names_from;  /* place in the directory that the round has come to */
    size_t names_asked; /* look-ups under way */
    uint64_t trim_at;
    uint64_t scrub_passed;           /* passes that had ended at the last heartbeat */
    uint64_t scrub_told[LINK_DISKS]; /* change that a broker has when it knows all that
                                        they found */
    atomic_size_t welcomed;
    bool refused; /* that no broker lets us in is told in run/ */
};

/* Answer of a helper thread. */
enum result_kind { RESULT_ADDRESS, RESULT_MEMBER, RESULT_REFUSED, RESULT_PAGE };
typedef struct result {
    enum result_kind kind;
    int code;
    int peer;
    /* ADDRESS, MEMBER */
    char host[256];
    char address[64];
    uint16_t ports[3];
    const cluster_node_t *node;
    /* REFUSED: by NODE; or it is over */
    bool refused;
    /* PAGE */
    size_t disk;
    uint32_t asked_as;
    bool listing;
    uint64_t first; /* FOLLOWING: of changes[0]; LISTING: the sequence (first page) */
    copykey_t after;
    bool from_start;
    bool end; /* LISTING: nothing follows */
    size_t n;
    store_change_t changes[SEQUENCE_PAGE];
    broker_link_t *link;
} result_t;

/* --- link_peer.c --- */
/* Looks the broker up when that is due; says hello when that is due. */
void peer_tick (broker_link_t *self, peer_t *peer);
/* Reads connection events. */
void peer_events (broker_link_t *self, peer_t *peer);
void peer_address (broker_link_t *self, peer_t *peer, const result_t *result);
void peer_close (broker_link_t *self, peer_t *peer);
/* A broker has let us in: who was told otherwise is told. */
void peer_admitted (broker_link_t *self);
/* Jobs of the dial thread. */
void dial_work (void *job, void *arg);
/* Looks up names of members that have no address, again and again. */
void dial_members (broker_link_t *self);

/* --- link_handlers.c --- */
void peer_receive (broker_link_t *self, peer_t *peer);
void peer_listen (broker_link_t *self, peer_t *peer);

/* --- link_send.c --- */
int peer_send (broker_link_t *self, peer_t *peer, Dfs__Envelope *env);
int send_hello (broker_link_t *self, peer_t *peer);
/* A broker that has forgotten the connection answers so, and is told hello again. */
void send_ping (broker_link_t *self, peer_t *peer);
/* Sends a note to whom it is for. Changes go through link_changes. */
void send_note (broker_link_t *self, const note_t *note);
void send_heartbeat (broker_link_t *self);

/* --- link_changes.c --- */
void changes_add (broker_link_t *self, const note_t *note);
void changes_again (broker_link_t *self, const note_t *note);
/* The broker told how far it is. */
void changes_welcome (broker_link_t *self, peer_t *peer, Dfs__StoreMark *const *marks,
                      size_t n);
void changes_acked (broker_link_t *self, peer_t *peer, Dfs__StoreMark *const *marks,
                    size_t n);
void changes_page (broker_link_t *self, const result_t *page);
/* Sends what is due to everybody. */
void changes_feed (broker_link_t *self);
void changes_stop (peer_t *peer);
/* Every broker that is there has applied the changes of DISK up to SEQ. */
bool changes_known (const broker_link_t *self, size_t disk, uint64_t seq);
void history_work (void *job, void *arg);

#endif
