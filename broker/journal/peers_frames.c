/* SPDX-License-Identifier: MPL-2.0 */
/* A message between brokers as frames: a head, then the bytes in parts of at most 1
 * MiB. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "common/bytes.h"
#include "msgs/zap.h"

#include "peers_private.h"

#define HEAD_MAGIC 0x31706664u /* dfp1 */
#define PART_MAX   (1024 * 1024)
#define PARTS_MAX  4

/* On the wire, little-endian. */
typedef struct head {
    uint32_t magic;
    uint32_t kind;
    uint64_t len;
    char name[JOURNAL_NAME];
} head_t;

static int send_part (void *sock, const void *data, size_t len, int flags)
{
    return zmq_send (sock, data, len, flags | ZMQ_DONTWAIT) < 0 ? -1 : 0;
}

/* Once the first part of a message is taken, so are the others. */
static int send_all (void *sock, const peers_route_t *route, const char *own_name,
                     enum peers_kind kind, const uint8_t *bytes, size_t len)
{
    head_t head = {.magic = htole32 (HEAD_MAGIC),
                   .kind = htole32 ((uint32_t)kind),
                   .len = htole64 (len)};
    strncpy (head.name, own_name, sizeof head.name - 1);
    if (route && send_part (sock, route->id, route->len, ZMQ_SNDMORE) < 0)
        return -1;
    if (send_part (sock, &head, sizeof head, len ? ZMQ_SNDMORE : 0) < 0)
        return -1;
    for (size_t at = 0; at < len;) {
        size_t n = len - at < PART_MAX ? len - at : PART_MAX;
        if (send_part (sock, bytes + at, n, at + n < len ? ZMQ_SNDMORE : 0) < 0)
            return -1;
        at += n;
    }
    return 0;
}

int peers_send_on (void *sock, const char *own_name, enum peers_kind kind,
                   const void *bytes, size_t len)
{
    return send_all (sock, NULL, own_name, kind, bytes, len);
}

int peers_route_on (void *sock, const peers_route_t *route, const char *own_name,
                    enum peers_kind kind, const void *bytes, size_t len)
{
    return send_all (sock, route, own_name, kind, bytes, len);
}

/* --- receiving --- */

typedef struct reading {
    peers_message_t *out;
    bool routed; /* the first frame is a route */
    unsigned n;  /* frames so far */
    size_t got;
    bool bad;
    bool secure;
    uint8_t key[32];
} reading_t;

static void take_head (reading_t *self, zmq_msg_t *msg)
{
    head_t head;
    if (zmq_msg_size (msg) != sizeof head) {
        self->bad = true;
        return;
    }
    memcpy (&head, zmq_msg_data (msg), sizeof head);
    uint32_t kind = le32toh (head.kind);
    uint64_t len = le64toh (head.len);
    if (le32toh (head.magic) != HEAD_MAGIC || kind < PEERS_PACKET ||
        kind > PEERS_PIECE || len > PEERS_BYTES_MAX ||
        memchr (head.name, 0, sizeof head.name) == NULL) {
        self->bad = true;
        return;
    }
    self->secure = zap_message_key (msg, self->key) == 0;
    self->out->kind = (enum peers_kind)kind;
    self->out->len = (size_t)len;
    memcpy (self->out->name, head.name, sizeof head.name);
    self->out->bytes = malloc (len ? (size_t)len : 1);
    if (!self->out->bytes)
        abort ();
}

static void take_frame (reading_t *self, zmq_msg_t *msg)
{
    unsigned at = self->n++ + !self->routed;
    size_t len = zmq_msg_size (msg);
    if (self->bad)
        return;
    if (at == 0) {
        self->bad = len > PEERS_ROUTE;
        if (!self->bad) {
            memcpy (self->out->route.id, zmq_msg_data (msg), len);
            self->out->route.len = len;
        }
    } else if (at == 1) {
        take_head (self, msg);
    } else if (at > PARTS_MAX + 1 || len > self->out->len - self->got) {
        self->bad = true;
    } else {
        memcpy (self->out->bytes + self->got, zmq_msg_data (msg), len);
        self->got += len;
    }
}

static int receive (void *sock, bool routed, peers_message_t *message, bool *secure,
                    uint8_t key[32])
{
    reading_t r = {.out = message, .routed = routed};
    *message = (peers_message_t){0};
    int more = 1;
    while (more) {
        zmq_msg_t msg;
        zmq_msg_init (&msg);
        if (zmq_msg_recv (&msg, sock, ZMQ_DONTWAIT) < 0) {
            zmq_msg_close (&msg);
            if (r.n == 0)
                return 0;
            r.bad = true; /* cannot be: messages are whole */
            break;
        }
        more = zmq_msg_more (&msg);
        take_frame (&r, &msg);
        zmq_msg_close (&msg);
    }
    if (r.bad || !message->bytes || r.got != message->len) {
        free (message->bytes);
        message->bytes = NULL;
        return -1;
    }
    *secure = r.secure;
    memcpy (key, r.key, 32);
    return 1;
}

int peers_receive_on (void *sock, peers_message_t *message)
{
    bool secure;
    uint8_t key[32];
    return receive (sock, false, message, &secure, key);
}

int peers_receive_from (void *sock, peers_message_t *message, bool *secure,
                        uint8_t key[32])
{
    return receive (sock, true, message, secure, key);
}
