/* SPDX-License-Identifier: MPL-2.0 */
#include "client/lib/leader.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/resolve.h"
#include "common/units.h"
#include "msgs/keys.h"

#define RESOLVE_MS 2000
#define SILENCE    (1 * SEC) /* so long one that gave no answer is not asked again */
#define WHY_MAX    100
#define DOUBTS     3 /* failed handshakes in a row that mean a wrong key */

struct leader {
    const cluster_t *cluster;
    size_t current;
    char (*why)[WHY_MAX]; /* of each broker */
    uint64_t *silent_at;  /* of each, 0: it answered last */
    unsigned *doubts;     /* of each: failed handshakes in a row */
    bool *right;          /* of each: one succeeded */
};

leader_t *leader_new (const cluster_t *cluster)
{
    leader_t *self = calloc (1, sizeof *self);
    assert (self);
    self->cluster = cluster;
    self->why = calloc (cluster->n_brokers + 1, sizeof *self->why);
    self->silent_at = calloc (cluster->n_brokers + 1, sizeof *self->silent_at);
    self->doubts = calloc (cluster->n_brokers + 1, sizeof *self->doubts);
    self->right = calloc (cluster->n_brokers + 1, sizeof *self->right);
    assert (self->why && self->silent_at && self->doubts && self->right);
    return self;
}

void leader_destroy (leader_t **self_p)
{
    if (*self_p) {
        free ((*self_p)->why);
        free ((*self_p)->silent_at);
        free ((*self_p)->doubts);
        free ((*self_p)->right);
    }
    free (*self_p);
    *self_p = NULL;
}

int leader_pick (leader_t *self, leader_address_t *address, dfs_error_t *err)
{
    const cluster_node_t *broker;

    if (self->cluster->n_brokers == 0)
        return fail (err, DFS_ECONFIG, "%s names no broker", self->cluster->path);
    broker = &self->cluster->brokers[self->current % self->cluster->n_brokers];
    address->name = broker->name;
    int rc = cluster_broker_port (self->cluster, broker, 0, &address->port, err);
    if (rc < 0) {
        dfs_error_t why = *err; /* names it */
        return fail (err, rc, "broker %.400s", why.text);
    }
    rc = resolve_host (broker->host, address->host, sizeof address->host, RESOLVE_MS,
                       err);
    if (rc < 0)
        return wrap (err, "broker %s", broker->name);
    memset (address->key, 0, sizeof address->key);
    if (self->cluster->secure) {
        keypair_t pair;
        rc = keys_load_public (self->cluster->keys_dir, "broker", broker->name, &pair,
                               err);
        if (rc < 0)
            return rc;
        memcpy (address->key, pair.public_key, sizeof address->key);
    }
    return 0;
}

static bool is_silent (const leader_t *self, size_t i)
{
    return self->silent_at[i] && clock_mono () - self->silent_at[i] < SILENCE;
}

void leader_failed (leader_t *self, const char *why, bool silent)
{
    size_t n = self->cluster->n_brokers;

    if (n == 0)
        return;
    size_t len = strcspn (why, "(");
    while (len > 0 && why[len - 1] == ' ')
        len--;
    snprintf (self->why[self->current], WHY_MAX, "%.*s", (int)len, why);
    self->silent_at[self->current] = silent ? clock_mono () : 0;
    for (size_t i = 0; i < n; i++) {
        self->current = (self->current + 1) % n;
        if (!is_silent (self, self->current))
            return;
    }
}

bool leader_key (leader_t *self, enum leader_key key)
{
    size_t n = self->cluster->n_brokers, wrong = 0;

    if (key == LEADER_KEY_DOUBTFUL)
        self->doubts[self->current]++;
    else
        self->doubts[self->current] = 0;
    if (key == LEADER_KEY_RIGHT)
        self->right[self->current] = true;
    for (size_t i = 0; i < n; i++)
        wrong += self->doubts[i] >= DOUBTS && !self->right[i];
    return n > 0 && wrong == n;
}

int leader_hint (leader_t *self, const char *name)
{
    for (size_t i = 0; i < self->cluster->n_brokers; i++)
        if (strcmp (self->cluster->brokers[i].name, name) == 0 && i != self->current &&
            !is_silent (self, i)) {
            self->current = i;
            return 1;
        }
    return 0;
}

size_t leader_brokers (const leader_t *self)
{
    return self->cluster->n_brokers;
}

void leader_why (const leader_t *self, char *text, size_t cap)
{
    size_t len = 0;

    text[0] = 0;
    for (size_t i = 0; i < self->cluster->n_brokers && len < cap; i++) {
        const char *why = self->why[i];
        int n =
            snprintf (text + len, cap - len, "%s%s: %s", i ? "; " : "",
                      self->cluster->brokers[i].name, why[0] ? why : "not asked yet");
        len += n > 0 ? (size_t)n : 0;
    }
}
