/* SPDX-License-Identifier: MPL-2.0 */
/* Who is there: what each broker says of itself, the names behind ids, the first set of
 * brokers, and the members as others see them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/bytes.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"

#include "journal_private.h"

#define HELLO_MS     500
#define HELLO_NEW_MS 100   /* while this broker has no set of brokers */
#define WAITING_MS   10000 /* between words about what a beginning waits for */
#define FOUND_MS     1000  /* all must have been heard within this */
#define CLOCK_MS     5000  /* so long a clock is known after it was told */

known_t *brokers_known (journal_t *self, const char *name)
{
    for (size_t i = 0; i < self->n_known; i++)
        if (strcmp (self->known[i].name, name) == 0)
            return &self->known[i];
    return NULL;
}

void brokers_set (journal_t *self, const known_t *brokers, size_t n)
{
    known_t next[JOURNAL_MEMBERS] = {0};
    for (size_t i = 0; i < n; i++) {
        const known_t *old = brokers_known (self, brokers[i].name);
        if (old)
            next[i] = *old;
        memcpy (next[i].name, brokers[i].name, sizeof next[i].name);
        memcpy (next[i].key, brokers[i].key, sizeof next[i].key);
    }
    memcpy (self->known, next, sizeof next);
    self->n_known = n;
}

void brokers_address (const char *name, uint64_t id, char out[WIRE_ADDRESS_MAX + 1])
{
    snprintf (out, WIRE_ADDRESS_MAX + 1, "%.63s#%016llx", name, (unsigned long long)id);
}

size_t brokers_servers (journal_t *self, raft_server_info_t out[JOURNAL_MEMBERS])
{
    size_t n =
        self->driver ? raft_driver_servers (self->driver, out, JOURNAL_MEMBERS) : 0;
    for (size_t i = 0; i < n; i++) {
        char *mark = strrchr (out[i].address, '#');
        if (mark)
            *mark = 0;
    }
    return n;
}

const char *brokers_name (journal_t *self, uint64_t id, char out[JOURNAL_NAME])
{
    raft_server_info_t s[JOURNAL_MEMBERS];
    size_t n = brokers_servers (self, s);
    for (size_t i = 0; i < n; i++)
        if (s[i].id == id) {
            snprintf (out, JOURNAL_NAME, "%.63s", s[i].address);
            return out;
        }
    for (size_t i = 0; i < self->n_known; i++)
        if (self->known[i].id == id) {
            memcpy (out, self->known[i].name, JOURNAL_NAME);
            return out;
        }
    return NULL;
}

const uint8_t *brokers_key (journal_t *self, const char *name)
{
    static const uint8_t none[32];
    const known_t *known = brokers_known (self, name);
    return known ? known->key : none;
}

bool brokers_may_speak (journal_t *self, const char *name, uint64_t id)
{
    raft_server_info_t s[JOURNAL_MEMBERS];
    size_t n = brokers_servers (self, s);
    for (size_t i = 0; i < n; i++)
        if (s[i].id == id)
            return strcmp (s[i].address, name) == 0;
    const known_t *known = brokers_known (self, name);
    return known && known->id == id;
}

/* --- hello --- */

bool brokers_empty (journal_t *self)
{
    return raft_driver_last (self->driver) == 0 &&
           raft_driver_point (self->driver) == 0;
}

/* Others hold this broker for a voter, and it has nothing: what it acknowledged and
 * whom it voted for is lost. As a newcomer, under another id, it harms nobody. */
static void lost_data (journal_t *self, const char *name)
{
    dfs_error_t err;
    fail (&err, DFS_EDAMAGED,
          "%s: broker %s knows this one as a voter, but it has lost its data: remove "
          "the directory, mark it again and replace the broker",
          self->dir, name);
    engine_fail (self, &err);
}

/* Its log and this one began apart: neither takes anything of the other. */
static void note_founding (known_t *known, uint64_t its, uint64_t own)
{
    bool foreign = its && own && its != own;
    if (foreign && !known->foreign)
        log_error ("foreign_log",
                   "node=%s founding=%016llx here=%016llx err=\"it has the log of "
                   "another set of brokers\"",
                   known->name, (unsigned long long)its, (unsigned long long)own);
    known->foreign = foreign;
}

/* The names of the list in their order, as a number. */
static uint64_t list_number (const journal_t *self)
{
    uint64_t sum = self->n_known;
    for (size_t i = 0; i < self->n_known; i++)
        for (const char *p = self->known[i].name;; p++) {
            sum = (sum ^ (uint8_t)*p) * 1099511628211u;
            if (!*p)
                break;
        }
    return sum;
}

