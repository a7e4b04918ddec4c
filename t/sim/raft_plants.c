/* SPDX-License-Identifier: MPL-2.0 */
/* Bugs planted to see that they are found. The linker puts these functions between the
 * callers and what they wrap; in all other runs they only pass on. */
#include "broker/journal/raft_private.h"

#include "raft_world_private.h"

int __real_raft_step (struct raft *r, struct raft_event *event,
                      struct raft_update *update);
int __wrap_raft_step (struct raft *r, struct raft_event *event,
                      struct raft_update *update);
void __real_guard_write_begin (guard_writes_t *self, raft_index index, unsigned n);
void __wrap_guard_write_begin (guard_writes_t *self, raft_index index, unsigned n);
bool __real_guard_sole_voter (const struct raft_buffer *conf, raft_id id);
bool __wrap_guard_sole_voter (const struct raft_buffer *conf, raft_id id);
void __real_driver_send_ping (raft_driver_t *self, uint64_t to, unsigned kind,
                              uint64_t term, uint64_t round);
void __wrap_driver_send_ping (raft_driver_t *self, uint64_t to, unsigned kind,
                              uint64_t term, uint64_t round);

static bool planted (enum plant plant)
{
    return world.config && world.config->plant == plant;
}

/* Term of the own entry at INDEX; 0: not known. */
static raft_term own_term (const struct raft *r, raft_index index)
{
    const struct raft_trail *t = &r->trail;
    if (index == t->snapshot.index)
        return t->snapshot.term;
    if (index <= t->offset)
        return 0;
    for (unsigned i = t->front; i != t->back; i = (i + 1) % t->size)
        if (t->records[i].index >= index)
            return t->records[i].term;
    return 0;
}

static void forget_terms (const struct raft *r, struct raft_event *event)
{
    if (event->type != RAFT_RECEIVE ||
        event->receive.message->type != RAFT_APPEND_ENTRIES)
        return;
    struct raft_append_entries *a = &event->receive.message->append_entries;
    raft_term own = own_term (r, a->prev_log_index);
    if (own)
        a->prev_log_term = own;
}

static void count_copies (struct raft *r)
{
    for (raft_index i = r->commit_index + 1; i <= r->last_stored; i++) {
        unsigned voters = 0, have = 0;
        for (unsigned k = 0; k < r->configuration.n; k++) {
            const struct raft_server *s = &r->configuration.servers[k];
            raft_index match = 0;
            if (s->role != RAFT_VOTER)
                continue;
            voters++;
            if (s->id == r->id)
                match = r->last_stored;
            else
                raft_match_index (r, s->id, &match);
            have += match >= i;
        }
        if (have <= voters / 2)
            break;
        r->commit_index = i;
    }
}

int __wrap_raft_step (struct raft *r, struct raft_event *event,
                      struct raft_update *update)
{
    if (planted (PLANT_NO_TERMS))
        forget_terms (r, event);
    int rv = __real_raft_step (r, event, update);
    if (rv == 0 && planted (PLANT_UNCOMMITTED) && r->commit_index < r->last_stored)
        r->commit_index = r->last_stored;
    if (rv == 0 && planted (PLANT_OLD_TERMS) && r->state == RAFT_LEADER)
        count_copies (r);
    return rv;
}

void __wrap_guard_write_begin (guard_writes_t *self, raft_index index, unsigned n)
{
    if (!planted (PLANT_OLD_WRITES)) {
        __real_guard_write_begin (self, index, n);
        return;
    }
    raft_index ends[256];
    size_t k = self->n < 256 ? self->n : 256;
    for (size_t i = 0; i < k; i++)
        ends[i] = self->all[i].valid_end;
    __real_guard_write_begin (self, index, n);
    for (size_t i = 0; i < k; i++)
        self->all[i].valid_end = ends[i];
}

bool __wrap_guard_sole_voter (const struct raft_buffer *conf, raft_id id)
{
    return !planted (PLANT_SAME_TERM) && __real_guard_sole_voter (conf, id);
}

void __wrap_driver_send_ping (raft_driver_t *self, uint64_t to, unsigned kind,
                              uint64_t term, uint64_t round)
{
    if (planted (PLANT_NO_PINGS) && kind == WIRE_PING)
        driver_peer (self, to)->pong = round;
    else
        __real_driver_send_ping (self, to, kind, term, round);
}
