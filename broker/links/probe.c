/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/links/probe.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/resolve.h"
#include "common/units.h"

#define ACTIVE_MAX 256

typedef struct trial {
    mail_probe_t *mail;
    int fd;
    uint64_t deadline; /* monotonic */
} trial_t;

struct prober {
    mailbox_t *in;
    mailbox_t *out;
    pthread_t thread;
    trial_t active[ACTIVE_MAX];
    size_t n;
};

static void answer (prober_t *self, mail_probe_t *mail, int outcome)
{
    mail->outcome = outcome;
    mailbox_push (self->out, mail);
}

static int outcome_of (int error)
{
    if (error == 0)
        return PROBE_OPEN;
    return error == ECONNREFUSED ? PROBE_REFUSED : PROBE_SILENT;
}

/* HOST is numeric; returns the length of the address, 0 when it is none. */
static socklen_t address (const char *host, uint16_t port, struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    char bare[64];
    size_t len = strlen (host);

    memset (out, 0, sizeof *out);
    if (inet_pton (AF_INET, host, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons (port);
        return sizeof *v4;
    }
    if (len < 3 || len - 2 >= sizeof bare || host[0] != '[')
        return 0;
    memcpy (bare, host + 1, len - 2);
    bare[len - 2] = 0;
    if (inet_pton (AF_INET6, bare, &v6->sin6_addr) != 1)
        return 0;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons (port);
    return sizeof *v6;
}

static void begin (prober_t *self, mail_probe_t *mail)
{
    struct sockaddr_storage to;
    char numeric[64];
    dfs_error_t err;
    int wait_ms = (int)(mail->timeout_ns / MS);

    if (self->n == ACTIVE_MAX || mail->port == 0 || mail->port > UINT16_MAX ||
        resolve_host (mail->host, numeric, sizeof numeric, wait_ms, &err) < 0) {
        answer (self, mail, PROBE_SILENT);
        return;
    }
    socklen_t len = address (numeric, (uint16_t)mail->port, &to);
    int fd =
        len ? socket (to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0) : -1;
    if (fd < 0) {
        answer (self, mail, PROBE_SILENT);
        return;
    }
    int error = connect (fd, (struct sockaddr *)&to, len) < 0 ? errno : 0;
    if (error != EINPROGRESS) {
        close (fd);
        answer (self, mail, outcome_of (error));
        return;
    }
    trial_t *trial = &self->active[self->n++];
    trial->mail = mail;
    trial->fd = fd;
    trial->deadline = clock_mono () + mail->timeout_ns;
}

static void end (prober_t *self, size_t i, int outcome)
{
    close (self->active[i].fd);
    answer (self, self->active[i].mail, outcome);
    self->active[i] = self->active[--self->n];
}

/* Ends the trials that are decided; FDS are those of the poll, in order. */
static void check (prober_t *self, const struct pollfd *fds)
{
    uint64_t now = clock_mono ();

    for (size_t i = self->n; i-- > 0;) {
        int error = 0;
        socklen_t len = sizeof error;

        if (fds[i].revents) {
            getsockopt (fds[i].fd, SOL_SOCKET, SO_ERROR, &error, &len);
            end (self, i, outcome_of (error));
        } else if (now >= self->active[i].deadline)
            end (self, i, PROBE_SILENT);
    }
}

static int next_wait (const prober_t *self)
{
    uint64_t now = clock_mono ();
    uint64_t next = UINT64_MAX;

    for (size_t i = 0; i < self->n; i++) {
        if (self->active[i].deadline < next)
            next = self->active[i].deadline;
    }
    if (next == UINT64_MAX)
        return -1;
    return next <= now ? 0 : (int)((next - now) / MS) + 1;
}

static void *run (void *arg)
{
    prober_t *self = arg;
    struct pollfd fds[ACTIVE_MAX + 1];

    for (;;) {
        for (size_t i = 0; i < self->n; i++)
            fds[i] = (struct pollfd){.fd = self->active[i].fd, .events = POLLOUT};
        fds[self->n] = (struct pollfd){.fd = mailbox_fd (self->in), .events = POLLIN};
        poll (fds, self->n + 1, next_wait (self));
        check (self, fds);
        mail_t *mail;
        while ((mail = mailbox_pop (self->in))) {
            if (mail->kind == MAIL_STOP) {
                mail_free (mail);
                return NULL;
            }
            begin (self, (mail_probe_t *)mail);
        }
    }
}

prober_t *prober_new (mailbox_t *out)
{
    prober_t *self = calloc (1, sizeof *self);

    assert (self);
    self->in = mailbox_new ();
    self->out = out;
    if (pthread_create (&self->thread, NULL, run, self))
        abort ();
    return self;
}

static void free_mail (void *item)
{
    mail_free (item);
}

void prober_destroy (prober_t **self_p)
{
    prober_t *self = *self_p;

    if (!self)
        return;
    mailbox_push (self->in, mail_new (MAIL_STOP, sizeof (mail_t)));
    pthread_join (self->thread, NULL);
    while (self->n)
        end (self, self->n - 1, PROBE_SILENT);
    mailbox_destroy (&self->in, free_mail);
    free (self);
    *self_p = NULL;
}

void prober_push (prober_t *self, mail_probe_t *mail)
{
    mailbox_push (self->in, mail);
}