/* --- why nothing begins --- */

/* Now it is for these, as TEXT says (NULL: as before). */
static void wait_for (journal_t *self, const char *text, uint64_t now)
{
    if (!self->waiting_at)
        self->waiting_at = self->waiting_told = now;
    if (text)
        snprintf (self->waits_for, sizeof self->waits_for, "%s", text);
    if (now < self->waiting_told + WAITING_MS)
        return;
    self->waiting_told = now;
    log_warn ("founding_waits", "why=\"%s\"", self->waits_for);
}

/* Those of whom WHY says something, with that; false: none. */
static bool list_reasons (journal_t *self, uint64_t now,
                          const char *(*why) (journal_t *, const known_t *, uint64_t),
                          char *text, size_t cap)
{
    size_t at = 0;
    text[0] = 0;
    for (size_t i = 0; i < self->n_known; i++) {
        const known_t *known = &self->known[i];
        bool own = strcmp (known->name, self->name) == 0;
        const char *reason = own ? NULL : why (self, known, now);
        if (reason && at < cap)
            at += (size_t)snprintf (text + at, cap - at, "%s%s %s", at ? ", " : "",
                                    known->name, reason);
    }
    return text[0] != 0;
}

/* Why broker KNOWN keeps the first of the list from beginning; NULL: it does not. */
static const char *keeps_waiting (journal_t *self, const known_t *known, uint64_t now)
{
    if (!known->id || now > known->hello + FOUND_MS)
        return "is not heard";
    if (!known->empty)
        return "has a log";
    if (known->list != list_number (self))
        return "has another list of brokers";
    return NULL;
}

/* Why this one must not take the first set of brokers from the one who wrote it: it may
 * have had it before, and have voted. */
static const char *has_gone_on (journal_t *self, const known_t *known, uint64_t now)
{
    (void)self;
    if (!known->id || now > known->hello + FOUND_MS)
        return "is not heard";
    return known->last > 1 || known->term > 1 ? "has gone on" : NULL;
}

/* Why not all have the first set of brokers. */
static const char *lacks_first (journal_t *self, const known_t *known, uint64_t now)
{
    (void)self;
    if (!known->id || now > known->hello + FOUND_MS)
        return "is not heard";
    return known->empty ? "has not begun" : NULL;
}

/* The first set of brokers, from the one who wrote it: nothing begins before all have
 * it, so that a voter without it is one that has lost it. */
static void hear_first (journal_t *self, const uint8_t *entry, size_t len, uint64_t now)
{
    char text[200];
    if (list_reasons (self, now, has_gone_on, text, sizeof text))
        wait_for (self, text, now);
    else if (raft_driver_names (entry, len, self->id))
        engine_found (self, now, entry, len);
}

/* --- hello --- */

void brokers_hello (journal_t *self, const note_t *note, uint64_t now)
{
    known_t *known = brokers_known (self, note->name);
    if (!known || note->len < HELLO_SIZE || get_le32 (note->bytes) != HELLO_VERSION)
        return;
    uint32_t flags = get_le32 (note->bytes + 4);
    uint64_t id = get_le64 (note->bytes + 8), last = get_le64 (note->bytes + 16);
    /* What it says of the one that had this name before is not said of this one. */
    bool mine = get_le64 (note->bytes + 24) == self->id;
    note_founding (known, get_le64 (note->bytes + 32),
                   raft_driver_founding (self->driver));
    known->list = get_le64 (note->bytes + 40);
    known->term = get_le64 (note->bytes + 48);
    known->trouble = flags & HELLO_HANGS     ? JOURNAL_HANGS
                     : flags & HELLO_STUCK   ? JOURNAL_STUCK
                     : flags & HELLO_REFUSES ? JOURNAL_REFUSES
                                             : JOURNAL_WELL;
    known->clock_off = (int64_t)(get_le64 (note->bytes + 56) - clock_wall ());
    known->word.index = get_le64 (note->bytes + 64);
    memcpy (known->word.hash, note->bytes + 72, sizeof known->word.hash);
    known->word.unfit = flags & HELLO_UNFIT;
    known->last = last;
    if (id != known->id && id != self->id) {
        log_info ("broker_heard", "node=%s id=%016llx empty=%d", known->name,
                  (unsigned long long)id, (int)(flags & HELLO_EMPTY));
        known->id = id;
    }
    known->empty = flags & HELLO_EMPTY;
    known->standby = mine && (flags & HELLO_STANDBY);
    known->heard = known->hello = now;
    if (last > 1)
        self->founding = false;
    if (!brokers_empty (self))
        return;
    if (known == self->known && note->len > HELLO_SIZE && last == 1)
        hear_first (self, note->bytes + HELLO_SIZE, note->len - HELLO_SIZE, now);
    else if (last > 1 && mine && (flags & HELLO_VOTER))
        lost_data (self, known->name);
}

