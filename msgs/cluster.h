/* SPDX-License-Identifier: MPL-2.0 */
/* cluster.cfg as a typed structure. Read-only after loading; any thread. */
#ifndef MSGS_CLUSTER_H
#define MSGS_CLUSTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"

#define CLUSTER_DISKS      16
#define CLUSTER_INLINE_MAX (64 * 1024) /* the namespace takes no longer contents */

typedef struct cluster_node {
    char *name;
    char *host;    /* advertised; name or address */
    char *bind;    /* "*" by default */
    uint16_t port; /* broker: front P, back P+1, pulse P+2, announce P+3, peers P+4;
                      worker: ingest. 0: the kernel picks (run/NAME.ready says which) */
    char *data[CLUSTER_DISKS];        /* absolute */
    uint64_t capacity[CLUSTER_DISKS]; /* 0: what the file system has */
    size_t n_data;
    char *location;     /* workers: "dc1/rack1/host1", default "local/NAME" */
    uint16_t stream_lo; /* 0: the kernel picks */
    uint16_t stream_hi;
    int line; /* where it stands in the file */
} cluster_node_t;

typedef struct cluster {
    char *path; /* of the file */
    char *dir;  /* its directory: relative paths start here */
    char *name;
    uint8_t id[16];
    bool secure;
    char *keys_dir; /* absolute */
    char *run_dir;  /* absolute: ready files, pids */
    char *log_dir;
    uint32_t replicas;
    uint32_t min_replicas;
    uint64_t chunk_size;
    uint64_t history_ns;
    uint64_t inline_max;
    uint64_t inline_budget;
    uint64_t upload_timeout_ns;
    uint64_t reclaim_grace_ns;
    uint64_t heartbeat_ns;
    uint64_t heartbeat_timeout_ns;
    uint64_t repair_hold_ns;
    uint64_t repair_bandwidth; /* bytes/s, 0: no bound */
    uint64_t scrub_rate;       /* bytes/s per worker */
    uint64_t cache_size;       /* worker's hot chunks, bytes */
    unsigned log_level;        /* enum log_level */
    uint64_t slow_ns;          /* operations that take longer are logged; 0: none */
    bool memory_durability;    /* durability = memory */
    cluster_node_t *brokers;
    size_t n_brokers;
    cluster_node_t *workers;
    size_t n_workers;
} cluster_t;

/* Loads and checks PATH. Errors read "PATH:LINE: …" (DFS_ECONFIG). Returns owned. */
cluster_t *cluster_load (const char *path, dfs_error_t *err);
void cluster_destroy (cluster_t **self_p);
/* --config, else $DFS_CONFIG, else ~/.config/dfs/cluster.cfg, else SYSCONFDIR; GIVEN
 * may be NULL. Returns owned path of a file that exists, or NULL with the places tried.
 */
char *cluster_find (const char *given, dfs_error_t *err);
/* Returns borrowed or NULL. */
const cluster_node_t *cluster_broker (const cluster_t *self, const char *name);
const cluster_node_t *cluster_worker (const cluster_t *self, const char *name);
/* Prints every key with its value, in the file's own form (--dump-config). */
void cluster_dump (const cluster_t *self, void *stdio_file);

/* run/NAME.ready of a node: its actual ports. Text "pid P\nports A B C D E\n"; a worker
 * has one port. */
typedef struct cluster_ready {
    int pid;
    uint16_t ports[5];
    size_t n_ports;
} cluster_ready_t;
int cluster_ready_read (const cluster_t *self, const char *node, cluster_ready_t *ready,
                        dfs_error_t *err);
/* run/NAME.refused of a worker: that a broker has refused its key again and again, and
 * none has let it in since. TEXT says so, without the worker's name. */
int cluster_refused_write (const cluster_t *self, const char *node, const char *text,
                           dfs_error_t *err);
/* It was let in, or ends. */
void cluster_refused_remove (const cluster_t *self, const char *node);
/* Whether process PID of NODE wrote one; its text to TEXT then. */
bool cluster_refused_read (const cluster_t *self, const char *node, int pid, char *text,
                           size_t cap);
/* Port I (0 front … 4 peers) of a broker: from the config, or the ready file when the
 * config says 0. */
int cluster_broker_port (const cluster_t *self, const cluster_node_t *broker, int i,
                         uint16_t *port, dfs_error_t *err);

#endif
