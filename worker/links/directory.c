/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/links/directory.h"

struct directory {
    pthread_mutex_t lock;
    uint32_t worker;
    uint64_t session;
    grant_key_t keys[DIRECTORY_KEYS];
    size_t n_keys;
    member_t *members;
    size_t n_members;
    uint64_t log_time; /* as heard … */
    uint64_t heard_at; /* … at this moment of the monotonic clock */
};

directory_t *directory_new (void)
{
    directory_t *self = calloc (1, sizeof *self);
    assert (self);
    pthread_mutex_init (&self->lock, NULL);
    return self;
}

void directory_destroy (directory_t **self_p)
{
    directory_t *self = *self_p;
    if (!self)
        return;
    free (self->members);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}

void directory_set_self (directory_t *self, uint32_t worker, uint64_t session)
{
    pthread_mutex_lock (&self->lock);
    self->worker = worker;
    self->session = session;
    pthread_mutex_unlock (&self->lock);
}

uint32_t directory_self (directory_t *self)
{
    pthread_mutex_lock (&self->lock);
    uint32_t worker = self->worker;
    pthread_mutex_unlock (&self->lock);
    return worker;
}

uint64_t directory_session (directory_t *self)
{
    pthread_mutex_lock (&self->lock);
    uint64_t session = self->session;
    pthread_mutex_unlock (&self->lock);
    return session;
}

void directory_set_keys (directory_t *self, const grant_key_t *keys, size_t n)
{
    pthread_mutex_lock (&self->lock);
    self->n_keys = n < DIRECTORY_KEYS ? n : DIRECTORY_KEYS;
    memcpy (self->keys, keys, self->n_keys * sizeof *keys);
    pthread_mutex_unlock (&self->lock);
}

bool directory_key (directory_t *self, uint32_t id, uint8_t key[32])
{
    bool found = false;
    pthread_mutex_lock (&self->lock);
    for (size_t i = 0; i < self->n_keys && !found; i++)
        if (self->keys[i].id == id) {
            memcpy (key, self->keys[i].key, 32);
            found = true;
        }
    pthread_mutex_unlock (&self->lock);
    return found;
}

size_t directory_n_keys (directory_t *self)
{
    pthread_mutex_lock (&self->lock);
    size_t n = self->n_keys;
    pthread_mutex_unlock (&self->lock);
    return n;
}

void directory_set_members (directory_t *self, const member_t *members, size_t n)
{
    if (n > DIRECTORY_MEMBERS)
        n = DIRECTORY_MEMBERS;
    member_t *next = calloc (n ? n : 1, sizeof *next);
    assert (next);
    memcpy (next, members, n * sizeof *next);
    pthread_mutex_lock (&self->lock);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < self->n_members && !next[i].address[0]; k++)
            if (strcmp (self->members[k].host, next[i].host) == 0)
                memcpy (next[i].address, self->members[k].address,
                        sizeof next[i].address);
    member_t *old = self->members;
    self->members = next;
    self->n_members = n;
    pthread_mutex_unlock (&self->lock);
    free (old);
}

bool directory_member (directory_t *self, uint32_t id, member_t *out)
{
    bool found = false;
    pthread_mutex_lock (&self->lock);
    for (size_t i = 0; i < self->n_members && !found; i++)
        if (self->members[i].id == id) {
            *out = self->members[i];
            found = true;
        }
    pthread_mutex_unlock (&self->lock);
    return found;
}

size_t directory_members (directory_t *self, member_t *out, size_t max)
{
    pthread_mutex_lock (&self->lock);
    size_t n = self->n_members < max ? self->n_members : max;
    if (n)
        memcpy (out, self->members, n * sizeof *out);
    pthread_mutex_unlock (&self->lock);
    return n;
}

void directory_set_address (directory_t *self, const char *host, const char *address)
{
    pthread_mutex_lock (&self->lock);
    for (size_t i = 0; i < self->n_members; i++)
        if (strcmp (self->members[i].host, host) == 0)
            snprintf (self->members[i].address, sizeof self->members[i].address, "%s",
                      address);
    pthread_mutex_unlock (&self->lock);
}

void directory_forget_address (directory_t *self, uint32_t id, const char *address)
{
    pthread_mutex_lock (&self->lock);
    for (size_t i = 0; i < self->n_members; i++)
        if (self->members[i].id == id &&
            strcmp (self->members[i].address, address) == 0)
            self->members[i].address[0] = 0;
    pthread_mutex_unlock (&self->lock);
}

int directory_unresolved (directory_t *self, size_t from, char host[256])
{
    int place = -1;
    pthread_mutex_lock (&self->lock);
    for (size_t i = from; i < self->n_members && place < 0; i++)
        if (!self->members[i].address[0]) {
            memcpy (host, self->members[i].host, sizeof self->members[i].host);
            place = (int)i;
        }
    pthread_mutex_unlock (&self->lock);
    return place;
}

/* Under the lock. NOW may be a little older than the last message. */
static uint64_t log_time_at (const directory_t *self, uint64_t now)
{
    if (!self->log_time)
        return 0;
    return self->log_time + (now > self->heard_at ? now - self->heard_at : 0);
}

void directory_set_log_time (directory_t *self, uint64_t log_time_ns, uint64_t now)
{
    pthread_mutex_lock (&self->lock);
    if (log_time_ns > log_time_at (self, now)) {
        self->log_time = log_time_ns;
        self->heard_at = now;
    }
    pthread_mutex_unlock (&self->lock);
}

uint64_t directory_log_time (directory_t *self, uint64_t now)
{
    pthread_mutex_lock (&self->lock);
    uint64_t current = log_time_at (self, now);
    pthread_mutex_unlock (&self->lock);
    return current;
}
