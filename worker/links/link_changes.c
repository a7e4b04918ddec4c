/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>

#include "common/log.h"
#include "common/units.h"
#include "msgs/check.h"
#include "worker/links/link_private.h"

#define ACK_PATIENCE (1 * SEC)
#define ASK_PATIENCE (2 * SEC)
#define TRIM_NS      (10 * SEC)
#define AWAY_NS      (600 * SEC)
#define RETRY_NS     (200 * MS)
enum { UNACKED_MAX = 64 * SEQUENCE_PAGE };

void changes_add (broker_link_t *self, const note_t *note)
{
    if (note->disk < LINK_DISKS)
        recent_add (self->recent[note->disk], note->changes, note->n);
}

/* What the store called durable; before it did so, what it had when it was opened. */
static uint64_t last_change (const broker_link_t *self, size_t disk)
{
    uint64_t last = recent_last (self->recent[disk]);
    return last ? last : self->disks[disk].last_seq;
}

/* One message of changes. FIRST is their sequence, or what an inventory's page says. */
static int send_changes (broker_link_t *self, peer_t *peer, size_t disk, uint64_t first,
                         const store_change_t *changes, size_t n, bool listing,
                         bool end)
{
    Dfs__LocationChange items[SEQUENCE_PAGE];
    Dfs__LocationChange *pointers[SEQUENCE_PAGE];
    Dfs__CopyKey keys[SEQUENCE_PAGE];
    assert (n <= SEQUENCE_PAGE);
    for (size_t i = 0; i < n; i++) {
        dfs__location_change__init (&items[i]);
        dfs__copy_key__init (&keys[i]);
        check_put_copykey (&changes[i].key, &keys[i]);
        items[i].kind = (Dfs__LocationKind)changes[i].kind;
        items[i].key = &keys[i];
        items[i].has_birth = items[i].has_length = true;
        items[i].birth = changes[i].birth;
        items[i].length = changes[i].length;
        items[i].has_upload = changes[i].upload != 0;
        items[i].upload = changes[i].upload;
        pointers[i] = &items[i];
    }
    const store_disk_t *d = &self->disks[disk];
    uint64_t last = last_change (self, disk);
    Dfs__Changes body = DFS__CHANGES__INIT;
    body.store.data = (uint8_t *)(uintptr_t)d->id;
    body.store.len = sizeof d->id;
    body.incarnation = d->incarnation;
    body.first_seq = first;
    body.changes = pointers;
    body.n_changes = n;
    body.has_last_seq = true;
    body.last_seq = last > d->last_seq ? last : d->last_seq;
    body.has_inventory = body.inventory = listing;
    body.has_inventory_end = body.inventory_end = end;
    body.has_page = listing;
    body.page = listing ? peer->positions[disk].page : 0;
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    env.body_case = DFS__ENVELOPE__BODY_CHANGES;
    env.changes = &body;
    return peer_send (self, peer, &env);
}

void changes_again (broker_link_t *self, const note_t *note)
{
    store_info_t info;
    dfs_error_t err = {0};
    if (store_find (self->config.store, &note->key, &info, &err) != 1 ||
        info.disk >= self->n_disks)
        return;
    store_change_t change = {.seq = info.seq,
                             .kind = DFS__LOCATION_KIND__LOCATION_STORED,
                             .key = note->key,
                             .birth = info.birth,
                             .length = info.true_len,
                             .upload = note->upload};
    for (size_t i = 0; i < self->n; i++)
        if (self->peers[i].welcomed)
            send_changes (self, &self->peers[i], info.disk, info.seq, &change, 1, false,
                          false);
}

