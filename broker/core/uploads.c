/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/uploads.h"

#include <stdlib.h>

#include "broker/core/grants.h"
#include "broker/core/place.h"
#include "broker/core/reclaim.h"
#include "broker/core/scan.h"

typedef struct owner {
    uint64_t session;
    list_t uploads;
} owner_t;

typedef struct pin_key {
    const upload_t *upload;
    const copykey_t *key;
} pin_key_t;

struct uploads {
    table_t *owners; /* session -> owner_t, while it has uploads */
    table_t *by_id;  /* upload_t */
    table_t *pins;   /* pin_t by upload and key */
    list_t lru;      /* uploads, longest untouched first */
    list_t durable;  /* pins, oldest first */
    bool timer;
};

static bool match_owner (const void *entry, const void *key)
{
    return ((const owner_t *)entry)->session == *(const uint64_t *)key;
}

static bool match_upload (const void *entry, const void *key)
{
    const upload_t *upload = entry;
    const uint64_t *id = key;

    return upload->session == id[0] && upload->id == id[1];
}

static uint64_t hash_upload (const uint64_t id[2])
{
    return table_hash (id[0] ^ table_hash (id[1]));
}

static bool match_pin (const void *entry, const void *key)
{
    const pin_t *pin = entry;
    const pin_key_t *want = key;

    return pin->upload == want->upload &&
           copykey_cmp (&pin->chunk->key, want->key) == 0;
}

static uint64_t hash_pin (const upload_t *upload, const copykey_t *key)
{
    uint64_t id[2] = {upload->session, upload->id};

    return copykey_hash (key) ^ hash_upload (id);
}

uploads_t *uploads_new (void)
{
    uploads_t *self = core_zalloc (sizeof *self);

    self->owners = table_new (match_owner);
    self->by_id = table_new (match_upload);
    self->pins = table_new (match_pin);
    list_init (&self->lru);
    list_init (&self->durable);
    return self;
}

void uploads_destroy (uploads_t **self_p)
{
    uploads_t *self = *self_p;
    size_t cursor;
    owner_t *owner;
    upload_t *upload;
    pin_t *pin;

    if (!self)
        return;
    for (cursor = 0; (pin = table_next (self->pins, &cursor));) {
        free (pin->avoid);
        free (pin);
    }
    for (cursor = 0; (upload = table_next (self->by_id, &cursor));)
        free (upload);
    for (cursor = 0; (owner = table_next (self->owners, &cursor));)
        free (owner);
    table_destroy (&self->pins);
    table_destroy (&self->by_id);
    table_destroy (&self->owners);
    free (self);
    *self_p = NULL;
}

/* --- uploads --- */

static void set_timer (core_t *core)
{
    uploads_t *self = core->uploads;
    upload_t *oldest;

    if (self->timer || list_empty (&self->lru))
        return;
    oldest = LIST_OF (self->lru.next, upload_t, lru);
    self->timer = true;
    core_timer (core, oldest->touched + core->config.upload_timeout_ns, TIMER_UPLOADS,
                0);
}

static void touch (core_t *core, upload_t *upload)
{
    upload->touched = core->now;
    list_remove (&upload->lru);
    list_push (&core->uploads->lru, &upload->lru);
    set_timer (core);
}

upload_t *uploads_find (const core_t *core, uint64_t session, uint64_t id)
{
    uint64_t key[2] = {session, id};

    return table_get (core->uploads->by_id, hash_upload (key), key);
}

upload_t *uploads_get (core_t *core, uint64_t session, uint64_t id, uint32_t policy)
{
    uploads_t *self = core->uploads;
    upload_t *upload = uploads_find (core, session, id);

    if (!upload) {
        uint64_t key[2] = {session, id};
        owner_t *owner = table_get (self->owners, table_hash (session), &session);

        if (!owner) {
            owner = core_zalloc (sizeof *owner);
            owner->session = session;
            list_init (&owner->uploads);
            table_put (self->owners, table_hash (session), owner);
        }
        upload = core_zalloc (sizeof *upload);
        upload->session = session;
        upload->id = id;
        list_init (&upload->pins);
        list_init (&upload->owned);
        list_init (&upload->lru);
        list_push (&owner->uploads, &upload->owned);
        table_put (self->by_id, hash_upload (key), upload);
    }
    upload->policy = policy;
    touch (core, upload);
    return upload;
}

