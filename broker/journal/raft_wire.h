/* SPDX-License-Identifier: MPL-2.0 */
/* What brokers say to each other about the log, as bytes. Every field that comes from a
 * peer is checked here or in guard_message before the consensus core sees it (the
 * core's own checks are compiled out of the packaged library). Threads: any. */
#ifndef BROKER_JOURNAL_RAFT_WIRE_H
#define BROKER_JOURNAL_RAFT_WIRE_H

#include <raft.h>

#include "common/error.h"

#define WIRE_MAX         (1024 * 1024 + 256 * 1024) /* of a whole packet */
#define WIRE_DATA_MAX    (1024 * 1024) /* of the entries in it, one always fits */
#define WIRE_ENTRIES_MAX 4096
#define WIRE_ADDRESS_MAX 96

/* Beside the core's own messages: does a majority still follow me? */
#define WIRE_PING 101
#define WIRE_PONG 102

typedef struct wire_ping {
    uint64_t term;
    uint64_t round;
} wire_ping_t;

typedef struct wire_packet {
    uint64_t from; /* id of the broker */
    uint64_t to;
    uint64_t boot;     /* number of the sender's run */
    uint64_t seq;      /* grows with each packet from FROM to TO in that run */
    uint64_t founding; /* of the sender's log; 0: it has none */
    unsigned kind;     /* enum raft_message_type, or above */
    struct raft_message message; /* entries and configuration point into OWNED */
    wire_ping_t ping;
    struct raft_buffer conf; /* of a snapshot, encoded */
    void *owned;
} wire_packet_t;

/* Returns owned bytes. PACKET is one of ours (assert). */
uint8_t *wire_encode (const wire_packet_t *packet, size_t *len);
/* DFS_EPROTO says what is wrong. Then PACKET is empty, else wire_release it. Entries
 * get BATCH as their batch. */
int wire_decode (const void *bytes, size_t len, void *batch, wire_packet_t *packet,
                 dfs_error_t *err);
void wire_release (wire_packet_t *packet);
/* The id that the sender of a packet gives, 0 when it is too short for one. */
uint64_t wire_sender (const void *bytes, size_t len);

#endif
