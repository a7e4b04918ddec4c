/* SPDX-License-Identifier: MPL-2.0 */
/* Changes of who leads and of the set of brokers, as an operator asks for them: step by
 * step, each step by what the present set is, so that it can be asked for again. */
#include <stdio.h>
#include <string.h>

#include "common/log.h"

#include "journal_private.h"

#define TRANSFER_MS 10000
#define SILENT_MS   30000 /* a newcomer that is not heard for this long is given up */
#define HEAR_MS     3000  /* within this a newcomer must say who it is... */
#define STALE_MS    500   /* ...but what comes sooner may have been said before */
#define NEAR        2048  /* entries behind: proposals are held for the rest */
#define HOLD_MS     300   /* at most, and... */
#define HOLD_EVERY  1500  /* ...not more often than this */
#define FETCH_MS    1000  /* what one that shall lead does not have is waited for */

void brokers_answer (journal_t *self, uint64_t cookie, int code, const char *text)
{
    if (self->events.answered)
        self->events.answered (cookie, code, text ? text : "", self->events.arg);
}

/* --- who leads --- */

void brokers_ask_transfer (journal_t *self, const note_t *note, uint64_t now)
{
    raft_server_info_t s[JOURNAL_MEMBERS];
    size_t n = brokers_servers (self, s);
    uint64_t to = 0;
    dfs_error_t err;
    if (self->role != JOURNAL_LEADER) {
        brokers_answer (self, note->cookie, DFS_ENOTLEADER,
                        "this broker does not lead");
        return;
    }
    for (size_t i = 0; i < n; i++)
        if (s[i].role == MEMBER_VOTER && strcmp (s[i].address, note->name) == 0)
            to = s[i].id;
    if (note->name[0] && !to) {
        brokers_answer (self, note->cookie, DFS_ENOENT, "no voter of that name");
        return;
    }
    if (to == self->id) {
        brokers_answer (self, note->cookie, DFS_OK, NULL);
        return;
    }
    if (self->transfer.active) {
        brokers_answer (self, note->cookie, DFS_EAGAIN, "the lead is being handed on");
        return;
    }
    if (raft_driver_transfer (self->driver, now, to, &err) != DFS_OK) {
        brokers_answer (self, note->cookie, err.code, err.text);
        return;
    }
    self->transfer = (transfer_t){true, note->cookie, to, now + TRANSFER_MS, 0, false};
}

static const raft_server_info_t *by_id (const raft_server_info_t *s, size_t n,
                                        uint64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (s[i].id == id)
            return &s[i];
    return NULL;
}

/* The core gives a transfer one election timeout, while it refuses what is proposed:
 * with busy disks that may be too short for what is on its way. So before it is asked
 * again, nothing is proposed until the one that shall lead has all there is. */
static void try_again (journal_t *self, uint64_t now)
{
    transfer_t *t = &self->transfer;
    raft_server_info_t s[JOURNAL_MEMBERS];
    size_t n = brokers_servers (self, s);
    uint64_t last = raft_driver_last (self->driver);
    const raft_server_info_t *to = by_id (s, n, t->to);
    for (size_t i = 0; t->to == 0 && i < n; i++)
        if (s[i].id != self->id && s[i].role == MEMBER_VOTER &&
            (!to || s[i].match > to->match))
            to = &s[i];
    const known_t *known = to ? brokers_known (self, to->address) : NULL;
    if (raft_driver_transferring (self->driver) || !known || known->id != to->id ||
        now > known->heard + FETCH_MS || to->match + NEAR < last)
        return;
    if (to->match == last && t->held) {
        t->held = false;
        t->again = now + HOLD_EVERY;
        self->hold = 0;
        raft_driver_transfer (self->driver, now, to->id, NULL);
    } else if (now >= t->again) {
        t->held = true;
        t->again = now + FETCH_MS + HOLD_EVERY;
        self->hold = now + FETCH_MS;
    }
}

static void work_transfer (journal_t *self, uint64_t now)
{
    transfer_t *t = &self->transfer;
    uint64_t leader = raft_driver_leader (self->driver);
    if (!t->active)
        return;
    bool moved = leader && leader != self->id;
    if (!moved && now < t->until) {
        if (raft_driver_role (self->driver) == JOURNAL_LEADER)
            try_again (self, now);
        return;
    }
    t->active = false;
    self->hold = 0;
    if (moved && (!t->to || t->to == leader))
        brokers_answer (self, t->cookie, DFS_OK, NULL);
    else
        brokers_answer (self, t->cookie, DFS_EUNAVAIL,
                        moved ? "another broker was elected"
                              : "the other broker did not take the lead");
}

/* --- the set of brokers --- */

static void finish (journal_t *self, int code, const char *text)
{
    self->change.active = false;
    self->hold = 0;
    log_info ("brokers_changed", "old=%s fresh=%s code=%d",
              self->change.old[0] ? self->change.old : "-",
              self->change.fresh[0] ? self->change.fresh : "-", code);
    brokers_answer (self, self->change.cookie, code, text);
}

