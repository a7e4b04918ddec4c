/* SPDX-License-Identifier: MPL-2.0 */
/* Sending on a ROUTER without ever waiting: what a peer's queue cannot take at the
 * moment is kept for it, in order and bounded, and tried again a little later. Reactor
 * thread. */
#ifndef BROKER_LINKS_OUTBOX_H
#define BROKER_LINKS_OUTBOX_H

#include "broker/links/session.h"

#define OUTBOX_MESSAGES 4096 /* kept for one peer */
#define OUTBOX_BYTES    (8 * 1024 * 1024)

/* DFS_OK when ENV was sent or kept, DFS_EAGAIN when too much is kept already (the peer
 * does not read: it has lost this one), DFS_EUNAVAIL when it is gone, DFS_ETOOBIG. */
int outbox_send (link_t *link, conn_t *conn, Dfs__Envelope *env);
/* Tries what is kept; true while there is more. */
bool outbox_retry (link_t *link);
/* For link_drop. */
void outbox_clear (link_t *link, conn_t *conn);

#endif
