/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "raft_guards.h"
#include "raft_wire.h"

#define WIRE_MAGIC 0x32726664u /* dfr2 */
#define CONF_MAX   8192

/* A cursor over bytes, for both ways; BAD once it went over the end. */
typedef struct cursor {
    uint8_t *p;
    size_t left;
    bool bad;
} cursor_t;

static void put (cursor_t *c, const void *data, size_t len)
{
    assert (len <= c->left);
    if (len)
        memcpy (c->p, data, len);
    c->p += len;
    c->left -= len;
}

static void put_u64 (cursor_t *c, uint64_t value)
{
    value = htole64 (value);
    put (c, &value, sizeof value);
}

static void put_u32 (cursor_t *c, uint32_t value)
{
    value = htole32 (value);
    put (c, &value, sizeof value);
}

static uint8_t *take (cursor_t *c, size_t len)
{
    if (len > c->left) {
        c->bad = true;
        return NULL;
    }
    uint8_t *p = c->p;
    c->p += len;
    c->left -= len;
    return p;
}

static uint64_t take_u64 (cursor_t *c)
{
    uint64_t value = 0;
    const uint8_t *p = take (c, sizeof value);
    if (p)
        memcpy (&value, p, sizeof value);
    return le64toh (value);
}

static uint32_t take_u32 (cursor_t *c)
{
    uint32_t value = 0;
    const uint8_t *p = take (c, sizeof value);
    if (p)
        memcpy (&value, p, sizeof value);
    return le32toh (value);
}

/* 0 or 1; anything else is bad. */
static bool take_bool (cursor_t *c)
{
    uint32_t value = take_u32 (c);
    c->bad |= value > 1;
    return value == 1;
}

static size_t body_size (const wire_packet_t *packet)
{
    size_t size = 128;
    if (packet->kind == RAFT_APPEND_ENTRIES)
        for (unsigned i = 0; i < packet->message.append_entries.n_entries; i++)
            size += 16 + packet->message.append_entries.entries[i].buf.len;
    if (packet->kind == RAFT_INSTALL_SNAPSHOT)
        size += packet->conf.len;
    return size;
}

static void put_append (cursor_t *c, const struct raft_append_entries *m)
{
    put_u64 (c, m->term);
    put_u64 (c, m->prev_log_index);
    put_u64 (c, m->prev_log_term);
    put_u64 (c, m->leader_commit);
    put_u32 (c, m->n_entries);
    for (unsigned i = 0; i < m->n_entries; i++) {
        const struct raft_entry *e = &m->entries[i];
        put_u64 (c, e->term);
        put_u32 (c, (uint32_t)e->type);
        put_u32 (c, (uint32_t)e->buf.len);
        put (c, e->buf.base, e->buf.len);
    }
}

uint8_t *wire_encode (const wire_packet_t *packet, size_t *len)
{
    size_t size = body_size (packet);
    uint8_t *bytes = malloc (size);
    if (!bytes)
        abort ();
    cursor_t c = {bytes, size, false};
    const struct raft_message *m = &packet->message;
    put_u32 (&c, WIRE_MAGIC);
    put_u32 (&c, packet->kind);
    put_u64 (&c, packet->from);
    put_u64 (&c, packet->to);
    put_u64 (&c, packet->boot);
    put_u64 (&c, packet->seq);
    put_u64 (&c, packet->founding);
    switch (packet->kind) {
    case RAFT_APPEND_ENTRIES:
        put_append (&c, &m->append_entries);
        break;
    case RAFT_APPEND_ENTRIES_RESULT:
        put_u64 (&c, m->append_entries_result.term);
        put_u64 (&c, m->append_entries_result.rejected);
        put_u64 (&c, m->append_entries_result.last_log_index);
        put_u32 (&c, m->append_entries_result.features);
        put_u32 (&c, m->append_entries_result.capacity);
        break;
    case RAFT_REQUEST_VOTE:
        put_u64 (&c, m->request_vote.term);
        put_u64 (&c, m->request_vote.last_log_index);
        put_u64 (&c, m->request_vote.last_log_term);
        put_u32 (&c, m->request_vote.disrupt_leader);
        put_u32 (&c, m->request_vote.pre_vote);
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        put_u64 (&c, m->request_vote_result.term);
        put_u32 (&c, m->request_vote_result.vote_granted);
        put_u32 (&c, m->request_vote_result.pre_vote);
        put_u32 (&c, m->request_vote_result.features);
        put_u32 (&c, m->request_vote_result.capacity);
        break;
    case RAFT_INSTALL_SNAPSHOT:
        put_u64 (&c, m->install_snapshot.term);
        put_u64 (&c, m->install_snapshot.last_index);
        put_u64 (&c, m->install_snapshot.last_term);
        put_u64 (&c, m->install_snapshot.conf_index);
        put_u32 (&c, (uint32_t)packet->conf.len);
        put (&c, packet->conf.base, packet->conf.len);
        break;
    case RAFT_TIMEOUT_NOW:
        put_u64 (&c, m->timeout_now.term);
        put_u64 (&c, m->timeout_now.last_log_index);
        put_u64 (&c, m->timeout_now.last_log_term);
        break;
    default:
        assert (packet->kind == WIRE_PING || packet->kind == WIRE_PONG);
        put_u64 (&c, packet->ping.term);
        put_u64 (&c, packet->ping.round);
    }
    *len = size - c.left;
    return bytes;
}

