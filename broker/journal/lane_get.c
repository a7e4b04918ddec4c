/* SPDX-License-Identifier: MPL-2.0 */
/* The getting half: asks for pieces, one at a time, until the state is here. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/digest.h"
#include "common/io.h"
#include "common/log.h"
#include "common/units.h"
#include "msgs/sock.h"

#include "lane_private.h"

#define AGAIN_MS  1000       /* a question without an answer is asked again */
#define SILENT_NS (20 * SEC) /* without any piece: given up */

/* One state on its way. */
typedef struct fetch {
    lane_t *lane;
    raft_point_t point;
    char from[JOURNAL_NAME];
    uint8_t key[32];
    void *sock;
    char host[256];
    uint16_t port;
    int fd;
    uint64_t token;
    uint64_t index;
    uint64_t size;
    uint64_t at;
    uint32_t crc; /* of what is here */
    uint32_t whole;
    uint64_t heard;
} fetch_t;

static bool stopped (lane_t *self)
{
    pthread_mutex_lock (&self->lock);
    bool stop = self->stop || self->unwanted;
    pthread_mutex_unlock (&self->lock);
    return stop;
}

/* Connects, or anew when the other's address has changed. */
static int connect_to (fetch_t *f, dfs_error_t *err)
{
    const journal_peers_t *hooks = &f->lane->config.hooks;
    char host[256];
    uint16_t port;
    int rc = hooks->address (f->from, host, sizeof host, &port, hooks->arg, err);
    if (rc != DFS_OK)
        return rc;
    if (f->sock && port == f->port && strcmp (host, f->host) == 0)
        return DFS_OK;
    sock_close (&f->sock);
    f->sock = sock_new (hooks->zmq, SOCK_PEER, hooks->secret, NULL, err);
    if (!f->sock)
        return err->code;
    memcpy (f->host, host, sizeof f->host);
    f->port = port;
    rc = sock_connect (f->sock, hooks->secret, host, port, f->key, err);
    if (rc != DFS_OK)
        sock_close (&f->sock);
    return rc;
}

static void ask (fetch_t *f)
{
    uint8_t bytes[LANE_ASK] = {0};
    put_le32 (bytes, LANE_VERSION);
    put_le64 (bytes + 8, f->point.index);
    put_le64 (bytes + 16, f->token);
    put_le64 (bytes + 24, f->at);
    peers_send_on (f->sock, f->lane->config.name, PEERS_ASK, bytes, sizeof bytes);
}

/* 1 when a piece was taken, 0 when the answer is of no use (late, twice, not ready). */
static int take (fetch_t *f, const peers_message_t *m, dfs_error_t *err)
{
    if (m->kind != PEERS_PIECE || m->len < LANE_HEAD ||
        get_le32 (m->bytes) != LANE_VERSION)
        return 0;
    int code = (int)get_le32 (m->bytes + 4);
    uint64_t token = get_le64 (m->bytes + 8), offset = get_le64 (m->bytes + 32);
    const uint8_t *data = m->bytes + LANE_HEAD;
    size_t len = m->len - LANE_HEAD;
    if (code != DFS_OK)
        return fail (err, code < 0 ? code : DFS_EPROTO, "%s cannot give its state",
                     f->from);
    if (get_le32 (m->bytes + 44) != digest_crc32c (0, data, len))
        return 0;
    if (token != f->token) { /* another copy than before */
        if (offset != 0)
            return 0;
        f->token = token;
        f->at = 0;
        f->crc = 0;
        f->index = get_le64 (m->bytes + 16);
        f->size = get_le64 (m->bytes + 24);
        f->whole = get_le32 (m->bytes + 40);
        if (f->index < f->point.index)
            return fail (err, DFS_EPROTO, "%s gives a state of %llu, not %llu", f->from,
                         (unsigned long long)f->index,
                         (unsigned long long)f->point.index);
        int rc = io_ftruncate (f->fd, 0, err);
        if (rc != DFS_OK)
            return rc;
    }
    if (offset != f->at || len > f->size - f->at || (len == 0 && f->at < f->size))
        return 0;
    int rc = len ? io_pwrite (f->fd, data, len, f->at, err) : DFS_OK;
    if (rc != DFS_OK)
        return rc;
    f->crc = digest_crc32c (f->crc, data, len);
    f->at += len;
    return 1;
}

