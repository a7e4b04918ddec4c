/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>
#include <inttypes.h>
#include <stdatomic.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mailbox.h"
#include "common/units.h"
#include "worker/flow/target.h"
#include "worker/links/actor.h"

enum {
    TARGETS_MAX = DIRECTORY_MEMBERS,
    TICK_MS = 100,
    BURST = 64,
    TARGET_BYTES = 2 * FRAME_MAX, /* in flight to one worker: see streams.c */
    BODIES_MAX = 32 * FRAME_MAX,  /* bytes of chunks kept as they came */
};

static const window_class_t classes[] = {{64 * 1024, 64}, {FRAME_MAX, 24}};

/* What comes through the mailbox. */
typedef struct request {
    forward_item_t *item; /* to send, or NULL: an answer */
    link_answer_t answer;
} request_t;

struct forward {
    forward_config_t config;
    window_t *window;
    mailbox_t *requests;
    actor_t *actor;
    target_t **targets; /* of TARGETS_MAX */
    size_t n;
    uint64_t seq;
    uint64_t now;
    uint64_t next_watch;
    bool starved;
    zmq_pollitem_t *items;
    atomic_uint_least64_t bytes;
};

/* Bytes of bodies that items of all forwards hold: a plain budget. */
static atomic_size_t bodies;

forward_item_t *forward_item_new (void)
{
    forward_item_t *item = calloc (1, sizeof *item);
    assert (item);
    return item;
}

void forward_item_destroy (forward_item_t **item_p)
{
    forward_item_t *item = *item_p;
    if (!item)
        return;
    forward_item_drop_bodies (item);
    store_close_chunk (&item->chunk);
    free (item);
    *item_p = NULL;
}

bool forward_item_reserve (forward_item_t *item)
{
    size_t len = (size_t)item->stored_len;
    if (atomic_fetch_add (&bodies, len) + len > BODIES_MAX) {
        atomic_fetch_sub (&bodies, len);
        return false;
    }
    item->reserved = len;
    return true;
}

void forward_item_keep (forward_item_t *item, zmq_msg_t *body, const frame_t *frame)
{
    item->bodies = realloc (item->bodies, (item->n_bodies + 1) * sizeof *item->bodies);
    assert (item->bodies);
    forward_body_t *kept = &item->bodies[item->n_bodies++];
    zmq_msg_init (&kept->msg);
    zmq_msg_copy (&kept->msg, body);
    kept->n_crcs = frame->n_crcs;
    memcpy (kept->crcs, frame->crcs, frame->n_crcs * sizeof *kept->crcs);
}

void forward_item_drop_bodies (forward_item_t *item)
{
    for (size_t i = 0; i < item->n_bodies; i++)
        zmq_msg_close (&item->bodies[i].msg);
    free (item->bodies);
    item->bodies = NULL;
    item->n_bodies = 0;
    atomic_fetch_sub (&bodies, item->reserved);
    item->reserved = 0;
}

/* Takes ITEM: whoever waits for the copy is told that it will not come. */
static void item_failed (forward_item_t *item, int code, const char *text, void *arg)
{
    forward_t *self = arg;
    char chunk[COPYKEY_TEXT];
    log_info ("forward_failed", "req=%016" PRIx64 " chunk=%s peer=%u err=%d",
              item->trace, copykey_text (&item->key, chunk), item->target, code);
    if (item->order)
        notes_order (self->config.notes, item->orderer, item->order, item->trace, code,
                     text);
    else
        notes_refused (self->config.notes, item->session, item->upload, item->trace,
                       &item->key, item->target, code, text);
    forward_item_destroy (&item);
}

static target_t *target_for (forward_t *self, uint32_t id)
{
    for (size_t i = 0; i < self->n; i++)
        if (target_id (self->targets[i]) == id)
            return self->targets[i];
    if (self->n == TARGETS_MAX)
        return NULL;
    target_t *target =
        target_new (&self->config, self->window, id, item_failed, self, self->now);
    self->targets[self->n++] = target;
    target_watch (target, self->now);
    return target;
}

static void handle (forward_t *self, request_t *request)
{
    if (request->item) {
        target_t *target = target_for (self, request->item->target);
        if (target)
            target_queue (target, request->item, self->now);
        else
            item_failed (request->item, DFS_EAGAIN, "too many targets", self);
        return;
    }
    const link_answer_t *answer = &request->answer;
    for (size_t i = 0; i < self->n; i++)
        if ((answer->worker == 0 || answer->worker == target_id (self->targets[i])) &&
            target_answer (self->targets[i], answer, self->now))
            return;
}

static void take_requests (forward_t *self)
{
    request_t *request;
    for (int i = 0; i < 4 * BURST && (request = mailbox_pop (self->requests)); i++) {
        handle (self, request);
        free (request);
    }
}

