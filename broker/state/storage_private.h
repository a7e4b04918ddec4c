/* SPDX-License-Identifier: MPL-2.0 */
/* Shared by the files of broker/state: what a look-up may use, and the threads' own
 * state. Storage thread only. */
#ifndef BROKER_STATE_STORAGE_PRIVATE_H
#define BROKER_STATE_STORAGE_PRIVATE_H

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

#include "broker/state/selfcheck.h"
#include "broker/state/storage.h"

typedef struct tables {
    namespace_t *ns;
    locations_t *locations;
    const uint8_t *handle_key;
} tables_t;

struct storage {
    tables_t tables;
    storage_config_t config;
    namespace_reader_t *reader;
    mailbox_t *in;
    mailbox_t *reader_in;
    pthread_t thread;
    pthread_t reader_thread;
    bool running;
    bool reading;
    selfcheck_t *selfcheck; /* runs as long as the reader does */
    atomic_bool doubted;    /* it is not copied for others */
    atomic_uint_fast64_t busy_since;
    pthread_mutex_t swap; /* the namespace is not closed while it is copied */
    sem_t opened;         /* by the storage thread, or open_error says why not */
    dfs_error_t open_error;
    uint64_t applied;         /* at the start */
    bool broken;              /* apply or commit failed: nothing more is done */
    uint64_t dirty_since;     /* monotonic; 0: clean */
    uint64_t uncommitted;     /* entries */
    uint64_t locations_since; /* 0: clean */
    mail_core_t *later;       /* work that others go before, in its order */
    mail_core_t *later_end;
    uint64_t later_at; /* when the last of it was done */
    uint64_t later_done;
};

/* storage.c. */
void storage_start_reader (storage_t *self);
void storage_stop_reader (storage_t *self);
void storage_push_directory (storage_t *self, uint64_t asked);
/* storage_state.c. */
int storage_open_namespace (storage_t *self, dfs_error_t *err);
void storage_do_install (storage_t *self, mail_install_t *mail);

/* Answers JOB, a request for point look-ups, in JOB->answer (DFS_EINTERNAL for others).
 */
void lookup_job (tables_t *tables, job_t *job);
/* Answers what the core asks; the answer may be a failure, never nothing. */
void lookup_core (tables_t *tables, mail_core_t *mail);
/* What waits to be reclaimed; bytes of workers. */
void lookup_reclaim (tables_t *tables, mail_core_t *mail);
void lookup_explain (tables_t *tables, job_t *job);
void lookup_bytes (tables_t *tables, mail_core_t *mail);
core_effect_t lookup_effect (const namespace_effect_t *effect);
/* Owned; NULL when the namespace is damaged. */
mail_directory_t *lookup_directory (tables_t *tables, uint64_t asked, dfs_error_t *err);
void lookup_totals (tables_t *tables, mail_totals_t *mail);
void lookup_chores (tables_t *tables, mail_chores_t *mail);
void lookup_decided (tables_t *tables, mail_decided_t *mail);
/* First half of a scan of all chunks: the keys, on the reader thread. */
void lookup_referenced (namespace_reader_t *reader, mail_core_t *mail);
/* Facts and copies of one chunk; OUT->key is KEY in any case. */
int lookup_chunk (tables_t *tables, const copykey_t *key, core_chunk_t *out,
                  dfs_error_t *err);

#endif