/* What the receiver is in this broker's set. */
static uint32_t part_of (const raft_server_info_t *s, size_t n, const known_t *known)
{
    for (size_t i = 0; i < n; i++)
        if (s[i].id == known->id && known->id)
            return s[i].role == MEMBER_VOTER ? HELLO_VOTER : HELLO_STANDBY;
    return 0;
}

/* While the first set is all there is, the first broker tells it. */
static size_t put_first (journal_t *self, uint8_t *out, size_t cap)
{
    wal_entries_t read;
    size_t len = 0;
    if (!self->founding || strcmp (self->known[0].name, self->name) != 0 ||
        wal_last (self->wal) != 1 || wal_read (self->wal, 1, 1, cap, &read, NULL))
        return 0;
    if (read.entries[0].len <= cap) {
        len = read.entries[0].len;
        memcpy (out, read.entries[0].data, len);
    }
    wal_entries_free (&read);
    return len;
}

void brokers_tick (journal_t *self, uint64_t now)
{
    uint8_t hello[HELLO_SIZE + POINT_CONF_MAX] = {0};
    raft_server_info_t s[JOURNAL_MEMBERS];
    if (!self->peers || now < self->hello_at)
        return;
    bool empty = brokers_empty (self);
    size_t n = brokers_servers (self, s);
    size_t len = HELLO_SIZE + put_first (self, hello + HELLO_SIZE, POINT_CONF_MAX);
    self->hello_at = now + (empty || self->founding ? HELLO_NEW_MS : HELLO_MS);
    put_le32 (hello, HELLO_VERSION);
    put_le64 (hello + 8, self->id);
    put_le64 (hello + 16, raft_driver_last (self->driver));
    put_le64 (hello + 32, raft_driver_founding (self->driver));
    put_le64 (hello + 40, list_number (self));
    put_le64 (hello + 48, raft_driver_term (self->driver));
    put_le64 (hello + 56, clock_wall ());
    pthread_mutex_lock (&self->lock);
    journal_word_t word = self->word;
    pthread_mutex_unlock (&self->lock);
    put_le64 (hello + 64, word.index);
    memcpy (hello + 72, word.hash, sizeof word.hash);
    uint32_t own = (empty ? HELLO_EMPTY : 0) | (self->stuck ? HELLO_STUCK : 0) |
                   (self->hangs ? HELLO_HANGS : 0) |
                   (self->refused[0] ? HELLO_REFUSES : 0) |
                   (word.unfit ? HELLO_UNFIT : 0);
    for (size_t i = 0; i < self->n_known; i++) {
        if (strcmp (self->known[i].name, self->name) == 0)
            continue;
        put_le64 (hello + 24, self->known[i].id);
        put_le32 (hello + 4, part_of (s, n, &self->known[i]) | own);
        peers_send (self->peers, self->known[i].name, PEERS_HELLO, hello, len);
    }
    if (!self->founding)
        return;
    bool all = true;
    for (size_t i = 0; i < n; i++) {
        const known_t *known = brokers_known (self, s[i].address);
        all &= s[i].id == self->id || (known && known->id == s[i].id && !known->empty);
    }
    self->founding = !all;
    char text[200];
    if (!all && list_reasons (self, now, lacks_first, text, sizeof text))
        wait_for (self, text, now);
}

/* The first of the list begins, when all have just said that they have nothing, and
 * have the same list. One that has lost its data hears that the others have not lost
 * theirs. And a broker begins alone only when it was started alone: another list that
 * is read later makes no log. */
