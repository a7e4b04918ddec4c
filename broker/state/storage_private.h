/* SPDX-License-Identifier: MPL-2.0 */
/* Shared by the files of broker/state: what a look-up may use. Storage thread only. */
#ifndef BROKER_STATE_STORAGE_PRIVATE_H
#define BROKER_STATE_STORAGE_PRIVATE_H

#include "broker/state/storage.h"

typedef struct tables {
    namespace_t *ns;
    locations_t *locations;
    const uint8_t *hmac_key;
} tables_t;

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