void changes_welcome (broker_link_t *self, peer_t *peer, Dfs__StoreMark *const *marks,
                      size_t n)
{
    for (size_t disk = 0; disk < self->n_disks; disk++) {
        const store_disk_t *d = &self->disks[disk];
        position_t *position = &peer->positions[disk];
        if (!d->usable)
            continue;
        bool known = true;
        uint64_t seq = 0, pages = 0;
        for (size_t i = 0; i < n; i++)
            if (marks[i]->id.len == sizeof d->id &&
                memcmp (marks[i]->id.data, d->id, sizeof d->id) == 0) {
                known = marks[i]->incarnation == d->incarnation || marks[i]->seq == 0;
                seq = marks[i]->seq;
                pages = marks[i]->has_pages ? marks[i]->pages : 0;
            }
        /* A broker that knows more than there is has seen another past of this disk. */
        if (seq > last_change (self, disk) && seq > d->last_seq)
            known = false;
        position_start (position, known, seq, self->now);
        position_window (position, pages);
        log_info ("changes_start", "peer=%s disk=%zu from=%" PRIu64 " listing=%d",
                  peer->node->name, disk, known ? seq + 1 : 0, !known);
    }
}

void changes_stop (peer_t *peer)
{
    for (size_t i = 0; i < LINK_DISKS; i++)
        position_stop (&peer->positions[i]);
}

/* Changes that every broker has applied need not be kept; one that is away for long
 * gets a full listing when it is back. */
static void trim (broker_link_t *self)
{
    if (self->now < self->trim_at)
        return;
    self->trim_at = self->now + TRIM_NS;
    for (size_t disk = 0; disk < self->n_disks; disk++) {
        uint64_t least = UINT64_MAX;
        for (size_t i = 0; i < self->n; i++) {
            const position_t *p = &self->peers[i].positions[disk];
            if (!self->peers[i].welcomed &&
                self->now - self->peers[i].here_at > AWAY_NS)
                continue;
            uint64_t acked = p->state == POSITION_FOLLOWING ? p->acked : 0;
            least = acked < least ? acked : least;
        }
        if (least > SEQUENCE_RECENT && least != UINT64_MAX)
            store_trim_changes (self->config.store, (uint32_t)disk,
                                least - SEQUENCE_RECENT);
    }
}

bool changes_known (const broker_link_t *self, size_t disk, uint64_t seq)
{
    for (size_t i = 0; seq && i < self->n; i++) {
        const position_t *p = &self->peers[i].positions[disk];
        if (p->state != POSITION_OFF &&
            (p->state == POSITION_LISTING || p->acked < seq))
            return false;
    }
    return true;
}

void changes_acked (broker_link_t *self, peer_t *peer, Dfs__StoreMark *const *marks,
                    size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t disk = 0; disk < self->n_disks; disk++) {
            const store_disk_t *d = &self->disks[disk];
            if (marks[i]->id.len != sizeof d->id ||
                memcmp (marks[i]->id.data, d->id, sizeof d->id) != 0 ||
                marks[i]->incarnation != d->incarnation)
                continue;
            if (marks[i]->has_pages)
                position_given (&peer->positions[disk], marks[i]->pages, self->now);
            else if (position_acked (&peer->positions[disk], marks[i]->seq, self->now))
                log_info ("changes_again", "peer=%s disk=%zu from=%" PRIu64,
                          peer->node->name, disk, marks[i]->seq + 1);
        }
    trim (self);
}

/* Asks the history thread for the next page of POSITION. */
static void ask (broker_link_t *self, peer_t *peer, size_t disk, position_t *position)
{
    if (position->asked)
        return;
    position->asked = true;
    result_t *job = calloc (1, sizeof *job);
    assert (job);
    job->kind = RESULT_PAGE;
    job->link = self;
    job->peer = peer->index;
    job->disk = disk;
    job->asked_as = position->asked_as;
    job->listing = position->state == POSITION_LISTING;
    job->first = position->next;
    job->after = position->after;
    job->from_start = position->page == 0;
    jobs_push (self->history, job);
}

static void read_listing (broker_link_t *self, result_t *job)
{
    dfs_error_t err = {0};
    store_info_t *infos = calloc (SEQUENCE_PAGE, sizeof *infos);
    assert (infos);
    uint64_t seq = 0;
    int n = store_inventory (self->config.store, (uint32_t)job->disk,
                             job->from_start ? NULL : &job->after, infos, SEQUENCE_PAGE,
                             &seq, &err);
    job->code = n < 0 ? n : DFS_OK;
    job->first = seq;
    job->n = n < 0 ? 0 : (size_t)n;
    job->end = job->n < SEQUENCE_PAGE;
    for (size_t i = 0; i < job->n; i++)
        job->changes[i] = (store_change_t){.seq = infos[i].seq,
                                           .kind = DFS__LOCATION_KIND__LOCATION_STORED,
                                           .key = infos[i].key,
                                           .birth = infos[i].birth,
                                           .length = infos[i].true_len};
    if (job->n)
        job->after = infos[job->n - 1].key;
    free (infos);
}

