/* SPDX-License-Identifier: MPL-2.0 */
/* Messages of the core, filled with entries and configurations, as packets. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "raft_private.h"

static void send_packet (raft_driver_t *self, wire_packet_t *packet)
{
    raft_peer_t *peer = driver_peer (self, packet->to);
    packet->from = self->config.id;
    packet->boot = self->config.boot;
    packet->founding = self->founding;
    packet->seq = ++peer->sent;
    size_t len;
    uint8_t *bytes = wire_encode (packet, &len);
    self->config.ops.send (packet->to, bytes, len, self->config.ops.arg);
    free (bytes);
}

/* Entries from FROM on, at most N, of the tail or the disk: as many as fit in one
 * packet; 0: none now. *ENTRIES, returned owned, point into the tail or into *READ. */
static unsigned gather (raft_driver_t *self, uint64_t from, unsigned n,
                        struct raft_entry **entries, wal_entries_t *read)
{
    *read = (wal_entries_t){0};
    n = n < WIRE_ENTRIES_MAX ? n : WIRE_ENTRIES_MAX;
    bool here = raft_tail_get (&self->tail, from);
    if (!here) {
        uint64_t to = from + n - 1;
        to = to < self->tail.first ? to : self->tail.first - 1;
        int rc = to < from ? DFS_ENOENT
                           : self->config.ops.read (from, to, WIRE_DATA_MAX, false,
                                                    read, self->config.ops.arg);
        if (rc != DFS_OK && rc != DFS_EAGAIN)
            driver_fail (self, DFS_EDAMAGED, "entry %" PRIu64 " cannot be read", from);
        if (rc != DFS_OK)
            return 0;
        n = (unsigned)read->n;
    }
    *entries = calloc (n, sizeof **entries);
    if (!*entries)
        abort ();
    size_t bytes = 0;
    unsigned k = 0;
    for (; k < n; k++) {
        const wal_entry_t *e =
            here ? raft_tail_get (&self->tail, from + k) : &read->entries[k];
        if (!e || (k && bytes + e->len > WIRE_DATA_MAX))
            break;
        bytes += e->len;
        (*entries)[k] = (struct raft_entry){e->term,
                                            (enum raft_entry_type)e->type,
                                            {(void *)(uintptr_t)e->data, e->len},
                                            NULL};
    }
    return k;
}

/* --- entries on their way ---
 * The core bounds their number, not their bytes, and while it probes it sends the same
 * ones with each heartbeat. Here what is too much is not sent: the follower then
 * refuses what comes behind, and gets it again from where it is. And what was sent is
 * not sent again, unless it was refused or nothing was heard of it for an election
 * timeout. */

static void take_off (raft_driver_t *self, raft_peer_t *peer, uint64_t last,
                      size_t bytes)
{
    if (peer->n_flights == peer->flights_cap) {
        peer->flights_cap = peer->flights_cap ? 2 * peer->flights_cap : 64;
        peer->flights =
            reallocarray (peer->flights, peer->flights_cap, sizeof *peer->flights);
        if (!peer->flights)
            abort ();
    }
    peer->flights[peer->n_flights++] = (raft_flight_t){last, bytes};
    peer->flying += bytes;
    peer->flight_at = self->r.now;
}

static void ground (raft_peer_t *peer)
{
    peer->n_flights = 0;
    peer->flying = 0;
    peer->gap = false;
}

void driver_ground (raft_driver_t *self)
{
    for (size_t i = 0; i < self->n_peers; i++)
        ground (&self->peers[i]);
}

void driver_landed (raft_driver_t *self, uint64_t from,
                    const struct raft_append_entries_result *result)
{
    raft_peer_t *peer = driver_peer (self, from);
    if (result->term != self->r.current_term)
        return;
    if (result->rejected) {
        ground (peer);
        return;
    }
    if (peer->gap && result->last_log_index > peer->gap_after)
        peer->gap_after = result->last_log_index; /* it has them from elsewhere */
    size_t k = 0;
    for (; k < peer->n_flights && peer->flights[k].last <= result->last_log_index; k++)
        peer->flying -= peer->flights[k].bytes;
    peer->n_flights -= k;
    if (k)
        memmove (peer->flights, peer->flights + k,
                 peer->n_flights * sizeof *peer->flights);
}

