/* SPDX-License-Identifier: MPL-2.0 */
/* Routing of reads: each piece of a Fetch goes to the live replica with the least
 * outstanding work, near ones first; one order per worker. */
#ifndef BROKER_CORE_ROUTE_H
#define BROKER_CORE_ROUTE_H

#include "broker/core/members.h"
#include "broker/core/sessions.h"

typedef struct route route_t;

route_t *route_new (void);
void route_destroy (route_t **self_p);

void route_fetch (core_t *core, const event_fetch_t *event);
void route_found (core_t *core, const event_extents_t *found);
void route_cancel (core_t *core, const event_cancel_t *event);
void route_refused (core_t *core, const event_send_refused_t *event);
/* Who sends PIECE of CHUNK to SESSION: the live copy with the least to do, near ones
 * first; NULL and why not. */
worker_t *route_pick (core_t *core, const session_t *session,
                      const event_piece_t *piece, const core_chunk_t *chunk, int *code);
/* SESSION reads from WORKER, which hears of it when it is gone. */
void route_remember (session_t *session, uint32_t worker);
void route_status (const core_t *core, core_status_t *out);
void route_session_gone (core_t *core, session_t *session);

#endif
