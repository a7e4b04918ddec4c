/* SPDX-License-Identifier: MPL-2.0 */
/* Who knocks at a listening socket and is no peer: sends bytes that are no handshake,
 * or leaves in the middle of one. It changes nothing, and the log says so: bad_peer, at
 * most a line a second for each socket, with how many there were.
 *
 * libzmq tells of most of them, but of the plainest (bytes that are no greeting at all)
 * only that a connection came and went; and it does not say whose handshake succeeded.
 * So connections whose outcome is not known are counted against handshakes that ended
 * well: one that closes while there is none of those was a bad one. Where several come
 * at once the address in the line may be that of another of them; the count is right.
 * Threads: that of the socket's monitor. */
#ifndef MSGS_KNOCK_H
#define MSGS_KNOCK_H

#include <stdint.h>

/* sock.h; not included here: it and <sys/socket.h> name the same things. */
struct sock_event;

#define KNOCK_OPEN 64 /* connections whose handshake is not known to have ended */

typedef struct knock {
    struct {
        int fd;
        char from[64]; /* numeric address and port */
    } open[KNOCK_OPEN];
    unsigned n_open;
    unsigned succeeded; /* handshakes, of those in `open` */
    const char *why;    /* of the connection that closes next; NULL: not told */
    uint64_t bad;       /* so far */
    uint64_t said_at;   /* clock_mono of the last line; 0: none yet */
} knock_t;

/* What a listening socket's monitor has to deliver. */
#define KNOCK_EVENTS                                                                   \
    (ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_HANDSHAKE_SUCCEEDED |     \
     ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |           \
     ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)

/* Takes each event of the monitor, in order; all zero is a knock_t that knows nothing.
 * DOOR names the socket in the log. */
void knock_event (knock_t *self, const char *door, const struct sock_event *event,
                  uint64_t now);
/* Reads and takes all events that are there, where nobody else wants them. */
void knock_drain (knock_t *self, const char *door, void *monitor, uint64_t now);

#endif
