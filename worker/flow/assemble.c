/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/digest.h"
#include "common/log.h"
#include "common/units.h"
#include "worker/flow/assemble.h"

#define SILENCE_NS (30 * SEC)
#define GRACE_NS   (1 * SEC)

enum {
    BUCKETS = 4096,
    ARRIVALS_MAX = 8192, /* with those refused, whose rest is still read */
    REFUSED_MAX = 1024,  /* of these, from one key */
    SENDERS = 1024,      /* slots of keys */
    TOUCHED_MAX = 256,
};

enum state {
    RECEIVING,
    SKIPPING, /* had it, or refused: the rest is read and dropped */
};

typedef struct arrival {
    struct arrival *next; /* in its bucket */
    int fd;
    uint64_t session;
    copykey_t key;
    enum state state;
    bool refused;  /* counted in the slot of its sender */
    uint32_t slot; /* of its sender */
    uint64_t deadline;
    uint64_t stored_len;
    uint64_t position; /* of the next byte */
    uint64_t upload;
    uint64_t trace;
    bool lost;   /* its connection is gone */
    bool credit; /* sender waits for credits */
    bool touched;
    bool keep; /* its frames wait in the settle's item for the next hop */
    uint64_t credited;
    store_append_t *append;
    settle_t *settle;
    digest_t *digest; /* NULL: an earlier hop checked SHA-256 */
} arrival_t;

struct assemble {
    assemble_config_t config;
    arrival_t *buckets[BUCKETS];
    size_t n;
    size_t appends;
    uint64_t bytes;                      /* of appends */
    digest_t *digests[ASSEMBLE_APPENDS]; /* spare */
    size_t n_digests;
    digest_t *digest;                /* for small chunks */
    arrival_t *touched[TOUCHED_MAX]; /* credits are due */
    uint32_t refused[SENDERS];
    size_t n_touched;
};

assemble_t *assemble_new (const assemble_config_t *config)
{
    assemble_t *self = calloc (1, sizeof *self);
    assert (self);
    self->config = *config;
    self->digest = digest_new ();
    return self;
}

static size_t bucket_of (int fd, uint64_t session, const copykey_t *key)
{
    return (copykey_hash (key) ^ session ^ ((uint64_t)fd << 5)) % BUCKETS;
}

static arrival_t **find (assemble_t *self, int fd, uint64_t session,
                         const copykey_t *key)
{
    arrival_t **at = &self->buckets[bucket_of (fd, session, key)];
    while (*at && !((*at)->fd == fd && (*at)->session == session &&
                    copykey_cmp (&(*at)->key, key) == 0))
        at = &(*at)->next;
    return at;
}

static void untouch (assemble_t *self, arrival_t *arrival)
{
    if (!arrival->touched)
        return;
    for (size_t i = 0; i < self->n_touched; i++)
        if (self->touched[i] == arrival) {
            self->touched[i] = self->touched[--self->n_touched];
            break;
        }
    arrival->touched = false;
}

/* Ends the append (if one is open) without a chunk. */
static void abort_append (assemble_t *self, arrival_t *arrival)
{
    if (arrival->append) {
        store_abort (&arrival->append);
        self->appends--;
        self->bytes -= arrival->stored_len;
    }
    settle_destroy (&arrival->settle);
    if (arrival->digest) {
        if (self->n_digests < ASSEMBLE_APPENDS)
            self->digests[self->n_digests++] = arrival->digest;
        else
            digest_destroy (&arrival->digest);
        arrival->digest = NULL;
    }
}

static void forget (assemble_t *self, arrival_t **at)
{
    arrival_t *arrival = *at;
    *at = arrival->next;
    self->refused[arrival->slot] -= arrival->refused;
    untouch (self, arrival);
    abort_append (self, arrival);
    self->n--;
    free (arrival);
}

void assemble_destroy (assemble_t **self_p)
{
    assemble_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < BUCKETS; i++)
        while (self->buckets[i])
            forget (self, &self->buckets[i]);
    while (self->n_digests)
        digest_destroy (&self->digests[--self->n_digests]);
    digest_destroy (&self->digest);
    free (self);
    *self_p = NULL;
}

/* The rest of the chunk is read and dropped without another refusal. */
static void skip (assemble_t *self, arrival_t *arrival)
{
    abort_append (self, arrival);
    arrival->state = SKIPPING;
    arrival->credit = false;
    self->refused[arrival->slot] += !arrival->refused;
    arrival->refused = true;
}