/* True when entries from FIRST on may be sent. */
static bool may_send (raft_driver_t *self, raft_peer_t *peer, uint64_t first)
{
    if (peer->gap && first > peer->gap_after + 1)
        return false; /* they would be refused */
    if (peer->n_flights && first <= peer->flights[peer->n_flights - 1].last) {
        if (self->r.now < peer->flight_at + self->config.election_ms)
            return false;
        ground (peer);
    }
    peer->gap = false; /* the core has gone back before it, or goes on from it */
    return true;
}

static size_t bytes_of (const struct raft_entry *entries, unsigned n)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < n; i++)
        bytes += entries[i].buf.len + sizeof *entries;
    return bytes;
}

/* One message of the core may be many packets: each is a whole message of its own. */
static void send_entries (raft_driver_t *self, const struct raft_message *m)
{
    wire_packet_t packet = {
        .to = m->server_id, .kind = RAFT_APPEND_ENTRIES, .message = *m};
    struct raft_append_entries *a = &packet.message.append_entries;
    raft_peer_t *peer = driver_peer (self, m->server_id);
    unsigned left = m->append_entries.n_entries;
    uint64_t end = a->prev_log_index + left;
    if (left && !may_send (self, peer, a->prev_log_index + 1))
        left = 0;
    bool none = left == 0;
    bool late = false;
    while (left && !late &&
           (peer->n_flights == 0 || peer->flying < self->config.flight_bytes)) {
        struct raft_entry *entries = NULL;
        wal_entries_t read = {0};
        unsigned n = gather (self, a->prev_log_index + 1, left, &entries, &read);
        if (n) {
            a->entries = entries;
            a->n_entries = n;
            take_off (self, peer, a->prev_log_index + n, bytes_of (entries, n));
            send_packet (self, &packet);
            a->prev_log_index += n;
            a->prev_log_term = entries[n - 1].term;
        }
        left -= n;
        late = n == 0;
        wal_entries_free (&read);
        free (entries);
    }
    if (self->failed.code)
        return;
    if (late) {
        /* They are on their way from the disk. A heartbeat from where it is; what the
         * core believes to be sent is refused then, and sent. */
        peer->gap = true;
        peer->gap_after = a->prev_log_index;
    } else if (left) {
        /* Where the core thinks the follower will be: that is refused once all before
         * it has arrived, and so asks for the rest. */
        peer->gap = true;
        peer->gap_after = a->prev_log_index;
        a->prev_log_index = end;
        a->prev_log_term = driver_term_of (self, end);
    }
    if (none || left) {
        a->n_entries = 0;
        a->entries = NULL;
        send_packet (self, &packet);
    }
}

void driver_send_message (raft_driver_t *self, const struct raft_message *m)
{
    if (m->type == RAFT_APPEND_ENTRIES) {
        send_entries (self, m);
        return;
    }
    wire_packet_t packet = {.to = m->server_id, .kind = m->type, .message = *m};
    if (m->type == RAFT_INSTALL_SNAPSHOT) {
        if (m->install_snapshot.last_index != self->point.index ||
            m->install_snapshot.last_term != self->point.term) {
            driver_fail (self, DFS_EINTERNAL, "snapshot %llu is not the last one",
                         m->install_snapshot.last_index);
            return;
        }
        packet.message.install_snapshot.conf_index = self->point.conf_index;
        packet.conf = (struct raft_buffer){self->point.conf, self->point.conf_len};
    }
    send_packet (self, &packet);
}

void driver_send_ping (raft_driver_t *self, uint64_t to, unsigned kind, uint64_t term,
                       uint64_t round)
{
    wire_packet_t packet = {.to = to, .kind = kind, .ping = {term, round}};
    send_packet (self, &packet);
}
