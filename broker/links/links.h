/* SPDX-License-Identifier: MPL-2.0 */
/* The broker's reactor: one thread that owns the sockets (front, back, pulse,
 * announce), the sessions and the core. It never waits for a disk: what needs the
 * journal or the tables goes out by mail and comes back by mail. */
#ifndef BROKER_LINKS_LINKS_H
#define BROKER_LINKS_LINKS_H

#include "broker/journal/journal.h"
#include "broker/state/storage.h"
#include "common/error.h"
#include "common/mailbox.h"
#include "msgs/cluster.h"
#include "msgs/sock.h"
#include "msgs/zap.h"

typedef struct links links_t;

typedef struct links_config {
    void *zmq;                    /* context (borrowed) */
    const cluster_t *cluster;     /* borrowed; replaced by links_reload */
    const cluster_node_t *broker; /* this one, of CLUSTER */
    const sock_identity_t *id;    /* borrowed */
    zap_t *zap;                   /* borrowed; NULL without security */
    uint8_t grant_key[32];        /* seals grants; workers get it */
    uint8_t handle_key[32];       /* seals handles */
    mailbox_t *mail; /* the reactor's own (borrowed): storage and journal push here */
    int fatal_fd;    /* eventfd: a thread gave up, links_start must not wait; or -1 */
} links_config_t;

/* Binds the sockets; no thread runs yet. */
links_t *links_new (const links_config_t *config, dfs_error_t *err);
void links_destroy (links_t **self_p);
/* What the kernel made of the ports, for the ready file. */
void links_ports (const links_t *self, uint16_t ports[5]);

/* Runs the thread; returns when this broker serves (it leads, the namespace has its
 * seed and is caught up), or with DFS_ETIMEOUT, or DFS_EINTERNAL when fatal_fd says so.
 * One of several returns at once: it may have to find the others first.
 * JOURNAL and STORAGE are borrowed until links_stop returns. */
int links_start (links_t *self, journal_t *journal, storage_t *storage,
                 dfs_error_t *err);
/* Takes no more requests, waits a little until what was proposed is answered, ends the
 * thread. */
void links_stop (links_t *self);
/* Any thread: CLUSTER was read again. Takes it; workers and users that are new are let
 * in and written to the log. */
void links_reload (links_t *self, cluster_t *cluster);

/* What the journal calls, on its thread; the argument is the reactor's mailbox.
 * Committed entries go to storage and are not among them. */
void links_journal_dropped (const uint64_t *cookies, size_t n, int code, void *mailbox);
void links_journal_role (enum journal_role role, uint64_t term, const char *leader,
                         void *mailbox);
void links_journal_read_point (uint64_t cookie, int code, uint64_t index,
                               void *mailbox);
void links_journal_answered (uint64_t cookie, int code, const char *text,
                             void *mailbox);
void links_journal_members (void *mailbox);

#endif
