/* SPDX-License-Identifier: MPL-2.0 */
/* What is on disk: log, vote and point, which must belong together and to the state
 * machine. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/io.h"
#include "common/log.h"

#include "journal_private.h"

#define SEGMENT_SIZE (64u * 1024 * 1024)

static int refuse (journal_t *self, uint64_t applied, dfs_error_t *err)
{
    return fail (err, DFS_EDAMAGED,
                 "%s: the journal holds entries %" PRIu64 " to %" PRIu64
                 ", but the namespace has applied %" PRIu64 ": entries are missing",
                 self->dir, wal_first (self->wal), wal_last (self->wal), applied);
}

/* An installation that was cut short: the state machine says which side of it we are
 * on. */
static int finish_install (journal_t *self, uint64_t applied, dfs_error_t *err)
{
    point_t next;
    int rc = point_load (self->dir, POINT_NEXT, &next, err);
    if (rc <= 0)
        return rc;
    if (applied < next.state)
        return point_forget (self->dir, err);
    rc = point_commit (self->dir, err);
    self->point = next;
    return rc;
}

/* The log must begin with a set of brokers, or behind a point. */
static int check_begin (journal_t *self, dfs_error_t *err)
{
    wal_entries_t read;
    uint64_t first = wal_first (self->wal);
    if (wal_last (self->wal) < first || self->point.at.index)
        return DFS_OK;
    if (first > 1)
        return fail (err, DFS_EDAMAGED, "%s/" POINT_FILE " is missing", self->dir);
    int rc = wal_read (self->wal, 1, 1, 1, &read, err);
    if (rc != DFS_OK)
        return rc;
    if (read.entries[0].type != RECORD_CHANGE)
        rc = fail (err, DFS_EVERSION,
                   "%s: this log names no set of brokers: an unreleased version of dfs "
                   "made it, and no other reads it",
                   self->dir);
    wal_entries_free (&read);
    return rc;
}

/* Checks that log, vote, point and namespace belong together. */
static int join (journal_t *self, const journal_config_t *config, dfs_error_t *err)
{
    uint64_t first = wal_first (self->wal), last = wal_last (self->wal);
    uint64_t applied = config->applied;
    const raft_point_t *at = &self->point.at;
    if (!self->vote.term && last > 0)
        /* The vote is made after the first segment, and before the first entry. */
        return fail (err, DFS_EDAMAGED, "%s/vote is missing", self->dir);
    if (wal_term (self->wal, last) > self->vote.term || at->term > self->vote.term)
        return fail (err, DFS_EDAMAGED, "%s/vote is older than the log", self->dir);
    if (at->index > applied)
        return refuse (self, applied, err);
    if (at->index &&
        !raft_driver_log_fits (at, first, last, wal_term (self->wal, at->index))) {
        /* The point of an installation that did not come to emptying the log. */
        int rc = self->point.state ? wal_reset (self->wal, at->index, at->term, err)
                                   : refuse (self, applied, err);
        if (rc != DFS_OK)
            return rc;
        first = wal_first (self->wal);
        last = wal_last (self->wal);
    }
    if ((applied > last && applied > self->point.state) || applied + 1 < first)
        return refuse (self, applied, err);
    return check_begin (self, err);
}

int journal_open_log (journal_t *self, const journal_config_t *config, dfs_error_t *err)
{
    snprintf (self->data, sizeof self->data, "%s", config->dir);
    if (snprintf (self->dir, sizeof self->dir, "%s/journal", config->dir) >=
        (int)sizeof self->dir)
        return fail (err, DFS_ENAMETOOLONG, "%s: path too long", config->dir);
    int rc = io_mkdir (self->dir, 0700, err);
    if (rc == DFS_OK || rc == DFS_EEXIST)
        rc = io_sync_dir (config->dir, err);
    if (rc != DFS_OK)
        return rc;
    rc = vote_load (self->dir, &self->vote, err);
    if (rc < 0)
        return rc;
    bool exists = rc > 0;
    rc = point_load (self->dir, POINT_FILE, &self->point, err);
    if (rc >= 0)
        rc = finish_install (self, config->applied, err);
    if (rc < 0)
        return rc;
    self->wal = wal_open (&(wal_config_t){.dir = self->dir,
                                          .segment_size = config->segment_size
                                                              ? config->segment_size
                                                              : SEGMENT_SIZE,
                                          .unsynced = config->memory_durability,
                                          .exists = exists},
                          err);
    if (!self->wal)
        return err->code;
    rc = join (self, config, err);
    if (rc == DFS_OK)
        /* Peers tell this run from those before by it. */
        rc = wal_begin (self->wal, &self->boot, err);
    if (rc != DFS_OK)
        wal_close (&self->wal);
    return rc;
}
