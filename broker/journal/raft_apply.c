/* SPDX-License-Identifier: MPL-2.0 */
/* What is committed: delivered in order, with the cookies of what was proposed here,
 * and changes of the brokers given back to the core. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "raft_private.h"

/* Proposals from INDEX on will not commit. */
void driver_drop_cookies (raft_driver_t *self, uint64_t index, int code)
{
    while (self->n_cookies > self->first_cookie &&
           self->cookies[self->n_cookies - 1].index >= index) {
        uint64_t cookie = self->cookies[--self->n_cookies].cookie;
        self->in_flight -= self->cookies[self->n_cookies].weight;
        self->config.ops.dropped (&cookie, 1, code, self->config.ops.arg);
    }
}

/* The cookie of the entry INDEX of TERM; older ones are dropped on the way. */
static uint64_t take_cookie (raft_driver_t *self, uint64_t index, uint64_t term)
{
    uint64_t found = 0;
    while (self->first_cookie < self->n_cookies &&
           self->cookies[self->first_cookie].index <= index) {
        const raft_cookie_t *c = &self->cookies[self->first_cookie++];
        self->in_flight -= c->weight;
        if (c->index == index && c->term == term)
            found = c->cookie;
        else
            self->config.ops.dropped (&c->cookie, 1, DFS_ENOTLEADER,
                                      self->config.ops.arg);
    }
    if (self->first_cookie == self->n_cookies)
        self->first_cookie = self->n_cookies = 0;
    return found;
}

static void submit_barrier (raft_driver_t *self)
{
    uint64_t zero = 0;
    struct raft_entry entry = {
        self->r.current_term, RAFT_BARRIER, {&zero, sizeof zero}, raft_borrowed};
    struct raft_event event = {.time = self->r.now, .type = RAFT_SUBMIT};
    event.submit.entries = &entry;
    event.submit.n = 1;
    driver_step (self, &event, NULL);
}

/* A leader's term begins with an entry of its own: without it nothing older commits, no
 * read is linearizable and no change of the brokers is allowed (G5). The core makes one
 * only when it knows of uncommitted entries. */
static void begin_term (raft_driver_t *self)
{
    if (raft_state (&self->r) != RAFT_LEADER || self->lead_term == self->r.current_term)
        return;
    self->lead_term = self->r.current_term;
    self->lead_index = raft_last_index (&self->r);
    if (driver_term_of (self, self->lead_index) != self->r.current_term) {
        self->lead_index++;
        submit_barrier (self);
    }
}

/* A committed change of the brokers. */
static void take_change (raft_driver_t *self, const wal_entry_t *entry)
{
    struct raft_event event = {.time = self->r.now, .type = RAFT_CONFIGURATION};
    struct raft_buffer buf = {(void *)(uintptr_t)entry->data, entry->len};
    dfs_error_t err;
    if (entry->len > POINT_CONF_MAX ||
        guard_configuration (&buf, &event.configuration.conf, &err)) {
        driver_fail (self, DFS_EDAMAGED, "entry %" PRIu64 ": no configuration",
                     entry->index);
        return;
    }
    memcpy (self->conf, entry->data, entry->len);
    self->conf_len = entry->len;
    self->conf_index = entry->index;
    event.configuration.index = entry->index;
    driver_step (self, &event, NULL);
}

/* --- how much is on its way to the state machine --- */

static void hand_over (raft_driver_t *self, uint64_t last, size_t bytes)
{
    if (self->first_handed && self->n_handed == self->handed_cap) {
        self->n_handed -= self->first_handed;
        memmove (self->handed, self->handed + self->first_handed,
                 self->n_handed * sizeof *self->handed);
        self->first_handed = 0;
    }
    if (self->n_handed == self->handed_cap) {
        self->handed_cap = self->handed_cap ? 2 * self->handed_cap : 64;
        self->handed =
            reallocarray (self->handed, self->handed_cap, sizeof *self->handed);
        if (!self->handed)
            abort ();
    }
    self->handed[self->n_handed++] = (raft_handed_t){last, bytes};
    self->handed_bytes += bytes;
}

void driver_forget_handed (raft_driver_t *self, uint64_t index)
{
    while (self->first_handed < self->n_handed &&
           self->handed[self->first_handed].last <= index)
        self->handed_bytes -= self->handed[self->first_handed++].bytes;
    if (self->first_handed == self->n_handed)
        self->first_handed = self->n_handed = 0;
}

bool raft_driver_full (const raft_driver_t *self)
{
    return self->handed_bytes >= self->config.window_bytes;
}

bool raft_driver_more (const raft_driver_t *self)
{
    return self->more;
}

