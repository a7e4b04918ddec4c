/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/state/storage.h"

#include <assert.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "broker/state/storage_private.h"
#include "common/clock.h"
#include "common/units.h"

#define COMMIT_INTERVAL (20 * MS) /* between the first change and its sync */
#define COMMIT_ENTRIES  4096
#define LOCATIONS_EVERY (200 * MS)
#define LATER_AT_ONCE   8         /* pages that one commit of the locations writes */
#define LATER_EVERY     (20 * MS) /* work for later goes on at least so often */
#define RESULT_ARENA    (64 * 1024 * 1024) /* results of one batch of entries */

/* What comes next has just begun. */
static void begins (storage_t *self)
{
    atomic_store_explicit (&self->busy_since, clock_mono (), memory_order_relaxed);
}

static void waits (storage_t *self)
{
    atomic_store_explicit (&self->busy_since, 0, memory_order_relaxed);
}

uint64_t storage_busy_since (const storage_t *self)
{
    return atomic_load_explicit (&self->busy_since, memory_order_relaxed);
}

static void give_up (storage_t *self, const dfs_error_t *err)
{
    if (!self->broken)
        self->config.failed (err, self->config.arg);
    self->broken = true;
}

static void commit (storage_t *self)
{
    dfs_error_t err;

    self->dirty_since = 0;
    self->uncommitted = 0;
    if (self->broken || !namespace_dirty (self->tables.ns))
        return;
    begins (self);
    if ((self->config.before_commit &&
         self->config.before_commit (self->config.arg, &err) < 0) ||
        namespace_commit (self->tables.ns, &err) < 0) {
        wrap (&err, "namespace");
        give_up (self, &err);
        return;
    }
    mail_durable_t *mail = mail_new (MAIL_DURABLE, sizeof *mail);
    mail->index = namespace_durable (self->tables.ns);
    mailbox_push (self->config.out, mail);
}

static void commit_locations (storage_t *self)
{
    dfs_error_t err;

    self->locations_since = 0;
    begins (self);
    if (locations_commit (self->tables.locations, &err) < 0) {
        wrap (&err, "locations");
        give_up (self, &err);
    }
}

void storage_push_directory (storage_t *self, uint64_t asked)
{
    dfs_error_t err;
    mail_directory_t *mail = lookup_directory (&self->tables, asked, &err);

    if (mail)
        mailbox_push (self->config.out, mail);
    else
        give_up (self, &err);
}

static void add_effects (storage_t *self, mail_applied_t *out)
{
    const namespace_effect_t *effects;
    size_t n = namespace_effects (self->tables.ns, &effects);

    if (n == 0)
        return;
    out->effects = realloc (out->effects, (out->n_effects + n) * sizeof *out->effects);
    assert (out->effects);
    for (size_t i = 0; i < n; i++)
        out->effects[out->n_effects++] = lookup_effect (&effects[i]);
}

static void apply (storage_t *self, mail_entries_t *mail)
{
    mail_applied_t *out;
    bool foreign = false; /* others changed the directory */
    dfs_error_t err;

    if (self->broken)
        return;
    out = mail_new (MAIL_APPLIED, sizeof *out);
    out->arena = arena_new (RESULT_ARENA);
    out->rows = calloc (mail->n + 1, sizeof *out->rows);
    assert (out->rows);
    for (size_t i = 0; i < mail->n; i++) {
        const journal_entry_t *e = &mail->rows[i];
        Dfs__OpResult *result = NULL;

        begins (self);
        if (namespace_apply (self->tables.ns, e->index, e->term, e->data, e->len,
                             out->arena, &result, &err) < 0) {
            wrap (&err, "apply entry %llu", (unsigned long long)e->index);
            give_up (self, &err);
            break;
        }
        self->uncommitted++;
        add_effects (self, out);
        if (e->cookie == 0) {
            foreign |= namespace_directory (self->tables.ns);
            continue;
        }
        out->rows[out->n].cookie = e->cookie;
        out->rows[out->n].index = e->index;
        out->rows[out->n].result = result;
        out->n++;
    }
    if (self->dirty_since == 0)
        self->dirty_since = clock_mono ();
    out->index = namespace_applied (self->tables.ns);
    out->time_ns = namespace_time (self->tables.ns);
    out->inline_max = namespace_inline_max (self->tables.ns);
    namespace_hash (self->tables.ns, out->hash);
    namespace_checked (self->tables.ns, &out->check);
    mailbox_push (self->config.out, out);
    if (foreign)
        storage_push_directory (self, 0);
}

