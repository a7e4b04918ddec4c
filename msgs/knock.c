/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "common/log.h"
#include "common/peername.h"
#include "common/units.h"
#include "knock.h"
#include "sock.h"

static void forget (knock_t *self, unsigned at)
{
    self->n_open--;
    memmove (&self->open[at], &self->open[at + 1],
             (self->n_open - at) * sizeof self->open[0]);
}

static void came (knock_t *self, int fd)
{
    if (self->n_open == KNOCK_OPEN) {
        /* The oldest is the likeliest to be through. */
        forget (self, 0);
        self->succeeded -= self->succeeded > 0;
    }
    self->open[self->n_open].fd = fd;
    peername_text (fd, self->open[self->n_open].from, sizeof self->open[0].from);
    self->n_open++;
}

static void tell (knock_t *self, const char *door, const char *from, const char *why,
                  uint64_t now)
{
    self->bad++;
    if (self->said_at && now - self->said_at < SEC)
        return;
    self->said_at = now;
    log_warn ("bad_peer", "door=%s peer=%s total=%llu text=\"%s\"", door, from,
              (unsigned long long)self->bad, why);
}

static void went (knock_t *self, const char *door, int fd, uint64_t now)
{
    const char *why = self->why;
    self->why = NULL;
    unsigned at = 0;
    while (at < self->n_open && self->open[at].fd != fd)
        at++;
    bool open = at < self->n_open;
    if (why)
        tell (self, door, open ? self->open[at].from : "-", why, now);
    else if (open && self->succeeded)
        self->succeeded--;
    else if (open)
        tell (self, door, self->open[at].from, "what it sent is no handshake", now);
    if (open)
        forget (self, at);
}

void knock_drain (knock_t *self, const char *door, void *monitor, uint64_t now)
{
    sock_event_t event;
    while (sock_monitor_read (monitor, &event))
        knock_event (self, door, &event, now);
}

void knock_event (knock_t *self, const char *door, const struct sock_event *event,
                  uint64_t now)
{
    switch (event->event) {
    case ZMQ_EVENT_ACCEPTED:
        came (self, event->value);
        break;
    case ZMQ_EVENT_HANDSHAKE_SUCCEEDED:
    case ZMQ_EVENT_HANDSHAKE_FAILED_AUTH: /* the ZAP handler has said it */
        if (++self->succeeded >= self->n_open)
            self->n_open = self->succeeded = 0;
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL:
        self->why = "its handshake breaks the protocol";
        break;
    case ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL:
        self->why = "it left its handshake unfinished";
        break;
    case ZMQ_EVENT_DISCONNECTED:
        went (self, door, event->value, now);
        break;
    default:
        break;
    }
}