void raft_driver_applied (raft_driver_t *self, uint64_t now, uint64_t index)
{
    bool full = raft_driver_full (self);
    driver_forget_handed (self, index);
    if (full && !raft_driver_full (self))
        raft_driver_go_on (self, now);
}

void raft_driver_go_on (raft_driver_t *self, uint64_t now)
{
    if (self->failed.code)
        return;
    if (now > self->r.now)
        self->r.now = now;
    driver_advance (self);
}

/* --- delivery --- */

static void deliver (raft_driver_t *self, const wal_entry_t *entries, size_t n)
{
    journal_entry_t *out = calloc (n, sizeof *out);
    if (!out)
        abort ();
    size_t k = 0, bytes = 0;
    for (size_t i = 0; i < n; i++) {
        const wal_entry_t *e = &entries[i];
        uint64_t cookie = take_cookie (self, e->index, e->term);
        if (e->index <= self->applied)
            continue;
        bytes += e->len + PROPOSAL_OVERHEAD;
        bool command = e->type == RECORD_COMMAND;
        out[k++] = (journal_entry_t){e->index, e->term, command ? e->data : NULL,
                                     command ? e->len : 0, cookie};
    }
    if (k) {
        self->applied = out[k - 1].index;
        hand_over (self, self->applied, bytes);
        self->config.ops.committed (out, k, self->config.ops.arg);
    }
    free (out);
}

/* Copies entries FROM … TO of the tail into *OUT, about MAX bytes. */
static void copy_tail (raft_driver_t *self, uint64_t from, uint64_t to, size_t max,
                       wal_entries_t *out)
{
    size_t n = 0, bytes = 0;
    for (uint64_t i = from; i <= to && (n == 0 || bytes < max); i++, n++)
        bytes += raft_tail_get (&self->tail, i)->len;
    wal_entry_t *entries = malloc (n * sizeof *entries + bytes);
    if (!entries)
        abort ();
    uint8_t *data = (uint8_t *)(entries + n);
    for (size_t i = 0; i < n; i++) {
        entries[i] = *raft_tail_get (&self->tail, from + i);
        memcpy (data, entries[i].data, entries[i].len);
        entries[i].data = data;
        data += entries[i].len;
    }
    *out = (wal_entries_t){n, entries};
}

/* What may be delivered now: not more than the state machine can take in, and not so
 * much at once that everything else has to wait for it. */
static size_t allowance (raft_driver_t *self)
{
    if (self->step_at != self->r.now) {
        self->step_at = self->r.now;
        self->step_left = self->config.step_bytes;
    }
    if (raft_driver_full (self))
        return 0;
    self->more = self->step_left == 0;
    size_t room = self->config.window_bytes - self->handed_bytes;
    return room < self->step_left ? room : self->step_left;
}

/* Entries FROM … TO, or the first of them, from the tail or the disk. */
static int fetch (raft_driver_t *self, uint64_t from, uint64_t to, size_t max,
                  wal_entries_t *out)
{
    if (raft_tail_get (&self->tail, from)) {
        copy_tail (self, from, to, max, out);
        return DFS_OK;
    }
    to = to < self->tail.first ? to : self->tail.first - 1;
    return self->config.ops.read (from, to, max, false, out, self->config.ops.arg);
}

/* Delivers what is committed and durable here. Durable too: the state machine must
 * never know an entry that this broker's own log may have lost after a crash. */
void driver_advance (raft_driver_t *self)
{
    if (self->advancing)
        return;
    self->advancing = true;
    self->more = false;
    begin_term (self);
    while (!self->failed.code && !self->r.snapshot.installing) {
        uint64_t to = self->r.commit_index < self->r.last_stored ? self->r.commit_index
                                                                 : self->r.last_stored;
        size_t max = self->seen < to ? allowance (self) : 0;
        if (max == 0)
            break;
        wal_entries_t read;
        uint64_t from = self->seen + 1;
        int rc = fetch (self, from, to, max < READ_BYTES ? max : READ_BYTES, &read);
        if (rc == DFS_EAGAIN)
            break;
        if (rc != DFS_OK) {
            driver_fail (self, DFS_EDAMAGED, "entry %" PRIu64 " cannot be read", from);
            break;
        }
        size_t bytes = 0;
        for (size_t i = 0; i < read.n; i++)
            bytes += read.entries[i].len + PROPOSAL_OVERHEAD;
        self->step_left -= bytes < self->step_left ? bytes : self->step_left;
        self->seen = from + read.n - 1;
        deliver (self, read.entries, read.n);
        for (size_t i = 0; i < read.n; i++)
            if (read.entries[i].type == RECORD_CHANGE)
                take_change (self, &read.entries[i]);
        wal_entries_free (&read);
        begin_term (self);
    }
    raft_tail_evict (&self->tail, self->r.last_stored, self->config.cache_bytes);
    self->advancing = false;
}