static void do_job (storage_t *self, job_t *job)
{
    if (job->env->body_case == DFS__ENVELOPE__BODY_LIST) {
        /* A listing reads committed state only: everything acknowledged before it was
         * asked must be in there. */
        if (job->index > namespace_durable (self->tables.ns))
            commit (self);
        mailbox_push (self->reader_in, job);
        return;
    }
    lookup_job (&self->tables, job);
    mailbox_push (self->config.out, job);
}

static void do_core (storage_t *self, mail_core_t *mail)
{
    if ((mail->ask.type == ACTION_LOCATIONS_APPLY ||
         mail->ask.type == ACTION_LOOKUP_MARKS) &&
        self->locations_since == 0)
        self->locations_since = clock_mono ();
    lookup_core (&self->tables, mail);
    mailbox_push (self->config.out, mail);
}

/* A scan of all chunks goes by the reader thread, which lists them, and comes back for
 * their copies. What workers list waits: a page takes milliseconds, there may be
 * thousands, and nobody misses one of them as the log is missed. */
static void take_core (storage_t *self, mail_core_t *mail)
{
    if (mail->ask.type == ACTION_SCAN_WORKER && mail->ask.u.scan.worker == 0 &&
        !mail->read) {
        mailbox_push (self->reader_in, mail);
    } else if ((mail->ask.type == ACTION_LOCATIONS_APPLY && mail->ask.u.apply.later) ||
               (mail->ask.type == ACTION_LOOKUP_MARKS && mail->ask.u.marks.later)) {
        if (self->later)
            self->later_end->next = mail;
        else {
            self->later = mail;
            self->later_at = clock_mono ();
        }
        self->later_end = mail;
    } else {
        do_core (self, mail);
    }
}

/* One piece of what waits. */
static void do_later (storage_t *self)
{
    mail_core_t *mail = self->later;

    begins (self);
    self->later = mail->next;
    mail->next = NULL;
    if (self->broken && !self->reading)
        mail_free (&mail->head);
    else
        do_core (self, mail);
    if (++self->later_done % LATER_AT_ONCE == 0 && self->locations_since)
        commit_locations (self);
    self->later_at = clock_mono ();
}

/* A state could not be put in the place of another: there is nothing to ask, and the
 * broker ends. */
static void refuse (storage_t *self, mail_t *mail)
{
    if (mail->kind != MAIL_JOB) {
        mail_free (mail);
        return;
    }
    job_refuse ((job_t *)mail, DFS_EUNAVAIL, "this broker has lost its namespace");
    mailbox_push (self->config.out, mail);
}

/* Returns false for the mail that ends the thread. */
static bool do_mail (storage_t *self, mail_t *mail)
{
    if (self->broken && !self->reading && mail->kind != MAIL_STOP &&
        mail->kind != MAIL_INSTALL) {
        refuse (self, mail);
        return true;
    }
    switch (mail->kind) {
    case MAIL_STOP:
        mail_free (mail);
        return false;
    case MAIL_ENTRIES:
        apply (self, (mail_entries_t *)mail);
        mail_free (mail);
        break;
    case MAIL_JOB:
        do_job (self, (job_t *)mail);
        break;
    case MAIL_CORE:
        take_core (self, (mail_core_t *)mail);
        break;
    case MAIL_TOTALS:
        lookup_totals (&self->tables, (mail_totals_t *)mail);
        mailbox_push (self->config.out, mail);
        break;
    case MAIL_CHORES:
        lookup_chores (&self->tables, (mail_chores_t *)mail);
        mailbox_push (self->config.out, mail);
        break;
    case MAIL_DECIDED:
        lookup_decided (&self->tables, (mail_decided_t *)mail);
        mailbox_push (self->config.out, mail);
        break;
    case MAIL_POLICY: /* the reader sees what is committed */
        commit (self);
        mailbox_push (self->reader_in, mail);
        break;
    case MAIL_LOST:
        mailbox_push (self->reader_in, mail);
        break;
    case MAIL_INSTALL:
        waits (self);
        storage_do_install (self, (mail_install_t *)mail);
        break;
    case MAIL_DIRECTORY:
        storage_push_directory (self, ((mail_directory_t *)mail)->asked);
        mail_free (mail);
        break;
    default:
        assert (!"mail that is not for the storage thread");
    }
    return true;
}