/* NULL when there are too many. */
static arrival_t *add (assemble_t *self, const frame_t *frame, const sender_t *sender,
                       bool refused, uint64_t now)
{
    uint32_t slot = sender_slot (sender, SENDERS);
    if (self->n >= ARRIVALS_MAX || (refused && self->refused[slot] >= REFUSED_MAX))
        return NULL;
    arrival_t *arrival = calloc (1, sizeof *arrival);
    assert (arrival);
    arrival->fd = sender->fd;
    arrival->slot = slot;
    arrival->session = frame->session;
    arrival->key = frame->key;
    arrival->stored_len = frame->stored_len;
    arrival->trace = frame->trace;
    arrival->credit = frame->flags & FRAME_CREDIT;
    arrival->deadline = now + SILENCE_NS;
    size_t bucket = bucket_of (arrival->fd, frame->session, &frame->key);
    arrival->next = self->buckets[bucket];
    self->buckets[bucket] = arrival;
    self->n++;
    return arrival;
}

static void refuse (assemble_t *self, const frame_t *frame, uint64_t upload,
                    const dfs_error_t *err)
{
    char chunk[COPYKEY_TEXT], text[256];
    log_info ("chunk_refused", "req=%016" PRIx64 " chunk=%s hop=%u err=%d text=%s",
              frame->trace, copykey_text (&frame->key, chunk), frame->hop, err->code,
              log_quote (text, sizeof text, err->text));
    notes_refused (self->config.notes, frame->session, upload, frame->trace,
                   &frame->key, 0, err->code, err->text);
}

static bool ends_here (const frame_t *frame)
{
    return frame->flags & (FRAME_LAST | FRAME_SMALL) ||
           frame->offset + frame->length == frame->stored_len;
}

/* What the next hop needs, when there is one. */
static settle_t *make_settle (assemble_t *self, const frame_t *frame,
                              const grant_t *grant)
{
    settle_t *settle = settle_new (self->config.settler);
    settle->session = frame->session;
    settle->upload = grant->upload;
    settle->trace = frame->trace;
    settle->traced = frame->flags & FRAME_TRACED;
    settle->came_at = clock_mono ();
    settle->length = frame->stored_len;
    settle->key = frame->key;
    if (frame->trace && log_get_level () >= LOG_DEBUG) {
        char chunk[COPYKEY_TEXT];
        log_debug ("chunk_comes", "req=%016" PRIx64 " chunk=%s hop=%u", frame->trace,
                   copykey_text (&frame->key, chunk), frame->hop);
    }
    uint32_t hop = frame->hop + 1u;
    if (hop >= grant->n_targets)
        return settle;
    forward_item_t *item = forward_item_new ();
    item->target = grant->targets[hop];
    item->hop = (uint8_t)hop;
    item->orderer = NOTE_TO_LEADER;
    item->session = frame->session;
    item->upload = grant->upload;
    item->order = grant->order;
    item->trace = frame->trace;
    item->traced = frame->flags & FRAME_TRACED;
    item->key = frame->key;
    item->stored_len = frame->stored_len;
    item->grant_len = frame->grant_len;
    memcpy (item->grant, frame->grant, frame->grant_len);
    settle->item = item;
    return settle;
}

static store_new_t describe (const frame_t *frame, const grant_t *grant)
{
    return (store_new_t){.key = frame->key,
                         .true_len = frame->true_len,
                         .stored_len = frame->stored_len,
                         .birth = grant->birth,
                         .upload = grant->upload,
                         .encoding = frame->encoding};
}

static int check_hash (digest_t *digest, const copykey_t *key, dfs_error_t *err)
{
    uint8_t sum[DIGEST_LEN];
    digest_finish (digest, sum);
    if (memcmp (sum, key->digest, DIGEST_LEN) != 0)
        return fail (err, DFS_EDAMAGED, "SHA-256 differs from the chunk's name");
    return DFS_OK;
}

