/* SPDX-License-Identifier: MPL-2.0 */
/* The giving half, and what both halves share. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/io.h"
#include "common/log.h"
#include "common/rng.h"
#include "common/units.h"

#include "lane_private.h"

#define KEEP_NS   (60 * SEC) /* a copy that nobody asks for */
#define GIVING_NS (15 * SEC)
#define WAIT_MS   500
#define ASKS_MAX  16 /* that wait for an answer */

/* --- the copy that is given --- */

static void forget (lane_t *self)
{
    if (self->copy.fd >= 0)
        io_close (self->copy.fd);
    io_unlink (self->copy_path, NULL);
    pthread_mutex_lock (&self->lock);
    self->copy = (lane_copy_t){.fd = -1};
    pthread_mutex_unlock (&self->lock);
}

int lane_checksum (int fd, uint64_t size, uint32_t *crc, dfs_error_t *err)
{
    uint8_t *buf = malloc (LANE_PIECE);
    if (!buf)
        abort ();
    int rc = DFS_OK;
    *crc = 0;
    for (uint64_t at = 0; rc == DFS_OK && at < size;) {
        size_t n = size - at < LANE_PIECE ? (size_t)(size - at) : LANE_PIECE;
        rc = io_pread (fd, buf, n, at, err);
        if (rc == DFS_OK)
            *crc = digest_crc32c (*crc, buf, n);
        at += n;
    }
    free (buf);
    return rc;
}

static int make_copy (lane_t *self, dfs_error_t *err)
{
    lane_copy_t copy = {.fd = -1};
    forget (self);
    if (!self->config.hooks.copy_state)
        return fail (err, DFS_EUNAVAIL, "no state to give");
    pthread_mutex_lock (&self->lock);
    self->copying = true;
    pthread_mutex_unlock (&self->lock);
    int rc = self->config.hooks.copy_state (self->copy_path, &copy.index,
                                            self->config.hooks.arg, err);
    if (rc == DFS_OK) {
        rc = copy.fd = io_open (self->copy_path, O_RDONLY, 0, err);
        rc = rc < 0 ? rc : io_size (copy.fd, &copy.size, err);
    }
    if (rc == DFS_OK)
        rc = lane_checksum (copy.fd, copy.size, &copy.crc, err);
    if (rc == DFS_OK) {
        rng_secret (&copy.token, sizeof copy.token);
        copy.token |= 1;
        copy.used = clock_mono ();
        log_info ("state_copied", "index=%llu bytes=%llu",
                  (unsigned long long)copy.index, (unsigned long long)copy.size);
    } else if (copy.fd >= 0) {
        io_close (copy.fd);
        copy.fd = -1;
    }
    pthread_mutex_lock (&self->lock);
    self->copy = copy;
    self->copying = false;
    pthread_mutex_unlock (&self->lock);
    return rc;
}

static void note_given (lane_t *self, const char *name, uint64_t sent)
{
    pthread_mutex_lock (&self->lock);
    size_t i = 0;
    while (i < self->n_given && strcmp (self->given[i].name, name) != 0)
        i++;
    if (i == self->n_given && i < JOURNAL_MEMBERS)
        self->n_given++;
    if (i < JOURNAL_MEMBERS) {
        snprintf (self->given[i].name, JOURNAL_NAME, "%s", name);
        self->given[i].sent = sent;
        self->given[i].total = self->copy.size;
        self->given[i].at = clock_mono ();
    }
    self->copy.used = clock_mono ();
    pthread_mutex_unlock (&self->lock);
}

static void answer (lane_t *self, const peers_message_t *ask, int code, uint64_t offset)
{
    uint8_t *bytes = calloc (1, LANE_HEAD + LANE_PIECE);
    if (!bytes)
        abort ();
    size_t n = 0;
    dfs_error_t err;
    if (code == DFS_OK && offset < self->copy.size) {
        n = self->copy.size - offset < LANE_PIECE ? (size_t)(self->copy.size - offset)
                                                  : LANE_PIECE;
        code = io_pread (self->copy.fd, bytes + LANE_HEAD, n, offset, &err);
        n = code == DFS_OK ? n : 0;
    }
    put_le32 (bytes, LANE_VERSION);
    put_le32 (bytes + 4, (uint32_t)code);
    put_le64 (bytes + 8, self->copy.token);
    put_le64 (bytes + 16, self->copy.index);
    put_le64 (bytes + 24, self->copy.size);
    put_le64 (bytes + 32, offset);
    put_le32 (bytes + 40, self->copy.crc);
    put_le32 (bytes + 44, digest_crc32c (0, bytes + LANE_HEAD, n));
    peers_answer (self->config.peers, &ask->route, PEERS_PIECE, bytes, LANE_HEAD + n);
    free (bytes);
    if (code == DFS_OK)
        note_given (self, ask->name, offset + n);
}

