/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/links/links.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "broker/links/links_private.h"
#include "common/clock.h"
#include "common/rng.h"

#define START_MS      30000      /* to replay the journal's tail and write the seed */
#define TRIM_DELAY    (60 * SEC) /* of surplus copies, or the grace if that is less */
#define SCRATCH_ARENA (64 * 1024 * 1024)

void links_journal_dropped (const uint64_t *cookies, size_t n, int code, void *mailbox)
{
    mail_dropped_t *mail = mail_new (MAIL_DROPPED, sizeof *mail + n * sizeof *cookies);

    mail->code = code;
    mail->n = n;
    memcpy (mail->cookies, cookies, n * sizeof *cookies);
    mailbox_push (mailbox, mail);
}

void links_journal_role (enum journal_role new_role, uint64_t term, const char *leader,
                         void *mailbox)
{
    mail_role_t *mail = mail_new (MAIL_ROLE, sizeof *mail);

    mail->role = new_role;
    mail->term = term;
    if (leader)
        strncpy (mail->leader, leader, sizeof mail->leader - 1);
    mailbox_push (mailbox, mail);
}

void links_journal_read_point (uint64_t cookie, int code, uint64_t index, void *mailbox)
{
    mail_read_t *mail = mail_new (MAIL_READ, sizeof *mail);

    mail->cookie = cookie;
    mail->code = code;
    mail->index = index;
    mailbox_push (mailbox, mail);
}

void links_journal_answered (uint64_t cookie, int code, const char *text, void *mailbox)
{
    mail_answered_t *mail = mail_new (MAIL_ANSWERED, sizeof *mail);

    mail->cookie = cookie;
    mail->code = code;
    if (text)
        strncpy (mail->text, text, sizeof mail->text - 1);
    mailbox_push (mailbox, mail);
}

void links_journal_members (void *mailbox)
{
    mailbox_push (mailbox, mail_new (MAIL_MEMBERS, sizeof (mail_t)));
}

/* A listening socket and its monitor; NULL and neither on failure. */
static void *bound (links_t *self, enum sock_kind kind, int i, void **monitor,
                    dfs_error_t *err)
{
    const cluster_node_t *broker = self->config.broker;
    void *sock = sock_new (self->config.zmq, kind, self->config.id, NULL, err);
    uint16_t port = broker->port ? (uint16_t)(broker->port + i) : 0;

    if (!sock)
        return NULL;
    *monitor = sock_monitor (self->config.zmq, sock, KNOCK_EVENTS, err);
    if (*monitor &&
        sock_bind (sock, broker->bind, port, &self->ports[i], err) == DFS_OK)
        return sock;
    sock_monitor_close (sock, monitor);
    sock_close (&sock);
    return NULL;
}

static int bind_all (links_t *self, dfs_error_t *err)
{
    self->front.sock = bound (self, SOCK_FRONT, 0, &self->front.monitor, err);
    if (self->front.sock)
        self->back.sock = bound (self, SOCK_BACK, 1, &self->back.monitor, err);
    if (self->back.sock)
        self->pulse = bound (self, SOCK_PULSE, 2, &self->pulse_monitor, err);
    if (self->pulse)
        self->announce = bound (self, SOCK_ANNOUNCE, 3, &self->announce_monitor, err);
    return self->announce ? DFS_OK : err->code;
}