/* A whole chunk in one frame. */
static int small (assemble_t *self, const frame_t *frame, const grant_t *grant,
                  zmq_msg_t *body, dfs_error_t *err)
{
    const void *data = zmq_msg_data (body);
    int rc = frame_check (frame, data, zmq_msg_size (body), err);
    if (rc == DFS_OK && admit_must_hash (frame, grant)) {
        digest_start (self->digest);
        digest_update (self->digest, data, frame->length);
        rc = check_hash (self->digest, &frame->key, err);
    }
    if (rc < 0)
        return rc;
    settle_t *settle = make_settle (self, frame, grant);
    /* Verified: its bytes may go on before they are durable here. After store_put the
     * commit thread may own the settle, so the item is taken out before. */
    forward_item_t *item = NULL;
    if (settle->item && forward_item_reserve (settle->item)) {
        item = settle->item;
        settle->item = NULL;
        forward_item_keep (item, body, frame);
    }
    store_new_t what = describe (frame, grant);
    settle->whole_at = clock_mono ();
    rc = store_put (self->config.store, &what, data, frame->crcs,
                    settle_cookie (settle), err);
    if (rc == DFS_EEXIST)
        settle_had (&settle);
    else if (rc < 0 && rc != DFS_EAGAIN) {
        settle_destroy (&settle);
        forward_item_destroy (&item);
        return rc;
    }
    settler_forward (self->config.settler, &item);
    return DFS_OK;
}

/* Reserves space for a chunk of several frames. */
static int begin (assemble_t *self, arrival_t *arrival, const frame_t *frame,
                  const grant_t *grant, dfs_error_t *err)
{
    if (self->appends >= ASSEMBLE_APPENDS ||
        self->bytes + frame->stored_len > ASSEMBLE_BYTES)
        return fail (err, DFS_EAGAIN, "too many chunks are arriving");
    arrival->upload = grant->upload;
    arrival->settle = make_settle (self, frame, grant);
    store_new_t what = describe (frame, grant);
    arrival->append =
        store_begin (self->config.store, &what, settle_cookie (arrival->settle), err);
    if (arrival->append) {
        arrival->keep =
            arrival->settle->item && forward_item_reserve (arrival->settle->item);
        self->appends++;
        self->bytes += frame->stored_len;
        if (admit_must_hash (frame, grant)) {
            arrival->digest =
                self->n_digests ? self->digests[--self->n_digests] : digest_new ();
            digest_start (arrival->digest);
        }
        return DFS_OK;
    }
    if (err->code == DFS_EEXIST)
        settle_had (&arrival->settle);
    else if (err->code == DFS_EAGAIN)
        arrival->settle = NULL; /* renewal: `done` has it */
    else
        return err->code;
    arrival->state = SKIPPING;
    return DFS_OK;
}

/* All bytes are there. */
static int finish (assemble_t *self, arrival_t *arrival, dfs_error_t *err)
{
    int rc =
        arrival->digest ? check_hash (arrival->digest, &arrival->key, err) : DFS_OK;
    if (rc < 0)
        return rc;
    self->appends--;
    self->bytes -= arrival->stored_len;
    /* With its frames at hand it goes on now; otherwise when it can be read. */
    forward_item_t *item = NULL;
    if (arrival->keep) {
        item = arrival->settle->item;
        arrival->settle->item = NULL;
    }
    arrival->settle->whole_at = clock_mono ();
    arrival->settle = NULL; /* `done` has it from here on */
    store_seal (&arrival->append);
    settler_forward (self->config.settler, &item);
    return DFS_OK;
}

static int receive (assemble_t *self, arrival_t *arrival, const frame_t *frame,
                    zmq_msg_t *body, dfs_error_t *err)
{
    if (frame->offset != arrival->position || frame->stored_len != arrival->stored_len)
        return fail (err, DFS_EPROTO, "frame at %" PRIu64 " where %" PRIu64 " is due",
                     frame->offset, arrival->position);
    const void *data = zmq_msg_data (body);
    int rc = frame_check (frame, data, zmq_msg_size (body), err);
    if (rc < 0)
        return rc;
    if (arrival->digest)
        digest_update (arrival->digest, data, frame->length);
    rc = store_write (arrival->append, frame->offset, data, frame->length, frame->crcs,
                      err);
    if (rc < 0)
        return rc;
    if (arrival->keep)
        forward_item_keep (arrival->settle->item, body, frame);
    arrival->position += frame->length;
    if (arrival->position == arrival->stored_len)
        return finish (self, arrival, err);
    if (frame->flags & FRAME_LAST)
        return fail (err, DFS_EPROTO, "chunk ends early");
    return DFS_OK;
}

