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
    packet->seq = ++peer->sent;
    size_t len;
    uint8_t *bytes = wire_encode (packet, &len);
    self->config.ops.send (packet->to, bytes, len, self->config.ops.arg);
    free (bytes);
}

/* Entries from FROM on, at most N, of the tail or the disk: as many as fit in one
 * packet. *ENTRIES, returned owned, point into the tail or into *READ. */
static unsigned gather (raft_driver_t *self, uint64_t from, unsigned n,
                        struct raft_entry **entries, wal_entries_t *read)
{
    *read = (wal_entries_t){0};
    n = n < WIRE_ENTRIES_MAX ? n : WIRE_ENTRIES_MAX;
    bool here = raft_tail_get (&self->tail, from);
    if (!here) {
        uint64_t to = from + n - 1;
        to = to < self->tail.first ? to : self->tail.first - 1;
        if (to < from || self->config.ops.read (from, to, WIRE_DATA_MAX, read,
                                                self->config.ops.arg)) {
            driver_fail (self, DFS_EDAMAGED, "entry %" PRIu64 " cannot be read", from);
            return 0;
        }
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

/* One message of the core may be many packets: each is a whole message of its own. */
static void send_entries (raft_driver_t *self, const struct raft_message *m)
{
    wire_packet_t packet = {
        .to = m->server_id, .kind = RAFT_APPEND_ENTRIES, .message = *m};
    struct raft_append_entries *a = &packet.message.append_entries;
    unsigned left = m->append_entries.n_entries;
    do {
        struct raft_entry *entries = NULL;
        wal_entries_t read = {0};
        a->n_entries = 0;
        if (left) {
            a->n_entries = gather (self, a->prev_log_index + 1, left, &entries, &read);
            if (a->n_entries == 0) {
                wal_entries_free (&read);
                free (entries);
                return;
            }
        }
        a->entries = entries;
        send_packet (self, &packet);
        left -= a->n_entries;
        if (a->n_entries) {
            a->prev_log_index += a->n_entries;
            a->prev_log_term = entries[a->n_entries - 1].term;
        }
        wal_entries_free (&read);
        free (entries);
    } while (left);
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
