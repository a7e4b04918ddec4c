/* SPDX-License-Identifier: MPL-2.0 */
/* Carries out what brokers order: sends pieces and copies, re-hashes copies on a thread
 * of its own. Stands between the link and the flows. */
#ifndef WORKER_FLOW_ORDERS_H
#define WORKER_FLOW_ORDERS_H

#include "worker/flow/forward.h"
#include "worker/flow/streams.h"
#include "worker/links/broker_link.h"

typedef struct orders orders_t;

typedef struct orders_config {
    store_t *store;
    notes_t *notes;
    directory_t *directory;
    forward_t *forward;
    streams_t *streams;
} orders_config_t;

/* What CONFIG names is borrowed until destroy. */
orders_t *orders_new (const orders_config_t *config, dfs_error_t *err);
/* Ends after the chunk in work; orders that wait are dropped. */
void orders_destroy (orders_t **self_p);

/* What the link calls. */
link_orders_t orders_callbacks (orders_t *self);

#endif