/* Frees UPLOAD when nothing is pinned for it. */
static void release_upload (core_t *core, upload_t *upload)
{
    uploads_t *self = core->uploads;
    uint64_t key[2] = {upload->session, upload->id};
    owner_t *owner;

    if (!list_empty (&upload->pins))
        return;
    owner = table_get (self->owners, table_hash (upload->session), &upload->session);
    list_remove (&upload->owned);
    list_remove (&upload->lru);
    table_remove (self->by_id, hash_upload (key), key);
    free (upload);
    if (owner && list_empty (&owner->uploads)) {
        table_remove (self->owners, table_hash (key[0]), &key[0]);
        free (owner);
    }
}

void uploads_unused (core_t *core, upload_t *upload)
{
    release_upload (core, upload);
}

static void unpin_all (core_t *core, upload_t *upload)
{
    bool last = list_empty (&upload->pins);

    if (last) {
        release_upload (core, upload);
        return;
    }
    while (!last) {
        pin_t *pin = LIST_OF (upload->pins.next, pin_t, in_upload);

        last = upload->pins.next == upload->pins.prev;
        reclaim_abandoned (core, &pin->chunk->key, pin->state != PIN_DURABLE);
        uploads_unpin (core, pin); /* the last one frees the upload */
    }
}

void uploads_done (core_t *core, uint64_t session, uint64_t id)
{
    upload_t *upload = uploads_find (core, session, id);

    if (upload)
        unpin_all (core, upload);
}

/* A client that is there waits for an answer about a chunk of UPLOAD. */
static bool awaited (const core_t *core, const upload_t *upload)
{
    if (!sessions_find (core, upload->session))
        return false;
    for (list_t *node = upload->pins.next; node != &upload->pins; node = node->next)
        if (LIST_OF (node, pin_t, in_upload)->state != PIN_DURABLE)
            return true;
    return false;
}

void uploads_timer (core_t *core)
{
    uploads_t *self = core->uploads;

    self->timer = false;
    while (!list_empty (&self->lru)) {
        upload_t *upload = LIST_OF (self->lru.next, upload_t, lru);

        if (core->now < upload->touched + core->config.upload_timeout_ns)
            break;
        if (awaited (core, upload))
            touch (core, upload);
        else
            unpin_all (core, upload);
    }
    set_timer (core);
}

/* --- pins --- */

pin_t *uploads_pin (const core_t *core, const upload_t *upload, const copykey_t *key)
{
    pin_key_t want = {upload, key};

    return table_get (core->uploads->pins, hash_pin (upload, key), &want);
}

pin_t *uploads_pin_new (core_t *core, upload_t *upload, const copykey_t *key,
                        uint64_t length)
{
    uploads_t *self = core->uploads;
    pin_t *pin;

    /* The commit of a chunk whose pin was forgotten looks its copies up. */
    if (table_count (self->pins) >= core->config.max_pins) {
        pin_t *oldest;

        if (list_empty (&self->durable))
            return NULL;
        oldest = LIST_OF (self->durable.next, pin_t, queue);
        if (oldest->upload == upload && upload->pins.next == upload->pins.prev)
            return NULL;
        uploads_unpin (core, oldest);
    }
    pin = core_zalloc (sizeof *pin);
    pin->upload = upload;
    pin->chunk = chunks_get (core, key, length);
    pin->length = length;
    pin->state = PIN_LOOKUP;
    pin->since = core->now;
    list_init (&pin->in_upload);
    list_init (&pin->in_chunk);
    list_init (&pin->queue);
    list_push (&upload->pins, &pin->in_upload);
    list_push (&pin->chunk->pins, &pin->in_chunk);
    table_put (self->pins, hash_pin (upload, key), pin);
    return pin;
}