void brokers_ask_replace (journal_t *self, const note_t *note, uint64_t now)
{
    const known_t *known = note->fresh[0] ? brokers_known (self, note->fresh) : NULL;
    const char *why = NULL;
    int code = DFS_OK;
    if (self->role != JOURNAL_LEADER) {
        code = DFS_ENOTLEADER;
        why = "this broker does not lead";
    } else if (self->change.active) {
        code = DFS_EAGAIN;
        why = "another change of the brokers is under way";
    } else if (note->fresh[0] && !known) {
        code = DFS_ENOENT;
        why = "the new broker is not in the configuration of the leader";
    } else if (known && strcmp (known->name, self->name) != 0 &&
               (!known->id || now > known->heard + SILENT_MS)) {
        code = DFS_EUNAVAIL;
        why = "the new broker has not been heard: is it running?";
    } else if (note->name[0] && strcmp (note->name, self->name) == 0) {
        code = DFS_EINVAL;
        why = "that broker leads: hand the lead on first";
    }
    if (code != DFS_OK) {
        brokers_answer (self, note->cookie, code, why);
        return;
    }
    self->change = (change_t){.active = true, .cookie = note->cookie, .since = now};
    memcpy (self->change.old, note->name, sizeof self->change.old);
    memcpy (self->change.fresh, note->fresh, sizeof self->change.fresh);
}

/* Orders a step; false when it can not be tried again. */
static bool step (journal_t *self, uint64_t now, uint64_t id, const char *name,
                  enum raft_member role)
{
    dfs_error_t err;
    char address[WIRE_ADDRESS_MAX + 1];
    brokers_address (name, id, address);
    int rc = raft_driver_change (self->driver, now, id, address, role, &err);
    if (rc == DFS_OK)
        log_info ("broker_change", "node=%s id=%016llx role=%s", name,
                  (unsigned long long)id,
                  role == MEMBER_VOTER     ? "voter"
                  : role == MEMBER_STANDBY ? "standby"
                                           : "gone");
    if (rc != DFS_OK && rc != DFS_EAGAIN)
        finish (self, rc, err.text);
    return rc == DFS_OK || rc == DFS_EAGAIN;
}

/* It becomes a voter at a moment when it has everything: under load that needs a pause
 * of what is proposed. */
static void promote (journal_t *self, const raft_server_info_t *fresh, uint64_t now)
{
    uint64_t last = raft_driver_last (self->driver);
    if (fresh->match == last) {
        self->hold = 0;
        step (self, now, fresh->id, fresh->address, MEMBER_VOTER);
    } else if (fresh->match + NEAR >= last &&
               now >= self->change.hold_at + HOLD_EVERY) {
        self->change.hold_at = now;
        self->hold = now + HOLD_MS;
    }
}

/* Who FRESH is now: what was heard before may be of the one that had its name. Returns
 * false while that is not known, or the change is over. */
static bool know_fresh (journal_t *self, uint64_t now)
{
    change_t *c = &self->change;
    const known_t *known = brokers_known (self, c->fresh);
    bool self_fresh = strcmp (c->fresh, self->name) == 0;
    uint64_t id = self_fresh ? self->id : known ? known->id : 0;
    if (!known || (c->fresh_id && c->fresh_id != id))
        finish (self, DFS_EAGAIN, "the new broker is another one now: ask again");
    else if (known->foreign)
        finish (self, DFS_ECLUSTER,
                "the new broker has the log of another set of brokers: remove its "
                "directory and mark it again");
    else if (c->fresh_id || self_fresh || known->hello > c->since + STALE_MS)
        c->fresh_id = id;
    else if (now > c->since + HEAR_MS)
        finish (self, DFS_EUNAVAIL,
                "the new broker has not been heard: is it running?");
    return c->active && c->fresh_id;
}

static void work_change (journal_t *self, uint64_t now)
{
    change_t *c = &self->change;
    raft_server_info_t s[JOURNAL_MEMBERS];
    if (!c->active)
        return;
    if (self->role != JOURNAL_LEADER) {
        finish (self, DFS_ENOTLEADER, "another broker leads now: ask again");
        return;
    }
    if (raft_driver_changing (self->driver))
        return; /* what is under way ends before anything else is said */
    if (c->fresh[0] && !know_fresh (self, now))
        return;
    size_t n = brokers_servers (self, s);
    if (c->fresh_id) {
        const raft_server_info_t *fresh = by_id (s, n, c->fresh_id);
        const known_t *known = brokers_known (self, c->fresh);
        if (!fresh) {
            step (self, now, c->fresh_id, c->fresh, MEMBER_STANDBY);
            return;
        }
        if (fresh->role != MEMBER_VOTER) {
            if (known && now > known->heard + SILENT_MS)
                finish (self, DFS_EUNAVAIL, "the new broker has gone silent");
            else
                promote (self, fresh, now);
            return;
        }
    }
    for (size_t i = 0; c->old[0] && i < n; i++)
        if (s[i].id != c->fresh_id && strcmp (s[i].address, c->old) == 0) {
            step (self, now, s[i].id, s[i].address, MEMBER_GONE);
            return;
        }
    finish (self, DFS_OK, NULL);
}

static void watch_set (journal_t *self)
{
    raft_server_info_t s[JOURNAL_MEMBERS];
    size_t n = brokers_servers (self, s);
    uint64_t sum = n + 1 + (raft_driver_changing (self->driver) != 0);
    for (size_t i = 0; i < n; i++)
        sum = sum * 1099511628211u + (s[i].id ^ ((uint64_t)s[i].role << 56));
    if (sum == self->conf_seen)
        return;
    self->conf_seen = sum;
    self->members_at = 0; /* publish them now */
    if (self->events.members)
        self->events.members (self->events.arg);
}

void brokers_work (journal_t *self, uint64_t now)
{
    work_transfer (self, now);
    work_change (self, now);
    watch_set (self);
}
