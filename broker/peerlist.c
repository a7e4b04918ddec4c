/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/peerlist.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/resolve.h"
#include "msgs/cluster.h"
#include "msgs/keys.h"

#define RESOLVE_MS 1000
#define PORT_PEERS 4

struct peerlist {
    char *path;
    pthread_mutex_t lock; /* guards the cluster against peerlist_address */
    cluster_t *cluster;
    size_t n;
    journal_broker_t brokers[JOURNAL_MEMBERS];
};

static int list (const cluster_t *cluster, journal_broker_t *out, dfs_error_t *err)
{
    keypair_t pair;

    if (cluster->n_brokers > JOURNAL_MEMBERS - 1)
        return fail (err, DFS_ECONFIG, "%s: more than %d brokers", cluster->path,
                     JOURNAL_MEMBERS - 1);
    for (size_t i = 0; i < cluster->n_brokers; i++) {
        const char *name = cluster->brokers[i].name;
        out[i] = (journal_broker_t){.name = name};
        if (!cluster->secure)
            continue;
        if (keys_load_public (cluster->keys_dir, "broker", name, &pair, err) < 0)
            return err->code;
        memcpy (out[i].key, pair.public_key, sizeof out[i].key);
    }
    return DFS_OK;
}

int peerlist_reload (peerlist_t *self, dfs_error_t *err)
{
    journal_broker_t brokers[JOURNAL_MEMBERS];
    cluster_t *cluster = cluster_load (self->path, err);

    if (!cluster)
        return err->code;
    int rc = list (cluster, brokers, err);
    if (rc < 0) {
        cluster_destroy (&cluster);
        return rc;
    }
    pthread_mutex_lock (&self->lock);
    cluster_t *old = self->cluster;
    self->cluster = cluster;
    self->n = cluster->n_brokers;
    memcpy (self->brokers, brokers, sizeof self->brokers);
    pthread_mutex_unlock (&self->lock);
    cluster_destroy (&old);
    return DFS_OK;
}

peerlist_t *peerlist_new (const char *path, dfs_error_t *err)
{
    peerlist_t *self = calloc (1, sizeof *self);

    if (!self)
        abort ();
    self->path = strdup (path);
    if (!self->path)
        abort ();
    pthread_mutex_init (&self->lock, NULL);
    if (peerlist_reload (self, err) < 0)
        peerlist_destroy (&self);
    return self;
}

void peerlist_destroy (peerlist_t **self_p)
{
    peerlist_t *self = *self_p;

    if (!self)
        return;
    cluster_destroy (&self->cluster);
    pthread_mutex_destroy (&self->lock);
    free (self->path);
    free (self);
    *self_p = NULL;
}

size_t peerlist_get (const peerlist_t *self, journal_broker_t out[JOURNAL_MEMBERS])
{
    memcpy (out, self->brokers, self->n * sizeof *out);
    return self->n;
}

int peerlist_address (peerlist_t *self, const char *name, char *host, size_t cap,
                      uint16_t *port, dfs_error_t *err)
{
    char *advertised = NULL;

    pthread_mutex_lock (&self->lock);
    const cluster_node_t *node = cluster_broker (self->cluster, name);
    int rc = node ? cluster_broker_port (self->cluster, node, PORT_PEERS, port, err)
                  : fail (err, DFS_ENOENT, "no broker is called %s", name);
    if (rc >= 0)
        advertised = strdup (node->host);
    pthread_mutex_unlock (&self->lock);
    if (rc >= 0)
        rc = advertised ? resolve_host (advertised, host, cap, RESOLVE_MS, err)
                        : fail (err, DFS_ENOMEM, "no memory");
    free (advertised);
    return rc;
}
