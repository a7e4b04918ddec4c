/* SPDX-License-Identifier: MPL-2.0 */
/* What a record means for the index; the same code after a commit and in recovery. The
 * newest change number wins, so the result does not depend on the order in which
 * compaction left the records (doc/format/volume.md, "Meaning"). */
#include <assert.h>
#include <stdlib.h>

#include "common/log.h"
#include "msgs/control.pb-c.h"
#include "worker/store/disk.h"

/* A place enters or leaves the index. */
static void account (disk_t *self, uint32_t volume, uint64_t bytes, int sign)
{
    volume_t *vol = volume_find (self, volume);
    if (!vol)
        return;
    if (sign > 0) {
        vol->live_bytes += bytes;
        vol->live_count++;
    } else {
        vol->live_bytes -= bytes < vol->live_bytes ? bytes : vol->live_bytes;
        vol->live_count -= vol->live_count > 0;
        vol->stuck = false;
    }
}

static void account_entry (disk_t *self, const entry_t *entry, int sign)
{
    if (entry->state == ENTRY_NONE || entry->state == ENTRY_GHOST)
        return;
    account (self, entry->volume, entry_bytes (entry), sign);
    if (entry->seal_volume)
        account (self, entry->seal_volume, entry->head_len, sign);
}

static void put (disk_t *self, const copykey_t *key, const entry_t *old,
                 const entry_t *entry)
{
    if (old)
        account_entry (self, old, -1);
    if (entry)
        account_entry (self, entry, 1);
    index_put (self->index, key, old, entry);
}

void disk_forget (disk_t *self, const copykey_t *key, const entry_t *entry)
{
    put (self, key, entry, NULL);
}

static void apply_state (entry_t *entry, int type, uint64_t seq, uint64_t birth,
                         uint64_t time)
{
    entry->last_seq = seq;
    switch (type) {
    case RECORD_GONE:
        entry->state = ENTRY_DROPPED;
        entry->dropped = time;
        break;
    case RECORD_DAMAGED:
        entry->state = ENTRY_DAMAGED;
        entry->dropped = time;
        break;
    case RECORD_BACK:
        entry->state = ENTRY_LIVE;
        entry->dropped = 0;
        break;
    default: /* renewals of several senders may come in any order */
        if (birth > entry->birth)
            entry->birth = birth;
        break;
    }
}

/* OLD has lost its place to another copy. In a rebuild nothing is certain yet; the last
 * batch has to be whole after a crash, with all that it seals. */
static void replaced (disk_t *self, const copykey_t *key, const entry_t *old)
{
    if (self->rebuilding || !old->seal_volume)
        return;
    if (old->seal_volume != self->folding_volume ||
        old->seal_offset < self->folding_offset) {
        disk_let_go (self, key, old);
        return;
    }
    self->replaced =
        realloc (self->replaced, (self->n_replaced + 1) * sizeof *self->replaced);
    assert (self->replaced);
    self->replaced[self->n_replaced++] = (replaced_t){.key = *key, .entry = *old};
}

static void fold_copy (disk_t *self, const record_t *rec, uint32_t crc0,
                       uint32_t volume, uint64_t offset, const entry_t *old)
{
    bool moved = rec->bits & RECORD_MOVED;
    bool held = old && old->state != ENTRY_GHOST;
    if (held && rec->seq < old->seq)
        return;
    if (moved && !self->rebuilding && (!held || rec->seq != old->seq))
        return;
    entry_t entry = {.state = ENTRY_LIVE,
                     .encoding = rec->encoding,
                     .flags = rec->flags,
                     .volume = volume,
                     .offset = offset,
                     .head_len = rec->head_len,
                     .stored_len = rec->stored_len,
                     .true_len = rec->true_len,
                     .crc = crc0,
                     .birth = rec->birth,
                     .seq = rec->seq,
                     .last_seq = rec->seq,
                     .verified = rec->time};
    if (rec->type == RECORD_SEAL) {
        entry.volume = rec->place_volume;
        entry.offset = rec->place_offset;
        entry.seal_volume = volume;
        entry.seal_offset = offset;
        entry.crc = 0;
    }
    if (held && rec->seq == old->seq) { /* the same copy, moved */
        entry.state = old->state;
        entry.dropped = old->dropped;
        entry.last_seq = old->last_seq;
        entry.verified = old->verified;
        if (old->birth > entry.birth)
            entry.birth = old->birth;
    } else if (old && old->state == ENTRY_GHOST && old->last_seq > rec->seq) {
        apply_state (&entry, old->encoding, old->last_seq, old->birth, old->dropped);
        entry.birth = old->birth > entry.birth ? old->birth : entry.birth;
    } else if (held && old->state == ENTRY_LIVE && old->birth > entry.birth) {
        /* begun with an older grant, sealed behind a younger copy: a birth that was
         * told is never taken back, somebody counts on it */
        entry.birth = old->birth;
    }
    put (self, &rec->key, old, &entry);
    if (held && rec->seq != old->seq)
        replaced (self, &rec->key, old);
}

