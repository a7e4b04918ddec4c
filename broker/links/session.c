/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/links/session.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/links/outbox.h"
#include "common/rng.h"

void link_init (link_t *link, const char *name)
{
    memset (link, 0, sizeof *link);
    link->name = name;
    link->by_route = idmap_new ();
    link->by_fd = idmap_new ();
    link->by_number = idmap_new ();
}

void link_clear (link_t *link)
{
    conn_t *conn;
    size_t pos = 0;

    if (!link->by_number)
        return;
    while ((conn = idmap_next (link->by_number, &pos))) {
        outbox_clear (link, conn);
        free (conn);
    }
    idmap_destroy (&link->by_route);
    idmap_destroy (&link->by_fd);
    idmap_destroy (&link->by_number);
}

/* A ROUTER's own routing ids are a zero byte and 32 bits; a peer that chose one itself
 * is none of ours. */
static bool route_number (const route_t *route, uint64_t *number)
{
    if (route->len != 5 || route->id[0] != 0)
        return false;
    *number = 0;
    for (int i = 1; i < 5; i++)
        *number = *number << 8 | route->id[i];
    return true;
}

conn_t *link_conn (const link_t *link, const route_t *route)
{
    uint64_t number;

    return route_number (route, &number) ? idmap_get (link->by_route, number) : NULL;
}

conn_t *link_by_number (const link_t *link, uint64_t number)
{
    return idmap_get (link->by_number, number);
}

conn_t *link_by_fd (const link_t *link, int fd)
{
    return idmap_get (link->by_fd, (uint64_t)fd);
}

conn_t *link_hello (link_t *link, const envelope_from_t *from)
{
    static uint64_t last; /* reactor thread only */
    uint64_t route;

    if (!route_number (&from->route, &route))
        return NULL;
    conn_t *conn = idmap_get (link->by_route, route);
    if (conn)
        return conn;
    if (idmap_count (link->by_number) >= CONNS_MAX)
        return NULL;
    conn = calloc (1, sizeof *conn);
    assert (conn);
    conn->number = ++last;
    conn->route = from->route;
    conn->fd = from->fd;
    conn->has_key = from->has_key;
    memcpy (conn->key, from->key, sizeof conn->key);
    idmap_put (link->by_route, route, conn);
    idmap_put (link->by_fd, (uint64_t)conn->fd, conn);
    idmap_put (link->by_number, conn->number, conn);
    return conn;
}

void link_drop (link_t *link, conn_t **conn_p)
{
    conn_t *conn = *conn_p;
    uint64_t route;

    if (route_number (&conn->route, &route))
        idmap_remove (link->by_route, route);
    if (idmap_get (link->by_fd, (uint64_t)conn->fd) == conn)
        idmap_remove (link->by_fd, (uint64_t)conn->fd);
    idmap_remove (link->by_number, conn->number);
    outbox_clear (link, conn);
    free (conn);
    *conn_p = NULL;
}

clients_t *clients_new (void)
{
    clients_t *self = calloc (1, sizeof *self);

    assert (self);
    self->by_id = idmap_new ();
    self->senders = idmap_new ();
    return self;
}

void clients_destroy (clients_t **self_p)
{
    clients_t *self = *self_p;
    session_t *session;
    size_t pos = 0;

    if (!self)
        return;
    while ((session = idmap_next (self->by_id, &pos)))
        free (session);
    idmap_destroy (&self->by_id);
    idmap_destroy (&self->senders);
    free (self);
    *self_p = NULL;
}

session_t *clients_get (const clients_t *self, uint64_t id)
{
    return idmap_get (self->by_id, id);
}

bool clients_full (const clients_t *self)
{
    return idmap_count (self->by_id) >= SESSIONS_MAX;
}

session_t *clients_add (clients_t *self, uint64_t id)
{
    if (clients_full (self))
        return NULL;
    while (id == 0 || clients_get (self, id) || idmap_get (self->senders, id))
        id = rng_secret_u64 ();
    session_t *session = calloc (1, sizeof *session);
    assert (session);
    session->id = id;
    idmap_put (self->by_id, id, session);
    return session;
}

void clients_remove (clients_t *self, session_t **session_p)
{
    idmap_remove (self->by_id, (*session_p)->id);
    free (*session_p);
    *session_p = NULL;
}

void clients_clear (clients_t *self)
{
    session_t *session;
    size_t pos = 0;

    while ((session = idmap_next (self->by_id, &pos)))
        free (session);
    idmap_destroy (&self->by_id);
    self->by_id = idmap_new ();
}

size_t clients_expired (const clients_t *self, uint64_t now, session_t **out,
                        size_t max)
{
    session_t *session;
    size_t pos = 0, n = 0;

    while (n < max && (session = idmap_next (self->by_id, &pos)))
        if (!session->conn && now - session->gone_at >= SESSION_GRACE_NS)
            out[n++] = session;
    return n;
}