bool brokers_found (journal_t *self, uint64_t now, uint8_t **entry, size_t *len)
{
    uint64_t ids[JOURNAL_MEMBERS];
    char texts[JOURNAL_MEMBERS][WIRE_ADDRESS_MAX + 1];
    const char *names[JOURNAL_MEMBERS];
    size_t n = self->n_known;
    if (n <= 1 && !self->alone)
        return false;
    if (n <= 1) {
        ids[0] = self->id;
        brokers_address (self->name, self->id, texts[0]);
        names[0] = texts[0];
        n = 1;
    } else if (strcmp (self->known[0].name, self->name) != 0) {
        char text[200];
        snprintf (text, sizeof text, "%s, the first of the list, has not begun",
                  self->known[0].name);
        if (!self->waiting_at || now >= self->known[0].hello + FOUND_MS)
            wait_for (self, text, now);
        else
            wait_for (self, NULL, now); /* there is a better reason */
        return false;
    }
    char text[200];
    if (n > 1 && list_reasons (self, now, keeps_waiting, text, sizeof text)) {
        wait_for (self, text, now);
        return false;
    }
    for (size_t i = 0; n > 1 && i < n; i++) {
        const known_t *known = &self->known[i];
        bool own = strcmp (known->name, self->name) == 0;
        ids[i] = own ? self->id : known->id;
        brokers_address (known->name, ids[i], texts[i]);
        names[i] = texts[i];
        for (size_t k = 0; k < i; k++)
            if (ids[k] == ids[i])
                return false;
    }
    *entry = raft_driver_bootstrap (ids, names, n, len);
    return true;
}

/* --- what others see --- */

enum journal_trouble brokers_trouble (const journal_t *self, char *why, size_t cap)
{
    bool waits =
        self->waiting_at && (self->founding || !raft_driver_voters (self->driver));
    if (waits)
        snprintf (why, cap, "nothing begins: %s", self->waits_for);
    if (self->refused[0])
        snprintf (why, cap, "%s", self->refused);
    if (self->hangs)
        snprintf (why, cap, "the disk of the namespace does not answer");
    else if (self->stuck)
        snprintf (why, cap, "the disk of the journal %s",
                  writer_stuck (self->writer) ? "is full" : "does not end its writes");
    return self->hangs        ? JOURNAL_HANGS
           : self->stuck      ? JOURNAL_STUCK
           : self->refused[0] ? JOURNAL_REFUSES
                              : JOURNAL_WELL;
}

static void fill (journal_t *self, uint64_t now, journal_member_t *out)
{
    const known_t *known = brokers_known (self, out->name);
    out->self = out->id == self->id;
    out->heard_ns = UINT64_MAX;
    if (out->self)
        out->heard_ns = 0;
    else if (known && known->id == out->id && known->heard)
        out->heard_ns = (now - known->heard) * MS;
    uint64_t most = self->election_ms > 2 * HELLO_MS ? self->election_ms : 2 * HELLO_MS;
    if (out->self)
        out->trouble = brokers_trouble (self, NULL, 0);
    else if (known && known->id == out->id)
        out->trouble = known->trouble;
    out->connected = out->heard_ns <= (most + HELLO_MS) * MS;
    if (known && known->id == out->id && known->hello && !out->self) {
        out->word = known->word;
        out->clock_known = now <= known->hello + CLOCK_MS;
        out->clock_off_ns = known->clock_off;
    }
    if (self->lane && !out->self)
        lane_given (self->lane, out->name, &out->sent, &out->to_send);
}

void brokers_stats (journal_t *self, uint64_t now, journal_stats_t *out)
{
    raft_server_info_t s[JOURNAL_MEMBERS];
    size_t n = brokers_servers (self, s), k = 0;
    memset (out, 0, sizeof *out);
    out->part = JOURNAL_JOINER;
    out->trouble = brokers_trouble (self, out->why, sizeof out->why);
    for (size_t i = 0; i < n && k < JOURNAL_MEMBERS; i++) {
        journal_member_t *m = &out->members[k++];
        m->id = s[i].id;
        m->part = s[i].role == MEMBER_VOTER ? JOURNAL_VOTER : JOURNAL_STANDBY;
        m->match = s[i].match;
        snprintf (m->name, sizeof m->name, "%.63s", s[i].address);
        fill (self, now, m);
        if (m->self)
            out->part = m->part;
    }
    for (size_t i = 0; i < self->n_known && k < JOURNAL_MEMBERS; i++) {
        const known_t *known = &self->known[i];
        bool there = !known->id;
        for (size_t j = 0; j < n; j++)
            there |= s[j].id == known->id;
        if (there)
            continue;
        journal_member_t *m = &out->members[k++];
        m->id = known->id;
        m->part = JOURNAL_JOINER;
        memcpy (m->name, known->name, sizeof m->name);
        fill (self, now, m);
    }
    out->n_members = k;
}
