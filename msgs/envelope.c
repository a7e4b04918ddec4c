/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <string.h>
#include <zmq.h>

#include "envelope.h"
#include "zap.h"

static int send_error (void)
{
    if (errno == EAGAIN)
        return DFS_EAGAIN;
    if (errno == EHOSTUNREACH)
        return DFS_EUNAVAIL;
    return DFS_EINTERNAL;
}

int envelope_send (void *sock, const route_t *route, char topic, Dfs__Envelope *env)
{
    env->version = ENVELOPE_VERSION;
    size_t len = dfs__envelope__get_packed_size (env);
    if (len > ENVELOPE_MAX)
        return DFS_ETOOBIG;
    /* With ROUTER_MANDATORY the first part tells whether the peer can take a message.
     */
    if (route && zmq_send (sock, route->id, route->len, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return send_error ();
    if (topic && zmq_send (sock, &topic, 1, ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        return send_error ();
    zmq_msg_t msg;
    if (zmq_msg_init_size (&msg, len) < 0)
        return DFS_ENOMEM;
    dfs__envelope__pack (env, zmq_msg_data (&msg));
    if (zmq_msg_send (&msg, sock, ZMQ_DONTWAIT) < 0) {
        int code = send_error ();
        zmq_msg_close (&msg);
        return code;
    }
    return DFS_OK;
}

/* Reads and drops what is left of a multipart message. */
static void drop_rest (void *sock, zmq_msg_t *msg)
{
    while (zmq_msg_more (msg)) {
        zmq_msg_close (msg);
        zmq_msg_init (msg);
        if (zmq_msg_recv (msg, sock, ZMQ_DONTWAIT) < 0)
            break;
    }
}

int envelope_recv (void *sock, bool kind_router, bool topic, arena_t *arena,
                   envelope_from_t *from, Dfs__Envelope **env, dfs_error_t *err)
{
    memset (from, 0, sizeof *from);
    from->fd = -1;
    *env = NULL;
    zmq_msg_t msg;
    zmq_msg_init (&msg);
    int code = 1;
    if (zmq_msg_recv (&msg, sock, ZMQ_DONTWAIT) < 0) {
        code = errno == EAGAIN || errno == EINTR
                   ? 0
                   : fail (err, DFS_EINTERNAL, "receive: %s", zmq_strerror (errno));
        goto out;
    }
    if (kind_router) {
        if (zmq_msg_size (&msg) > ROUTE_MAX || !zmq_msg_more (&msg)) {
            code = fail (err, DFS_EPROTO, "message without a body");
            goto drop;
        }
        from->route.len = (uint8_t)zmq_msg_size (&msg);
        memcpy (from->route.id, zmq_msg_data (&msg), from->route.len);
    }
    if (topic) {
        if (zmq_msg_size (&msg) != 1 || !zmq_msg_more (&msg)) {
            code = fail (err, DFS_EPROTO, "message without a topic");
            goto drop;
        }
        from->topic = *(const char *)zmq_msg_data (&msg);
    }
    if (kind_router || topic) {
        zmq_msg_close (&msg);
        zmq_msg_init (&msg);
        if (zmq_msg_recv (&msg, sock, ZMQ_DONTWAIT) < 0) {
            code = fail (err, DFS_EINTERNAL, "receive: %s", zmq_strerror (errno));
            goto out;
        }
    }
    from->fd = zmq_msg_get (&msg, ZMQ_SRCFD);
    from->has_key = zap_message_key (&msg, from->key) == 0;
    if (zmq_msg_more (&msg)) {
        code = fail (err, DFS_EPROTO, "message of too many parts");
        goto drop;
    }
    *env = dfs__envelope__unpack (arena_allocator (arena), zmq_msg_size (&msg),
                                  zmq_msg_data (&msg));
    if (!*env)
        code = fail (err, DFS_EPROTO, "not an envelope, or too large");
    else if ((*env)->version != ENVELOPE_VERSION)
        code = fail (err, DFS_EPROTO, "envelope version %u", (*env)->version);
    else if ((*env)->body_case == DFS__ENVELOPE__BODY__NOT_SET && !(*env)->status)
        code = fail (err, DFS_EPROTO, "envelope without a body that is known here");
    if (code < 0)
        *env = NULL;
drop:
    drop_rest (sock, &msg);
out:
    zmq_msg_close (&msg);
    return code;
}

void envelope_answer (Dfs__Envelope *env, const Dfs__Envelope *asked)
{
    dfs__envelope__init (env);
    env->version = ENVELOPE_VERSION;
    env->has_seq = asked->has_seq;
    env->seq = asked->seq;
    env->has_session = asked->has_session;
    env->session = asked->session;
    env->has_trace = asked->has_trace;
    env->trace = asked->trace;
}

const char *envelope_kind (const Dfs__Envelope *env)
{
    const ProtobufCFieldDescriptor *field = protobuf_c_message_descriptor_get_field (
        env->base.descriptor, (unsigned)env->body_case);
    return field ? field->name : "?";
}