/* Data of entries is 8-aligned for the core: copied once into OWNED. */
static void take_append (cursor_t *c, wire_packet_t *packet, void *batch)
{
    struct raft_append_entries *m = &packet->message.append_entries;
    m->version = 0;
    m->term = take_u64 (c);
    m->prev_log_index = take_u64 (c);
    m->prev_log_term = take_u64 (c);
    m->leader_commit = take_u64 (c);
    m->n_entries = take_u32 (c);
    m->entries = NULL;
    if (c->bad || m->n_entries > WIRE_ENTRIES_MAX || m->n_entries > c->left / 16) {
        m->n_entries = 0;
        c->bad = true;
        return;
    }
    if (m->n_entries == 0)
        return;
    size_t head = m->n_entries * sizeof *m->entries;
    packet->owned = calloc (1, head + c->left + 8 * (size_t)m->n_entries);
    if (!packet->owned)
        abort ();
    m->entries = packet->owned;
    uint8_t *data = (uint8_t *)packet->owned + head;
    for (unsigned i = 0; i < m->n_entries && !c->bad; i++) {
        struct raft_entry *e = &m->entries[i];
        e->term = take_u64 (c);
        e->type = (enum raft_entry_type)take_u32 (c);
        uint32_t len = take_u32 (c);
        const uint8_t *p = take (c, len);
        if (!p)
            return;
        memcpy (data, p, len);
        e->buf = (struct raft_buffer){data, len};
        e->batch = batch;
        data += (len + 7u) & ~7u;
    }
}

static void take_conf (cursor_t *c, wire_packet_t *packet)
{
    uint32_t len = take_u32 (c);
    const uint8_t *p = len <= CONF_MAX ? take (c, len) : NULL;
    if (!p || len == 0) {
        c->bad = true;
        return;
    }
    packet->owned = malloc (len);
    if (!packet->owned)
        abort ();
    memcpy (packet->owned, p, len);
    packet->conf = (struct raft_buffer){packet->owned, len};
}

static void take_body (cursor_t *c, wire_packet_t *packet, void *batch)
{
    struct raft_message *m = &packet->message;
    switch (packet->kind) {
    case RAFT_APPEND_ENTRIES:
        take_append (c, packet, batch);
        break;
    case RAFT_APPEND_ENTRIES_RESULT:
        m->append_entries_result.version = 1;
        m->append_entries_result.term = take_u64 (c);
        m->append_entries_result.rejected = take_u64 (c);
        m->append_entries_result.last_log_index = take_u64 (c);
        m->append_entries_result.features = (unsigned short)take_u32 (c);
        m->append_entries_result.capacity = (unsigned short)take_u32 (c);
        break;
    case RAFT_REQUEST_VOTE:
        m->request_vote.version = 2;
        m->request_vote.term = take_u64 (c);
        m->request_vote.candidate_id = packet->from;
        m->request_vote.last_log_index = take_u64 (c);
        m->request_vote.last_log_term = take_u64 (c);
        m->request_vote.disrupt_leader = take_bool (c);
        m->request_vote.pre_vote = take_bool (c);
        break;
    case RAFT_REQUEST_VOTE_RESULT:
        m->request_vote_result.version = 2;
        m->request_vote_result.term = take_u64 (c);
        m->request_vote_result.vote_granted = take_bool (c);
        m->request_vote_result.pre_vote = take_bool (c);
        m->request_vote_result.features = (unsigned short)take_u32 (c);
        m->request_vote_result.capacity = (unsigned short)take_u32 (c);
        break;
    case RAFT_INSTALL_SNAPSHOT:
        m->install_snapshot.version = 0;
        m->install_snapshot.term = take_u64 (c);
        m->install_snapshot.last_index = take_u64 (c);
        m->install_snapshot.last_term = take_u64 (c);
        m->install_snapshot.conf_index = take_u64 (c);
        take_conf (c, packet);
        break;
    case RAFT_TIMEOUT_NOW:
        m->timeout_now.version = 0;
        m->timeout_now.term = take_u64 (c);
        m->timeout_now.last_log_index = take_u64 (c);
        m->timeout_now.last_log_term = take_u64 (c);
        break;
    case WIRE_PING:
    case WIRE_PONG:
        packet->ping.term = take_u64 (c);
        packet->ping.round = take_u64 (c);
        c->bad |= packet->ping.term == 0;
        break;
    default:
        c->bad = true;
    }
}

int wire_decode (const void *bytes, size_t len, void *batch, wire_packet_t *packet,
                 dfs_error_t *err)
{
    *packet = (wire_packet_t){0};
    if (len > WIRE_MAX)
        return fail (err, DFS_EPROTO, "packet of %zu bytes", len);
    union {
        const void *in;
        void *out;
    } p = {.in = bytes};
    cursor_t c = {p.out, len, false};
    bool ours = take_u32 (&c) == WIRE_MAGIC;
    packet->kind = take_u32 (&c);
    packet->from = take_u64 (&c);
    packet->to = take_u64 (&c);
    packet->boot = take_u64 (&c);
    packet->seq = take_u64 (&c);
    packet->founding = take_u64 (&c);
    packet->message.type = (enum raft_message_type)packet->kind;
    packet->message.server_id = packet->from;
    if (ours && !c.bad && packet->from && packet->to && packet->seq)
        take_body (&c, packet, batch);
    else
        c.bad = true;
    int rc = DFS_OK;
    if (c.bad || c.left)
        rc = fail (err, DFS_EPROTO, "malformed packet of kind %u", packet->kind);
    else if (packet->kind < WIRE_PING)
        rc = guard_message (&packet->message, &packet->conf, err);
    if (rc != DFS_OK)
        wire_release (packet);
    return rc;
}

void wire_release (wire_packet_t *packet)
{
    free (packet->owned);
    *packet = (wire_packet_t){0};
}

uint64_t wire_sender (const void *bytes, size_t len)
{
    uint64_t id = 0;
    if (len >= 16)
        memcpy (&id, (const uint8_t *)bytes + 8, sizeof id);
    return le64toh (id);
}