void uploads_unpin (core_t *core, pin_t *pin)
{
    uploads_t *self = core->uploads;
    upload_t *upload = pin->upload;
    chunk_t *chunk = pin->chunk;
    pin_key_t want = {upload, &chunk->key};

    place_forget (core, pin);
    grants_end (core, pin);
    table_remove (self->pins, hash_pin (upload, &chunk->key), &want);
    list_remove (&pin->queue);
    list_remove (&pin->in_upload);
    list_remove (&pin->in_chunk);
    free (pin->avoid);
    free (pin);
    chunks_release (core, chunk);
    release_upload (core, upload);
}

void uploads_pin_durable (core_t *core, pin_t *pin)
{
    grants_end (core, pin);
    pin->state = PIN_DURABLE;
    list_remove (&pin->queue);
    list_push (&core->uploads->durable, &pin->queue);
}

const core_policy_t *uploads_policy (const core_t *core, const pin_t *pin)
{
    static const core_policy_t one = {.replicas = 1, .min_replicas = 1};
    const core_policy_t *policy = policies_find (core, pin->upload->policy);

    if (!policy)
        policy = policies_find (core, 0);
    return policy ? policy : &one;
}

void uploads_committed (core_t *core, const event_committed_t *event)
{
    for (size_t i = 0; i < event->n; i++) {
        chunk_t *chunk = chunks_find (core, &event->keys[i]);
        list_t *node;

        if (!chunk)
            continue;
        chunk->held++;
        if (policies_find (core, 0) &&
            (chunk_live (core, chunk) < policies_find (core, 0)->replicas ||
             chunk_staying (core, chunk) > policies_find (core, 0)->replicas))
            scan_check (core, &chunk->key);
        for (node = chunk->pins.next; node != &chunk->pins;) {
            pin_t *pin = LIST_OF (node, pin_t, in_chunk);

            node = node->next;
            if (pin->upload->session == event->session && pin->state == PIN_DURABLE) {
                pin->upload->touched = core->now;
                uploads_unpin (core, pin);
            }
        }
        chunk->held--;
        chunks_release (core, chunk);
    }
}

/* Grants end with the connection; what is durable, or will be, stays pinned: the client
 * may come back and commit it. */
void uploads_session_gone (core_t *core, session_t *session)
{
    uint64_t id = session->id;
    owner_t *owner = table_get (core->uploads->owners, table_hash (id), &id);
    list_t *at, *node;
    bool last = false;

    for (at = owner ? owner->uploads.next : NULL; at && !last;) {
        upload_t *upload = LIST_OF (at, upload_t, owned);

        at = at->next;
        last = at == &owner->uploads;
        if (list_empty (&upload->pins)) {
            release_upload (core, upload);
            continue;
        }
        for (node = upload->pins.next;;) {
            pin_t *pin = LIST_OF (node, pin_t, in_upload);
            bool final;

            node = node->next;
            final = node == &upload->pins;
            if (pin->state != PIN_DURABLE && pin->state != PIN_MENDING) {
                reclaim_abandoned (core, &pin->chunk->key, true);
                uploads_unpin (core, pin);
            }
            if (final)
                break;
        }
    }
}

void uploads_chunk_changed (core_t *core, chunk_t *chunk)
{
    list_t *node;

    chunk->held++;
    for (node = chunk->pins.next; node != &chunk->pins;) {
        pin_t *pin = LIST_OF (node, pin_t, in_chunk);

        node = node->next;
        grants_look (core, pin);
    }
    chunk->held--;
}

void uploads_copy_stuck (core_t *core, chunk_t *chunk)
{
    uint32_t live = chunk_live (core, chunk);
    list_t *node;

    chunk->held++;
    for (node = chunk->pins.next; node != &chunk->pins;) {
        pin_t *pin = LIST_OF (node, pin_t, in_chunk);

        node = node->next;
        if (pin->state != PIN_MENDING || live >= pin->promise)
            continue;
        if (policy_enough (core, uploads_policy (core, pin), live)) {
            pin->promise = live;
            grants_look (core, pin);
        } else if (members_unsure (core) == 0) {
            /* Nobody will come: the client hears so when it places it again. */
            grants_give_up (core, pin, DFS_EAGAIN);
        }
    }
    chunk->held--;
}

void uploads_count (const core_t *core, uint64_t *uploads, uint64_t *pins)
{
    *uploads = table_count (core->uploads->by_id);
    *pins = table_count (core->uploads->pins);
}