static bool pump (forward_t *self, bool *full)
{
    size_t busy = 0;
    for (size_t i = 0; i < self->n; i++)
        busy += target_busy (self->targets[i]);
    size_t share = window_size (self->window) / (busy ? busy : 1);
    if (share > TARGET_BYTES)
        share = TARGET_BYTES;
    if (share < FRAME_MAX)
        share = FRAME_MAX;
    int sent = 0;
    bool any = true;
    while (any && sent < BURST) {
        any = false;
        for (size_t i = 0; i < self->n; i++) {
            size_t bytes;
            enum target_result result =
                target_send (self->targets[i], share, &self->seq, self->now, &bytes);
            full[i] = result == TARGET_FULL;
            self->starved |= result == TARGET_NO_ROOM;
            if (result != TARGET_SENT)
                continue;
            any = true;
            sent++;
            atomic_fetch_add (&self->bytes, bytes);
        }
    }
    return any;
}

static void watch (forward_t *self)
{
    for (size_t i = self->n; i > 0; i--)
        if (target_watch (self->targets[i - 1], self->now)) {
            target_destroy (&self->targets[i - 1]);
            self->targets[i - 1] = self->targets[--self->n];
        }
    self->next_watch = self->now + TICK_MS * MS;
}

static int wait_work (forward_t *self, void *pipe, const bool *full, bool again)
{
    zmq_pollitem_t *items = self->items;
    size_t n = 0;
    items[n++] = (zmq_pollitem_t){.socket = pipe, .events = ZMQ_POLLIN};
    items[n++] =
        (zmq_pollitem_t){.fd = mailbox_fd (self->requests), .events = ZMQ_POLLIN};
    items[n++] = (zmq_pollitem_t){.fd = window_fd (self->window), .events = ZMQ_POLLIN};
    for (size_t i = 0; i < self->n; i++) {
        target_t *target = self->targets[i];
        if (!target_socket (target))
            continue;
        items[n++] =
            (zmq_pollitem_t){.socket = target_monitor (target), .events = ZMQ_POLLIN};
        if (full[i])
            items[n++] = (zmq_pollitem_t){.socket = target_socket (target),
                                          .events = ZMQ_POLLOUT};
    }
    int rc = zmq_poll (items, (int)n, again ? 0 : self->n ? TICK_MS : -1);
    self->now = clock_mono ();
    if ((rc < 0 && errno != EINTR) || (rc > 0 && items[0].revents))
        return -1;
    if (rc > 0 && items[2].revents)
        window_calm (self->window);
    for (size_t i = 3; rc > 0 && i < n; i++)
        if (items[i].revents && items[i].events == ZMQ_POLLIN)
            self->next_watch = 0;
    return 0;
}

static void run (void *pipe, void *arg)
{
    forward_t *self = arg;
    bool *full = calloc (TARGETS_MAX, sizeof *full);
    self->items = calloc (2 * TARGETS_MAX + 3, sizeof *self->items);
    assert (full && self->items);
    self->now = clock_mono ();
    bool again = false;
    while (wait_work (self, pipe, full, again) == 0) {
        /* Before new frames go out: a broken connection must be seen first. */
        if (self->now >= self->next_watch)
            watch (self);
        take_requests (self);
        self->starved = false;
        again = pump (self, full);
        if (self->starved && !again) {
            window_arm (self->window);
            again = pump (self, full);
        }
    }
    while (self->n)
        target_destroy (&self->targets[--self->n]);
    free (full);
    free (self->items);
}

forward_t *forward_new (const forward_config_t *config, dfs_error_t *err)
{
    forward_t *self = calloc (1, sizeof *self);
    assert (self);
    self->config = *config;
    self->window = window_new (classes, sizeof classes / sizeof classes[0]);
    self->requests = mailbox_new ();
    self->targets = calloc (TARGETS_MAX, sizeof (target_t *));
    assert (self->targets);
    self->actor = actor_new (run, self);
    if (!self->actor) {
        fail (err, DFS_ESYS, "start the forward thread");
        forward_destroy (&self);
    }
    return self;
}

static void free_request (void *data)
{
    request_t *request = data;
    forward_item_destroy (&request->item);
    free (request);
}

void forward_destroy (forward_t **self_p)
{
    forward_t *self = *self_p;
    if (!self)
        return;
    actor_destroy (&self->actor);
    mailbox_destroy (&self->requests, free_request);
    window_destroy (&self->window);
    free (self->targets);
    free (self);
    *self_p = NULL;
}

static void push (forward_t *self, const request_t *request)
{
    request_t *copy = malloc (sizeof *copy);
    assert (copy);
    *copy = *request;
    mailbox_push (self->requests, copy);
}

void forward_queue (forward_t *self, forward_item_t **item_p)
{
    (*item_p)->queued_at = clock_mono ();
    push (self, &(request_t){.item = *item_p});
    *item_p = NULL;
}

void forward_answer (forward_t *self, const link_answer_t *answer)
{
    push (self, &(request_t){.answer = *answer});
}

uint64_t forward_bytes (forward_t *self)
{
    return atomic_load (&self->bytes);
}