/* Waits for an answer; 1, 0 or negative as take. */
static int hear (fetch_t *f, dfs_error_t *err)
{
    uint64_t until = clock_mono () + AGAIN_MS * MS;
    while (clock_mono () < until && !stopped (f->lane)) {
        zmq_pollitem_t item = {.socket = f->sock, .events = ZMQ_POLLIN};
        zmq_poll (&item, 1, 100);
        peers_message_t m;
        while (peers_receive_on (f->sock, &m) > 0) {
            int rc = take (f, &m, err);
            free (m.bytes);
            if (rc != 0)
                return rc;
        }
    }
    return 0;
}

static int get_all (fetch_t *f, dfs_error_t *err)
{
    f->heard = clock_mono ();
    while (!f->token || f->at < f->size) {
        if (stopped (f->lane))
            return fail (err, DFS_ECANCELED, "the state of %s is not waited for",
                         f->from);
        int rc = connect_to (f, err);
        if (rc == DFS_OK) {
            ask (f);
            rc = hear (f, err);
            if (rc < 0)
                return rc;
        } else {
            zmq_poll (NULL, 0, 100);
        }
        if (rc > 0)
            f->heard = clock_mono ();
        else if (clock_mono () > f->heard + SILENT_NS)
            return fail (err, DFS_ETIMEOUT, "%s does not answer", f->from);
    }
    return DFS_OK;
}

/* All is here: checks it, and makes it the state. From point.next on, a restart goes
 * by which state it finds. */
static int install (fetch_t *f, bool *fatal, dfs_error_t *err)
{
    lane_t *self = f->lane;
    uint32_t crc;
    int rc = io_fsync (f->fd, err);
    if (rc == DFS_OK)
        rc = lane_checksum (f->fd, f->size, &crc, err);
    if (rc != DFS_OK)
        return rc;
    if (crc != f->whole || crc != f->crc)
        return fail (err, DFS_EDAMAGED, "the state of %s arrived damaged", f->from);
    /* Nothing is touched yet: what cannot be taken is refused here. */
    if (self->config.hooks.check_state)
        rc = self->config.hooks.check_state (self->part_path, f->index,
                                             self->config.hooks.arg, err);
    if (rc != DFS_OK)
        return wrap (err, "the state of %s", f->from);
    point_t next = {.at = f->point, .state = f->index};
    rc = point_save (self->config.dir, POINT_NEXT, &next, err);
    if (rc != DFS_OK)
        return rc;
    *fatal = true;
    return self->config.hooks.take_state (self->part_path, f->index,
                                          self->config.hooks.arg, err);
}

static int fetch (lane_t *self, fetch_t *f, bool *fatal, dfs_error_t *err)
{
    f->fd = io_open (self->part_path, O_RDWR | O_CREAT | O_TRUNC, 0600, err);
    if (f->fd < 0)
        return f->fd;
    int rc = self->config.hooks.take_state
                 ? get_all (f, err)
                 : fail (err, DFS_EUNAVAIL, "no state can be taken");
    if (rc == DFS_OK)
        rc = install (f, fatal, err);
    sock_close (&f->sock);
    io_close (f->fd);
    io_unlink (self->part_path, NULL);
    return rc;
}

void *lane_get_main (void *lane)
{
    lane_t *self = lane;
    for (;;) {
        fetch_t f = {.lane = self, .fd = -1};
        dfs_error_t err = {0};
        bool fatal = false;
        pthread_mutex_lock (&self->lock);
        while (!self->stop && !self->wanted)
            pthread_cond_wait (&self->wake, &self->lock);
        bool stop = self->stop;
        self->wanted = false;
        f.point = self->point;
        memcpy (f.from, self->from, sizeof f.from);
        memcpy (f.key, self->key, sizeof f.key);
        pthread_mutex_unlock (&self->lock);
        if (stop)
            return NULL;
        int rc = fetch (self, &f, &fatal, &err);
        if (rc < 0 && fatal)
            self->config.fatal (&err, self->config.arg);
        else
            self->config.fetched (rc, f.index, &err, self->config.arg);
    }
}
