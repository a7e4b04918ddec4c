/* SPDX-License-Identifier: MPL-2.0 */
/* Two threads around LMDB, so that no other one ever waits for it: the storage thread
 * owns the namespace and the locations, applies what the journal committed, answers
 * point look-ups and takes workers' changes; the reader thread pages listings out of
 * what is committed. Both take mail and answer by mail (broker/state/mail.h). */
#ifndef BROKER_STATE_STORAGE_H
#define BROKER_STATE_STORAGE_H

#include "broker/state/mail.h"
#include "common/error.h"
#include "common/mailbox.h"

typedef struct storage storage_t;

typedef struct storage_config {
    const char *dir; /* marked data directory */
    uint8_t cluster_id[16];
    uint8_t handle_key[32];
    mailbox_t *out; /* the reactor's: answers (borrowed) */
    /* Before what was applied is made durable: the log comes first. On the storage
     * thread, may wait; NULL: nothing to do. */
    int (*before_commit) (void *arg, dfs_error_t *err);
    /* The broker cannot go on; called once, on the storage thread. */
    void (*failed) (const dfs_error_t *err, void *arg);
    void *arg;
} storage_config_t;

/* Opens the tables and runs the threads. DFS_ECLUSTER when the namespace in the
 * directory is of another cluster. */
storage_t *storage_open (const storage_config_t *config, dfs_error_t *err);
/* Index behind which the journal must deliver. */
uint64_t storage_applied (const storage_t *self);
/* Any thread: since when the storage thread is at one thing (monotonic); 0: it waits
 * for mail, or puts a state in the place of another. */
uint64_t storage_busy_since (const storage_t *self);
/* Any thread; takes the mail. */
void storage_push (storage_t *self, mail_t *mail);
/* For the journal, on threads that may wait. Copies the namespace as it is on disk, of
 * *INDEX, to the file PATH; puts the file PATH, of INDEX, in its place (DFS_EDAMAGED
 * when it is not of INDEX or of another cluster). */
int storage_copy (storage_t *self, const char *path, uint64_t *index, dfs_error_t *err);
int storage_install (storage_t *self, const char *path, uint64_t index,
                     dfs_error_t *err);
/* What storage_install would refuse, found without touching what is there. */
int storage_check (const storage_t *self, const char *path, uint64_t index,
                   dfs_error_t *err);
/* Any thread: from now on the namespace is not copied for others, or is again. */
void storage_doubt (storage_t *self, bool doubted);
/* Does what was pushed before, commits, ends the threads, closes the tables. */
void storage_close (storage_t **self_p);

#endif
