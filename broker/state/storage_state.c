/* SPDX-License-Identifier: MPL-2.0 */
/* The namespace as a whole: opened, copied for another broker, replaced by the state
 * of one. */
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "broker/state/storage_private.h"

/* LMDB's write transactions belong to the thread that began them: the tables are opened
 * and closed where they are used. */
int storage_open_namespace (storage_t *self, dfs_error_t *err)
{
    const storage_config_t *config = &self->config;
    uint8_t cluster_id[16];
    uint32_t incarnation;

    self->tables.ns = namespace_open (config->dir, err);
    if (!self->tables.ns)
        return err->code;
    if (namespace_seeded (self->tables.ns)) {
        namespace_identity (self->tables.ns, cluster_id, &incarnation);
        if (memcmp (cluster_id, config->cluster_id, sizeof cluster_id) != 0)
            return fail (err, DFS_ECLUSTER, "%s: namespace of another cluster",
                         config->dir);
    }
    self->reader = namespace_reader_new (self->tables.ns, err);
    return self->reader ? DFS_OK : err->code;
}

/* The reader has no snapshot of the old tables open, and nobody copies them. */
static int put_state (storage_t *self, const mail_install_t *mail, dfs_error_t *err)
{
    storage_stop_reader (self);
    pthread_mutex_lock (&self->swap);
    namespace_reader_destroy (&self->reader);
    namespace_close (&self->tables.ns);
    self->dirty_since = 0;
    self->uncommitted = 0;
    int rc = self->broken ? fail (err, DFS_EUNAVAIL, "the namespace is broken")
                          : namespace_put (self->config.dir, mail->path, err);
    if (rc >= 0)
        rc = storage_open_namespace (self, err);
    if (rc >= 0 && namespace_applied (self->tables.ns) != mail->index)
        rc = fail (err, DFS_EDAMAGED, "%s: the installed namespace is another one",
                   self->config.dir);
    pthread_mutex_unlock (&self->swap);
    if (rc >= 0)
        storage_start_reader (self);
    return rc;
}

void storage_do_install (storage_t *self, mail_install_t *mail)
{
    mail->code = put_state (self, mail, mail->err);
    if (mail->code < 0)
        self->broken = true; /* the journal gives up */
    else {
        mail_durable_t *durable = mail_new (MAIL_DURABLE, sizeof *durable);
        durable->index = mail->index;
        mailbox_push (self->config.out, durable);
        mailbox_push (self->config.out, mail_checked_new (false, true));
        storage_push_directory (self, 0);
    }
    sem_post (mail->done);
}

int storage_copy (storage_t *self, const char *path, uint64_t *index, dfs_error_t *err)
{
    pthread_mutex_lock (&self->swap);
    int rc = !self->tables.ns ? fail (err, DFS_EUNAVAIL, "the namespace is not open")
             : self->doubted  ? fail (err, DFS_EDAMAGED, "the namespace is in doubt")
                              : namespace_copy (self->tables.ns, path, index, err);
    pthread_mutex_unlock (&self->swap);
    return rc;
}

void storage_doubt (storage_t *self, bool doubted)
{
    atomic_store (&self->doubted, doubted);
}

int storage_check (const storage_t *self, const char *path, uint64_t index,
                   dfs_error_t *err)
{
    static const uint8_t unseeded[16];
    uint64_t found = 0;
    uint8_t id[16];

    int rc = namespace_file_index (path, &found, id, err);
    if (rc < 0)
        return rc;
    if (found != index)
        return fail (err, DFS_EDAMAGED, "%s: a namespace of another index", path);
    if (memcmp (id, unseeded, sizeof id) != 0 &&
        memcmp (id, self->config.cluster_id, sizeof id) != 0)
        return fail (err, DFS_ECLUSTER, "%s: namespace of another cluster", path);
    return DFS_OK;
}

int storage_install (storage_t *self, const char *path, uint64_t index,
                     dfs_error_t *err)
{
    sem_t done;

    int rc = storage_check (self, path, index, err);
    if (rc < 0)
        return rc;
    sem_init (&done, 0, 0);
    mail_install_t *mail = mail_new (MAIL_INSTALL, sizeof *mail);
    mail->path = path;
    mail->index = index;
    mail->err = err;
    mail->done = &done;
    mailbox_push (self->in, mail);
    while (sem_wait (&done) < 0)
        ;
    rc = mail->code;
    mail_free (&mail->head);
    sem_destroy (&done);
    return rc;
}