void history_work (void *arg, void *link)
{
    broker_link_t *self = link;
    result_t *job = arg;
    if (job->listing)
        read_listing (self, job);
    else {
        dfs_error_t err = {0};
        int n = store_changes (self->config.store, (uint32_t)job->disk, job->first,
                               job->changes, SEQUENCE_PAGE, &err);
        job->code = n < 0 ? n : DFS_OK;
        job->n = n < 0 ? 0 : (size_t)n;
    }
    mailbox_push (self->results, job);
}

static void take_listing (broker_link_t *self, peer_t *peer, position_t *position,
                          const result_t *page)
{
    if (position->page == 0)
        position->stands = page->first;
    int rc = send_changes (self, peer, page->disk,
                           page->end ? position->stands : position->page, page->changes,
                           page->n, true, page->end);
    if (rc < 0) { /* its queue is full: the same page again later */
        position->not_before = self->now + RETRY_NS;
        return;
    }
    position->moved = self->now;
    position->page++;
    if (page->n)
        position->after = page->after;
    if (page->end) {
        log_info ("inventory_sent", "peer=%s disk=%zu pages=%" PRIu64 " seq=%" PRIu64,
                  peer->node->name, page->disk, position->page, position->stands);
        position_listed (position, self->now);
    }
}

void changes_page (broker_link_t *self, const result_t *page)
{
    peer_t *peer = &self->peers[page->peer];
    position_t *position = &peer->positions[page->disk];
    if (position->asked_as != page->asked_as || position->state == POSITION_OFF)
        return;
    position->asked = false;
    if (page->code == DFS_ESTALE && !page->listing) {
        log_info ("changes_trimmed", "peer=%s disk=%zu from=%" PRIu64, peer->node->name,
                  page->disk, page->first);
        position_list (position, self->now);
        return;
    }
    if (page->code < 0) {
        log_warn ("changes_unreadable", "disk=%zu err=%d", page->disk, page->code);
        position->not_before = self->now + 5 * RETRY_NS;
        return;
    }
    if (page->listing)
        take_listing (self, peer, position, page);
    else if (page->n > 0 && page->first == position->next &&
             send_changes (self, peer, page->disk, page->first, page->changes, page->n,
                           false, false) == DFS_OK)
        position_sent (position, page->n, self->now);
}

static void feed (broker_link_t *self, peer_t *peer, size_t disk)
{
    position_t *position = &peer->positions[disk];
    if (position->state == POSITION_OFF || self->now < position->not_before)
        return;
    if (position->state == POSITION_LISTING) {
        bool question;
        if (position_may_list (position, ASK_PATIENCE, self->now, &question))
            ask (self, peer, disk, position);
        else if (question)
            send_changes (self, peer, disk, position->page, NULL, 0, true, false);
        return;
    }
    if (position_late (position, ACK_PATIENCE, self->now))
        log_info ("changes_late", "peer=%s disk=%zu from=%" PRIu64, peer->node->name,
                  disk, position->next);
    uint64_t last = last_change (self, disk);
    while (position->next <= last && position->next - position->acked < UNACKED_MAX) {
        store_change_t changes[SEQUENCE_PAGE];
        size_t n =
            recent_get (self->recent[disk], position->next, changes, SEQUENCE_PAGE);
        if (n == 0) {
            ask (self, peer, disk, position);
            return;
        }
        if (position->asked || send_changes (self, peer, disk, position->next, changes,
                                             n, false, false) < 0)
            return;
        position_sent (position, n, self->now);
    }
}

void changes_feed (broker_link_t *self)
{
    for (size_t i = 0; i < self->n; i++)
        for (size_t disk = 0; self->peers[i].welcomed && disk < self->n_disks; disk++)
            feed (self, &self->peers[i], disk);
}