static void send_credit (assemble_t *self, arrival_t *arrival)
{
    if (arrival->position > arrival->credited)
        notes_credit (self->config.notes, arrival->session, arrival->upload,
                      &arrival->key, arrival->position);
    arrival->credited = arrival->position;
}

static void touch (assemble_t *self, arrival_t *arrival)
{
    if (!arrival->credit || arrival->touched)
        return;
    if (self->n_touched == TOUCHED_MAX)
        assemble_flush (self);
    arrival->touched = true;
    self->touched[self->n_touched++] = arrival;
}

void assemble_flush (assemble_t *self)
{
    for (size_t i = 0; i < self->n_touched; i++) {
        self->touched[i]->touched = false;
        send_credit (self, self->touched[i]);
    }
    self->n_touched = 0;
}

/* The first frame of a chunk. NULL: dealt with, nothing to follow. */
static arrival_t *first_frame (assemble_t *self, const frame_t *frame,
                               const sender_t *sender, zmq_msg_t *body, uint64_t now,
                               dfs_error_t *err)
{
    grant_t grant;
    memset (&grant, 0, sizeof grant);
    int rc = admit_frame (&self->config.admit, frame, sender, now, &grant, err);
    if (rc == DFS_OK && frame->length == frame->stored_len) {
        rc = small (self, frame, &grant, body, err);
        if (rc < 0)
            refuse (self, frame, grant.upload, err);
        else if (frame->flags & FRAME_CREDIT)
            notes_credit (self->config.notes, frame->session, grant.upload, &frame->key,
                          frame->length);
        return NULL;
    }
    arrival_t *arrival = add (self, frame, sender, rc < 0, now);
    if (!arrival) {
        if (rc == DFS_OK)
            fail (err, DFS_EAGAIN, "too many chunks are arriving");
        refuse (self, frame, grant.upload, err);
        return NULL;
    }
    if (rc == DFS_OK)
        rc = begin (self, arrival, frame, &grant, err);
    if (rc < 0) {
        refuse (self, frame, grant.upload, err);
        skip (self, arrival);
    }
    return arrival;
}

void assemble_frame (assemble_t *self, const frame_t *frame, const sender_t *sender,
                     zmq_msg_t *body, uint64_t now)
{
    dfs_error_t err = {0};
    arrival_t **at = find (self, sender->fd, frame->session, &frame->key);
    arrival_t *arrival = *at;
    if (frame->offset == 0 && frame->grant_len) {
        if (arrival) /* sent again from the start */
            forget (self, at);
        arrival = first_frame (self, frame, sender, body, now, &err);
        if (!arrival)
            return;
    } else if (!arrival) {
        fail (&err, DFS_ESTALE, "no such chunk is arriving");
        refuse (self, frame, 0, &err);
        if (!ends_here (frame) && (arrival = add (self, frame, sender, true, now)))
            skip (self, arrival);
        return;
    }
    arrival->deadline = now + (arrival->lost ? GRACE_NS : SILENCE_NS);
    if (arrival->state == RECEIVING) {
        if (receive (self, arrival, frame, body, &err) < 0) {
            refuse (self, frame, arrival->upload, &err);
            skip (self, arrival);
        }
    } else
        arrival->position = frame->offset + frame->length;
    touch (self, arrival);
    if (ends_here (frame)) {
        if (arrival->credit)
            send_credit (self, arrival);
        forget (self, find (self, sender->fd, frame->session, &frame->key));
    }
}

void assemble_lost (assemble_t *self, int fd, uint64_t now)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (arrival_t *a = self->buckets[i]; a; a = a->next)
            if (a->fd == fd && !a->lost) {
                a->lost = true;
                if (a->deadline > now + GRACE_NS)
                    a->deadline = now + GRACE_NS;
            }
}

void assemble_expire (assemble_t *self, uint64_t now)
{
    for (size_t i = 0; i < BUCKETS; i++)
        for (arrival_t **at = &self->buckets[i]; *at;) {
            if ((*at)->deadline > now) {
                at = &(*at)->next;
                continue;
            }
            if ((*at)->state == RECEIVING) {
                char chunk[COPYKEY_TEXT];
                log_info ("chunk_aborted", "req=%016" PRIx64 " chunk=%s at=%" PRIu64,
                          (*at)->trace, copykey_text (&(*at)->key, chunk),
                          (*at)->position);
            }
            forget (self, at);
        }
}

size_t assemble_pending (const assemble_t *self)
{
    return self->appends;
}
