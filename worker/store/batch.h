/* SPDX-License-Identifier: MPL-2.0 */
/* A batch while it is gathered: packed records in one buffer and what has to happen
 * when they are durable. The caller locks. */
#ifndef WORKER_STORE_BATCH_H
#define WORKER_STORE_BATCH_H

#include <stdbool.h>

#include "worker/store/record.h"

struct volume;

typedef struct batch_item {
    record_t rec; /* its crcs are not valid */
    uint32_t crc0;
    size_t at; /* of the packed record in the buffer */
    bool answer;
    uint64_t cookie;
    uint64_t upload;
    struct volume *volume; /* of the sealed extent; held and in flight */
} batch_item_t;

typedef struct batch {
    uint32_t seed; /* of the disk's records */
    uint8_t *buf;  /* header space, then records */
    size_t len;
    size_t cap;
    batch_item_t *items;
    size_t n;
    size_t cap_items;
} batch_t;

#define BATCH_FULL (4 * 1024 * 1024) /* no more is added beyond this */

void batch_init (batch_t *self, uint32_t seed);
void batch_free (batch_t *self);
/* Empty again; memory is kept up to BATCH_FULL. */
void batch_reset (batch_t *self);
/* The buffer is there, up to the padding. */
void batch_space (batch_t *self);
bool batch_takes (const batch_t *self, size_t len);
/* Adds a record with CRCS (rec->n_crcs) and PAYLOAD (record_payload (rec) bytes).
 * Returns the item, valid until the next add, for the caller to fill. */
batch_item_t *batch_add (batch_t *self, const record_t *rec, const uint32_t *crcs,
                         const void *payload);
/* Adds what OTHER holds behind it. */
void batch_join (batch_t *self, const batch_t *other);
/* Gives every record that is a new change its number from SEQ on; returns the next. */
uint64_t batch_number (batch_t *self, uint64_t seq);
/* Takes the items for which DROP is true out of the batch into OUT. */
void batch_split (batch_t *self, bool (*drop) (const batch_item_t *item), batch_t *out);

#endif