links_t *links_new (const links_config_t *config, dfs_error_t *err)
{
    links_t *self = calloc (1, sizeof *self);
    const cluster_t *cluster = config->cluster;

    assert (self);
    self->config = *config;
    self->several = cluster->n_brokers > 1;
    self->now = self->started = clock_mono ();
    timekeeper_start (&self->time, clock_wall (), clock_boot ());
    self->time.lonely = self->several;
    self->stop_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->serving_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
    link_init (&self->front, "front");
    link_init (&self->back, "back");
    self->clients = clients_new ();
    self->pending = pending_new ();
    self->lost_files = lost_new ();
    self->reads = reads_new ();
    self->roster = roster_new ();
    self->workers = idmap_new ();
    self->near = idmap_new ();
    self->actions = actions_new ();
    self->scratch = arena_new (SCRATCH_ARENA);
    self->directory_arena = arena_new (SCRATCH_ARENA);
    core_config_t core = {.seed = rng_secret_u64 (),
                          .now = self->now,
                          .heartbeat_ns = cluster->heartbeat_ns,
                          .heartbeat_timeout_ns = cluster->heartbeat_timeout_ns,
                          .upload_timeout_ns = cluster->upload_timeout_ns,
                          .reclaim_grace_ns = cluster->reclaim_grace_ns,
                          .trim_delay_ns = cluster->reclaim_grace_ns < TRIM_DELAY
                                               ? cluster->reclaim_grace_ns
                                               : TRIM_DELAY,
                          .repair_hold_ns = cluster->repair_hold_ns,
                          .repair_bandwidth = cluster->repair_bandwidth};
    self->core = core_new (&core);
    self->prober = prober_new (config->mail);
    /* Nobody gets in before the keys are known: handshakes begin with the bind. */
    roster_allow (self);
    if (self->stop_fd < 0 || self->serving_fd < 0)
        fail_errno (err, "eventfd");
    else if (bind_all (self, err) == DFS_OK)
        return self;
    links_destroy (&self);
    return NULL;
}

void links_ports (const links_t *self, uint16_t ports[5])
{
    memcpy (ports, self->ports, sizeof self->ports);
}

int links_start (links_t *self, journal_t *journal, storage_t *storage,
                 dfs_error_t *err)
{
    struct pollfd fds[2] = {{.fd = self->serving_fd, .events = POLLIN},
                            {.fd = self->config.fatal_fd, .events = POLLIN}};

    self->journal = journal;
    self->storage = storage;
    if (pthread_create (&self->thread, NULL, links_run, self))
        return fail (err, DFS_ESYS, "cannot make a thread");
    self->running = true;
    if (links_several (self))
        return DFS_OK;
    int rc = poll (fds, 2, START_MS);
    if (rc > 0 && fds[0].revents)
        return DFS_OK;
    links_stop (self);
    if (rc > 0)
        return fail (err, DFS_EINTERNAL, "a part of the broker gave up at the start");
    return fail (err, DFS_ETIMEOUT, "the broker does not come to serve");
}

void links_stop (links_t *self)
{
    uint64_t one = 1;

    if (!self->running)
        return;
    ssize_t rc = write (self->stop_fd, &one, sizeof one);
    (void)rc;
    pthread_join (self->thread, NULL);
    self->running = false;
}

void links_reload (links_t *self, cluster_t *cluster)
{
    mail_reload_t *mail = mail_new (MAIL_RELOAD, sizeof *mail);

    mail->cluster = cluster;
    mailbox_push (self->config.mail, mail);
}

static void free_jobs (links_t *self)
{
    session_t *session;
    size_t pos = 0;

    while ((session = idmap_next (self->clients->by_id, &pos))) {
        while (session->verifies) {
            job_t *job = session->verifies;
            session->verifies = job->next;
            mail_free (&job->head);
        }
    }
    while (self->spare) {
        job_t *job = self->spare;
        self->spare = job->next;
        mail_free (&job->head);
    }
}

void links_destroy (links_t **self_p)
{
    links_t *self = *self_p;

    if (!self)
        return;
    links_stop (self);
    prober_destroy (&self->prober);
    sock_monitor_close (self->front.sock, &self->front.monitor);
    sock_monitor_close (self->back.sock, &self->back.monitor);
    sock_monitor_close (self->pulse, &self->pulse_monitor);
    sock_monitor_close (self->announce, &self->announce_monitor);
    sock_close (&self->front.sock);
    sock_close (&self->back.sock);
    sock_close (&self->pulse);
    sock_close (&self->announce);
    free_jobs (self);
    pending_destroy (&self->pending);
    lost_destroy (&self->lost_files);
    reads_destroy (&self->reads);
    brokers_clear (self);
    clients_destroy (&self->clients);
    roster_destroy (&self->roster);
    link_clear (&self->front);
    link_clear (&self->back);
    idmap_destroy (&self->workers);
    idmap_destroy (&self->near);
    core_destroy (&self->core);
    actions_destroy (&self->actions);
    arena_destroy (&self->scratch);
    arena_destroy (&self->directory_arena);
    cluster_destroy (&self->reloaded);
    close (self->stop_fd);
    close (self->serving_fd);
    free (self);
    *self_p = NULL;
}