static int open_tables (storage_t *self)
{
    dfs_error_t *err = &self->open_error;

    int rc = storage_open_namespace (self, err);
    if (rc < 0)
        return rc;
    self->tables.locations = locations_open (self->config.dir, err);
    if (!self->tables.locations)
        return err->code;
    self->applied = namespace_applied (self->tables.ns);
    return DFS_OK;
}

static void close_tables (storage_t *self)
{
    namespace_reader_destroy (&self->reader);
    locations_close (&self->tables.locations);
    namespace_close (&self->tables.ns);
}

static int time_left (uint64_t since, uint64_t interval, uint64_t now, int least)
{
    if (since == 0)
        return least;
    uint64_t left = now >= since + interval ? 0 : since + interval - now;
    int ms = (int)((left + MS - 1) / MS);
    return least < 0 || ms < least ? ms : least;
}

void storage_stop_reader (storage_t *self)
{
    if (!self->reading)
        return;
    selfcheck_destroy (&self->selfcheck);
    mailbox_push (self->reader_in, mail_new (MAIL_STOP, sizeof (mail_t)));
    pthread_join (self->reader_thread, NULL);
    self->reading = false;
}

static void *storage_main (void *arg)
{
    storage_t *self = arg;
    bool going = open_tables (self) == DFS_OK;

    sem_post (&self->opened);
    while (going) {
        uint64_t now = clock_mono ();
        int wait = time_left (self->dirty_since, COMMIT_INTERVAL, now, -1);
        wait = time_left (self->locations_since, LOCATIONS_EVERY, now, wait);
        waits (self);
        mail_t *mail = mailbox_wait (self->in, self->later ? 0 : wait);
        for (; mail != NULL; mail = going ? mailbox_pop (self->in) : NULL) {
            begins (self);
            going = do_mail (self, mail);
            if (self->uncommitted >= COMMIT_ENTRIES ||
                (self->dirty_since &&
                 clock_mono () - self->dirty_since >= COMMIT_INTERVAL))
                commit (self);
            if (self->locations_since &&
                clock_mono () - self->locations_since >= LOCATIONS_EVERY)
                commit_locations (self);
            if (going && self->later && clock_mono () - self->later_at >= LATER_EVERY)
                do_later (self);
        }
        if (going && self->later)
            do_later (self);
        now = clock_mono ();
        if (self->dirty_since && now - self->dirty_since >= COMMIT_INTERVAL)
            commit (self);
        if (self->locations_since && now - self->locations_since >= LOCATIONS_EVERY)
            commit_locations (self);
    }
    commit (self);
    if (self->locations_since)
        commit_locations (self);
    storage_stop_reader (self);
    close_tables (self);
    return NULL;
}

storage_t *storage_open (const storage_config_t *config, dfs_error_t *err)
{
    storage_t *self = calloc (1, sizeof *self);

    assert (self);
    self->config = *config;
    self->tables.handle_key = self->config.handle_key;
    self->in = mailbox_new ();
    self->reader_in = mailbox_new ();
    sem_init (&self->opened, 0, 0);
    pthread_mutex_init (&self->swap, NULL);
    if (pthread_create (&self->thread, NULL, storage_main, self))
        abort ();
    self->running = true;
    while (sem_wait (&self->opened) < 0)
        ;
    if (self->open_error.code < 0) {
        *err = self->open_error;
        storage_close (&self);
        return NULL;
    }
    storage_start_reader (self);
    return self;
}

uint64_t storage_applied (const storage_t *self)
{
    return self->applied;
}

void storage_push (storage_t *self, mail_t *mail)
{
    mailbox_push (self->in, mail);
}

static void free_mail (void *item)
{
    mail_free (item);
}

void storage_close (storage_t **self_p)
{
    storage_t *self = *self_p;

    if (!self)
        return;
    if (self->running) {
        mailbox_push (self->in, mail_new (MAIL_STOP, sizeof (mail_t)));
        pthread_join (self->thread, NULL);
    }
    mailbox_destroy (&self->in, free_mail);
    mailbox_destroy (&self->reader_in, free_mail);
    while (self->later) {
        mail_core_t *mail = self->later;

        self->later = mail->next;
        mail_free (&mail->head);
    }
    sem_destroy (&self->opened);
    pthread_mutex_destroy (&self->swap);
    free (self);
    *self_p = NULL;
}