/* A note met before its copy: the newest of them, with the youngest birth of all. */
static void fold_ghost (disk_t *self, const record_t *rec, const entry_t *old)
{
    entry_t ghost = old ? *old : (entry_t){.state = ENTRY_GHOST};
    if (rec->seq > ghost.last_seq) {
        ghost.encoding = rec->type;
        ghost.last_seq = rec->seq;
        ghost.dropped = rec->time;
    }
    if (rec->birth > ghost.birth)
        ghost.birth = rec->birth;
    put (self, &rec->key, old, &ghost);
}

static void fold_note (disk_t *self, const record_t *rec, const entry_t *old)
{
    if (!old || old->state == ENTRY_GHOST) {
        if (self->rebuilding)
            fold_ghost (self, rec, old);
        return;
    }
    entry_t entry = *old;
    if (rec->seq > old->last_seq)
        apply_state (&entry, rec->type, rec->seq, rec->birth, rec->time);
    else if (rec->seq > old->seq && rec->birth > old->birth)
        entry.birth = rec->birth; /* met out of order */
    else
        return;
    put (self, &rec->key, old, &entry);
}

static int kind_of (int type)
{
    switch (type) {
    case RECORD_GONE:
        return DFS__LOCATION_KIND__LOCATION_GONE;
    case RECORD_DAMAGED:
        return DFS__LOCATION_KIND__LOCATION_DAMAGED;
    case RECORD_RENEWED:
        return DFS__LOCATION_KIND__LOCATION_RENEWED;
    default:
        return DFS__LOCATION_KIND__LOCATION_STORED;
    }
}

bool disk_fold (disk_t *self, const record_t *rec, uint32_t crc0, uint32_t volume,
                uint64_t offset, store_change_t *change)
{
    entry_t old;
    int have = index_get (self->index, &rec->key, &old, NULL);
    const entry_t *was = have == 1 ? &old : NULL;
    if (rec->type == RECORD_CHUNK || rec->type == RECORD_SEAL)
        fold_copy (self, rec, crc0, volume, offset, was);
    else
        fold_note (self, rec, was);
    if (rec->bits & RECORD_MOVED &&
        !(rec->type == RECORD_CHUNK || rec->type == RECORD_SEAL)) {
        volume_t *vol = volume_find (self, volume);
        if (vol)
            vol->carried += rec->head_len;
    }
    if (rec->bits & RECORD_MOVED)
        return false;
    uint64_t birth = rec->birth;
    if (rec->type == RECORD_CHUNK || rec->type == RECORD_SEAL ||
        rec->type == RECORD_RENEWED) {
        entry_t now;
        if (index_get (self->index, &rec->key, &now, NULL) == 1 && now.birth > birth)
            birth = now.birth;
    }
    *change = (store_change_t){.seq = rec->seq,
                               .kind = kind_of (rec->type),
                               .key = rec->key,
                               .birth = birth,
                               .length = rec->true_len};
    return true;
}

/* --- checkpoint --- */

volume_stat_t *disk_stats (disk_t *self, size_t *n)
{
    volume_stat_t *out = calloc (self->n_volumes + 1, sizeof *out);
    assert (out);
    for (size_t i = 0; i < self->n_volumes; i++)
        out[i] = (volume_stat_t){.number = self->volumes[i]->number,
                                 .end = self->volumes[i]->end,
                                 .live_bytes = self->volumes[i]->live_bytes,
                                 .live_count = self->volumes[i]->live_count};
    *n = self->n_volumes;
    return out;
}

static int write_frozen (disk_t *self, dfs_error_t *err)
{
    int rc = index_write (self->index, err);
    pthread_mutex_lock (&self->lock);
    index_thaw (self->index, rc == 0);
    pthread_cond_broadcast (&self->room);
    pthread_mutex_unlock (&self->lock);
    return rc;
}

static int checkpoint (disk_t *self, dfs_error_t *err)
{
    pthread_mutex_lock (&self->lock);
    bool old = index_frozen (self->index);
    pthread_mutex_unlock (&self->lock);
    if (old) {
        int rc = write_frozen (self, err);
        if (rc < 0)
            return rc;
    }
    pthread_mutex_lock (&self->lock);
    position_t last = index_position (self->index);
    bool same = index_pending (self->index) == 0 && last.batch == self->durable.batch &&
                last.volume == self->durable.volume;
    if (!same) {
        size_t n;
        volume_stat_t *stats = disk_stats (self, &n);
        /* What lies behind the last durable batch may never be: it is not expected. */
        for (size_t i = 0; i < n; i++)
            if (stats[i].number == self->durable.volume)
                stats[i].end = self->durable.offset;
            else if (stats[i].number > self->durable.volume)
                stats[i].end = VOLUME_HEAD_LEN;
        index_freeze (self->index, &self->durable, stats, n);
        free (stats);
    }
    pthread_mutex_unlock (&self->lock);
    return same ? DFS_OK : write_frozen (self, err);
}

int disk_checkpoint (disk_t *self, dfs_error_t *err)
{
    pthread_mutex_lock (&self->checkpoint);
    int rc = checkpoint (self, err);
    pthread_mutex_unlock (&self->checkpoint);
    return rc;
}