static void give (lane_t *self, const peers_message_t *ask)
{
    if (ask->kind != PEERS_ASK || ask->len < LANE_ASK ||
        get_le32 (ask->bytes) != LANE_VERSION)
        return;
    uint64_t index = get_le64 (ask->bytes + 8), token = get_le64 (ask->bytes + 16);
    uint64_t offset = get_le64 (ask->bytes + 24);
    dfs_error_t err = {0};
    int rc = DFS_OK;
    bool here = self->copy.token && self->copy.index >= index;
    if (!self->copy.token || (token != self->copy.token && !here)) {
        rc = make_copy (self, &err);
        if (rc != DFS_OK)
            log_warn ("state_not_copied", "err=\"%s\"", err.text);
    }
    /* With another copy it begins again. */
    answer (self, ask, rc, token == self->copy.token ? offset : 0);
}

static void *give_main (void *arg)
{
    lane_t *self = arg;
    for (;;) {
        peers_message_t *ask = mailbox_wait (self->asks, WAIT_MS);
        pthread_mutex_lock (&self->lock);
        self->n_asks -= ask != NULL;
        bool stop = self->stop;
        bool old = self->copy.token && clock_mono () > self->copy.used + KEEP_NS;
        pthread_mutex_unlock (&self->lock);
        if (ask && !stop)
            give (self, ask);
        if (ask)
            lane_free_ask (ask);
        if (stop)
            return NULL;
        if (!ask && old)
            forget (self);
    }
}

/* --- calls --- */

void lane_free_ask (void *item)
{
    peers_message_t *ask = item;
    free (ask->bytes);
    free (ask);
}

void lane_ask (lane_t *self, peers_message_t *message)
{
    pthread_mutex_lock (&self->lock);
    bool room = self->n_asks < ASKS_MAX;
    self->n_asks += room;
    pthread_mutex_unlock (&self->lock);
    if (!room) { /* it will be asked again */
        free (message->bytes);
        return;
    }
    peers_message_t *ask = malloc (sizeof *ask);
    if (!ask)
        abort ();
    *ask = *message;
    mailbox_push (self->asks, ask);
}

bool lane_giving (lane_t *self)
{
    pthread_mutex_lock (&self->lock);
    bool giving = self->copying ||
                  (self->copy.token && clock_mono () < self->copy.used + GIVING_NS);
    pthread_mutex_unlock (&self->lock);
    return giving;
}

bool lane_given (lane_t *self, const char *name, uint64_t *sent, uint64_t *total)
{
    bool found = false;
    pthread_mutex_lock (&self->lock);
    for (size_t i = 0; i < self->n_given; i++)
        if (strcmp (self->given[i].name, name) == 0 &&
            clock_mono () < self->given[i].at + GIVING_NS &&
            self->given[i].sent < self->given[i].total) {
            *sent = self->given[i].sent;
            *total = self->given[i].total;
            found = true;
        }
    pthread_mutex_unlock (&self->lock);
    return found;
}

void lane_fetch (lane_t *self, const raft_point_t *point, const char *name,
                 const uint8_t key[32])
{
    pthread_mutex_lock (&self->lock);
    self->wanted = true;
    self->unwanted = false;
    self->point = *point;
    snprintf (self->from, sizeof self->from, "%s", name);
    memcpy (self->key, key, sizeof self->key);
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->lock);
}

void lane_give_up (lane_t *self)
{
    pthread_mutex_lock (&self->lock);
    self->unwanted = true;
    pthread_mutex_unlock (&self->lock);
}

lane_t *lane_new (const lane_config_t *config, dfs_error_t *err)
{
    lane_t *self = calloc (1, sizeof *self);
    if (!self)
        abort ();
    self->config = *config;
    self->copy.fd = -1;
    snprintf (self->copy_path, sizeof self->copy_path, "%s/state.copy", config->data);
    snprintf (self->part_path, sizeof self->part_path, "%s/state.part", config->data);
    io_unlink (self->copy_path, NULL);
    io_unlink (self->part_path, NULL);
    self->asks = mailbox_new ();
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->wake, NULL);
    int rc = pthread_create (&self->giver, NULL, give_main, self);
    self->giving = rc == 0;
    if (rc == 0) {
        rc = pthread_create (&self->getter, NULL, lane_get_main, self);
        self->getting = rc == 0;
    }
    if (rc != 0) {
        errno = rc;
        fail_errno (err, "start the threads for states");
        lane_destroy (&self);
    }
    return self;
}

void lane_destroy (lane_t **self_p)
{
    lane_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock (&self->lock);
    self->stop = true;
    pthread_cond_signal (&self->wake);
    pthread_mutex_unlock (&self->lock);
    peers_message_t *last = calloc (1, sizeof *last); /* wakes the giver */
    if (!last)
        abort ();
    mailbox_push (self->asks, last);
    if (self->getting)
        pthread_join (self->getter, NULL);
    if (self->giving)
        pthread_join (self->giver, NULL);
    forget (self);
    mailbox_destroy (&self->asks, lane_free_ask);
    pthread_cond_destroy (&self->wake);
    pthread_mutex_destroy (&self->lock);
    free (self);
    *self_p = NULL;
}
