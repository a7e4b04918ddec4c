/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/links/outbox.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

struct out_message {
    struct out_message *next;
    size_t len;
    uint8_t data[];
};

static void unlink_blocked (link_t *link, conn_t *conn)
{
    for (conn_t **at = &link->blocked; *at; at = &(*at)->next_blocked) {
        if (*at == conn) {
            *at = conn->next_blocked;
            break;
        }
    }
    conn->next_blocked = NULL;
}

static void drop_first (conn_t *conn)
{
    struct out_message *message = conn->kept;

    conn->kept = message->next;
    if (!conn->kept)
        conn->kept_end = NULL;
    conn->n_kept--;
    conn->kept_bytes -= message->len;
    free (message);
}

void outbox_clear (link_t *link, conn_t *conn)
{
    if (!conn->kept)
        return;
    while (conn->kept)
        drop_first (conn);
    unlink_blocked (link, conn);
}

static int keep (link_t *link, conn_t *conn, Dfs__Envelope *env)
{
    size_t len = dfs__envelope__get_packed_size (env);

    if (len > ENVELOPE_MAX)
        return DFS_ETOOBIG;
    if (conn->n_kept >= OUTBOX_MESSAGES || conn->kept_bytes + len > OUTBOX_BYTES)
        return DFS_EAGAIN;
    struct out_message *message = malloc (sizeof *message + len);
    assert (message);
    message->next = NULL;
    message->len = len;
    env->version = ENVELOPE_VERSION;
    dfs__envelope__pack (env, message->data);
    if (conn->kept_end)
        conn->kept_end->next = message;
    else {
        conn->kept = message;
        conn->next_blocked = link->blocked;
        link->blocked = conn;
    }
    conn->kept_end = message;
    conn->n_kept++;
    conn->kept_bytes += len;
    return DFS_OK;
}

int outbox_send (link_t *link, conn_t *conn, Dfs__Envelope *env)
{
    if (conn->kept)
        return keep (link, conn, env);
    int rc = envelope_send (link->sock, &conn->route, 0, env);
    return rc == DFS_EAGAIN ? keep (link, conn, env) : rc;
}

/* False when the peer's queue is still full. */
static bool send_first (link_t *link, conn_t *conn)
{
    const struct out_message *message = conn->kept;

    if (zmq_send (link->sock, conn->route.id, conn->route.len,
                  ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return errno != EAGAIN; /* gone: its monitor event comes */
    zmq_send (link->sock, message->data, message->len, ZMQ_DONTWAIT);
    return true;
}

bool outbox_retry (link_t *link)
{
    conn_t **at = &link->blocked;

    while (*at) {
        conn_t *conn = *at;
        while (conn->kept && send_first (link, conn))
            drop_first (conn);
        if (conn->kept)
            at = &conn->next_blocked;
        else {
            *at = conn->next_blocked;
            conn->next_blocked = NULL;
        }
    }
    return link->blocked != NULL;
}
