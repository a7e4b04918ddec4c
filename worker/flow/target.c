/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "msgs/control.pb-c.h"
#include "worker/flow/send.h"
#include "worker/flow/target.h"

#define PATIENCE_NS   (3 * SEC)  /* not connected */
#define SLOW_NS       (15 * SEC) /* connected, but takes nothing */
#define NO_CREDIT_NS  (5 * SEC)  /* credits got lost with a broker: go on without */
#define KEEP_SMALL_NS (2 * SEC)  /* a small chunk may still be in a socket */
#define IDLE_NS       (60 * SEC)
#define REFUSED_NS    (1 * SEC) /* after a handshake that was refused */
#define UNACKED       (32 * MIB)
enum { KEEP_SMALL = 256, TRIES = 4 };

typedef struct list {
    forward_item_t *head;
    forward_item_t **tail;
    size_t n;
} list_t;

struct target {
    const forward_config_t *config;
    window_t *window;
    share_t *share;
    target_failed_f *failed;
    void *arg;
    uint32_t id;
    member_t member; /* as connected to */
    void *socket;
    void *monitor;
    bool connected;
    uint64_t dial_at;  /* not before */
    list_t waiting;    /* the head may be partly sent */
    list_t flying;     /* sent, not known to be consumed */
    uint64_t unacked;  /* bytes of large chunks */
    uint64_t progress; /* last frame taken, or start of waiting */
    uint64_t credited; /* last credit, or first frame without one */
};

static void list_init (list_t *list)
{
    *list = (list_t){.tail = &list->head};
}

static void list_add (list_t *list, forward_item_t *item)
{
    item->next = NULL;
    *list->tail = item;
    list->tail = &item->next;
    list->n++;
}

static forward_item_t *list_take (list_t *list, forward_item_t **at)
{
    forward_item_t *item = *at;
    *at = item->next;
    if (list->tail == &item->next)
        list->tail = at;
    list->n--;
    item->next = NULL;
    return item;
}

target_t *target_new (const forward_config_t *config, window_t *window, uint32_t id,
                      target_failed_f *failed, void *arg, uint64_t now)
{
    target_t *self = calloc (1, sizeof *self);
    assert (self);
    self->config = config;
    self->window = window;
    self->share = share_new (window);
    self->failed = failed;
    self->arg = arg;
    self->id = id;
    self->progress = now;
    list_init (&self->waiting);
    list_init (&self->flying);
    return self;
}

static void disconnect (target_t *self)
{
    if (self->monitor)
        sock_monitor_close (self->socket, &self->monitor);
    sock_close (&self->socket);
    self->connected = false;
}

void target_destroy (target_t **self_p)
{
    target_t *self = *self_p;
    if (!self)
        return;
    disconnect (self);
    list_t *lists[] = {&self->waiting, &self->flying};
    for (int i = 0; i < 2; i++)
        while (lists[i]->head) {
            forward_item_t *item = list_take (lists[i], &lists[i]->head);
            forward_item_destroy (&item);
        }
    share_close (&self->share);
    free (self);
    *self_p = NULL;
}

static bool is_small (const forward_item_t *item)
{
    return item->stored_len <= FRAME_MAX;
}

static uint64_t item_unacked (const forward_item_t *item)
{
    return is_small (item) || item->consumed >= item->sent
               ? 0
               : item->sent - item->consumed;
}

static void drop (target_t *self, forward_item_t *item)
{
    self->unacked -= item_unacked (item);
    forward_item_destroy (&item);
}

static void give_up (target_t *self, list_t *list, forward_item_t **at, int code,
                     const char *text)
{
    forward_item_t *item = list_take (list, at);
    self->unacked -= item_unacked (item);
    self->failed (item, code, text, self->arg);
}

void target_queue (target_t *self, forward_item_t *item, uint64_t now)
{
    if (!self->waiting.head)
        self->progress = now;
    list_add (&self->waiting, item);
}

static bool writable (target_t *self)
{
    int events = 0;
    size_t len = sizeof events;
    return self->socket &&
           zmq_getsockopt (self->socket, ZMQ_EVENTS, &events, &len) == 0 &&
           events & ZMQ_POLLOUT;
}

/* What the connection took with it is sent again, from the start and in order. */
static void send_again (target_t *self)
{
    list_t all;
    list_init (&all);
    list_t *lists[] = {&self->flying, &self->waiting};
    for (int i = 0; i < 2; i++)
        while (lists[i]->head) {
            forward_item_t *item = list_take (lists[i], &lists[i]->head);
            if (item->sent) {
                self->unacked -= item_unacked (item);
                item->sent = item->consumed = 0;
                item->next_body = 0;
                if (++item->tries >= TRIES) {
                    self->failed (item, DFS_EUNAVAIL, "connection lost too often",
                                  self->arg);
                    continue;
                }
            }
            list_add (&all, item);
        }
    self->waiting = all;
    if (!all.head)
        self->waiting.tail = &self->waiting.head;
}

static void connect_to (target_t *self, uint64_t now)
{
    member_t member;
    if (now < self->dial_at ||
        !directory_member (self->config->directory, self->id, &member) ||
        !member.address[0])
        return;
    if (self->socket && strcmp (member.address, self->member.address) == 0 &&
        member.port == self->member.port &&
        memcmp (member.key, self->member.key, sizeof member.key) == 0)
        return;
    if (self->socket) {
        disconnect (self);
        send_again (self);
    }
    dfs_error_t err = {0};
    self->member = member;
    self->socket =
        sock_new (self->config->ctx, SOCK_FORWARD, self->config->identity, NULL, &err);
    if (self->socket)
        self->monitor = sock_monitor (
            self->config->ctx, self->socket,
            ZMQ_EVENT_HANDSHAKE_SUCCEEDED | ZMQ_EVENT_DISCONNECTED |
                ZMQ_EVENT_HANDSHAKE_FAILED_AUTH | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL,
            &err);
    if (!self->monitor ||
        sock_connect (self->socket, self->config->identity, member.address, member.port,
                      member.has_key ? member.key : NULL, &err) < 0) {
        log_warn ("forward_connect", "peer=%s err=%d text=\"%s\"", member.name,
                  err.code, err.text);
        disconnect (self);
    }
}

/* Bytes of the next frame, by reference to what came or read from the store. */
static enum target_result fill (target_t *self, forward_item_t *item, size_t share,
                                frame_t *frame, zmq_msg_t *body, dfs_error_t *err)
{
    if (self->unacked >= UNACKED)
        return TARGET_NO_ROOM;
    if (item->next_body < item->n_bodies) {
        forward_body_t *kept = &item->bodies[item->next_body];
        zmq_msg_init (body);
        zmq_msg_copy (body, &kept->msg);
        frame->length = (uint32_t)zmq_msg_size (body);
        frame->n_crcs = kept->n_crcs;
        memcpy (frame->crcs, kept->crcs, kept->n_crcs * sizeof *frame->crcs);
        return TARGET_SENT;
    }
    if (!item->chunk) {
        item->chunk = store_open_chunk (self->config->store, &item->key, err);
        if (!item->chunk)
            return TARGET_IDLE;
        item->stored_len = store_chunk_info (item->chunk)->stored_len;
        item->next_body = 0;
    }
    uint64_t left = item->stored_len - item->sent;
    size_t want = left < FRAME_MAX ? (size_t)left : FRAME_MAX;
    size_t held = share_held (self->share);
    if (held && held + want > share)
        return TARGET_NO_ROOM;
    lease_t *lease = window_take (self->window, self->share, want, want);
    if (!lease)
        return TARGET_NO_ROOM;
    if (store_read (item->chunk, item->sent, lease_data (lease), want, frame->crcs,
                    true, err) < 0) {
        lease_return (&lease);
        return TARGET_IDLE;
    }
    lease_message (&lease, want, body);
    frame->length = (uint32_t)want;
    frame->n_crcs = (uint32_t)((want + DIGEST_BLOCK - 1) / DIGEST_BLOCK);
    return TARGET_SENT;
}

/* The head has been sent: remember it for a while. */
static void fly (target_t *self, uint64_t now)
{
    forward_item_t *item = list_take (&self->waiting, &self->waiting.head);
    store_close_chunk (&item->chunk);
    forward_item_drop_bodies (item);
    item->sent_at = now;
    list_add (&self->flying, item);
}

/* ITEM went out whole. */
static void tell_time (target_t *self, const forward_item_t *item)
{
    uint64_t spent = clock_mono () - item->queued_at;
    if (item->traced)
        notes_traced (
            self->config->notes, NOTE_TO_LEADER, item->session, item->trace,
            &(note_step_t){DFS__TRACE_STEP__STEP_FORWARD, spent, item->stored_len}, 1);
    if (log_is_slow (spent)) {
        char text[COPYKEY_TEXT];
        log_warn ("slow",
                  "req=%016" PRIx64 " kind=forward chunk=%s peer=%s ms=%" PRIu64,
                  item->trace, copykey_text (&item->key, text), self->member.name,
                  (uint64_t)(spent / MS));
    }
}

enum target_result target_send (target_t *self, size_t share, uint64_t *seq,
                                uint64_t now, size_t *bytes)
{
    *bytes = 0;
    forward_item_t *item = self->waiting.head;
    if (!item)
        return TARGET_IDLE;
    if (!writable (self))
        return TARGET_FULL;
    dfs_error_t err = {0};
    frame_t frame = {.kind = FRAME_DATA,
                     .hop = item->hop,
                     .session = directory_session (self->config->directory),
                     .seq = ++*seq,
                     .trace = item->trace,
                     .key = item->key,
                     .offset = item->sent};
    zmq_msg_t body;
    enum target_result result = fill (self, item, share, &frame, &body, &err);
    if (result == TARGET_IDLE) {
        give_up (self, &self->waiting, &self->waiting.head, err.code, err.text);
        return TARGET_SENT;
    }
    if (result != TARGET_SENT)
        return result;
    frame.true_len = frame.stored_len = item->stored_len;
    if (item->sent == 0) {
        frame.grant_len = item->grant_len;
        memcpy (frame.grant, item->grant, item->grant_len);
    }
    if (item->sent + frame.length == item->stored_len)
        frame.flags |= FRAME_LAST;
    frame.flags |= is_small (item) ? FRAME_SMALL : FRAME_CREDIT;
    if (item->traced)
        frame.flags |= FRAME_TRACED;
    if (flow_send (self->socket, &frame, &body) < 0) {
        zmq_msg_close (&body);
        return TARGET_FULL;
    }
    if (self->unacked == 0)
        self->credited = now;
    item->sent += frame.length;
    item->next_body++;
    if (!is_small (item))
        self->unacked += frame.length;
    self->progress = now;
    *bytes = frame.length;
    if (frame.flags & FRAME_LAST) {
        tell_time (self, item);
        fly (self, now);
    }
    return TARGET_SENT;
}

/* One chunk may be on its way here for several uploads at a time; an answer without an
 * upload (nothing told the receiver which) is for the first of them. */
static bool meant (const forward_item_t *item, const link_answer_t *answer)
{
    return copykey_cmp (&item->key, &answer->key) == 0 &&
           (answer->upload == 0 || item->upload == answer->upload);
}

static bool answer_in (target_t *self, list_t *list, const link_answer_t *answer)
{
    uint64_t consumed = answer->consumed;

    for (forward_item_t **at = &list->head; *at; at = &(*at)->next) {
        forward_item_t *item = *at;
        if (!meant (item, answer))
            continue;
        if (answer->code < 0) {
            give_up (self, list, at, answer->code, "refused by the receiver");
            return true;
        }
        self->unacked -= item_unacked (item);
        if (consumed > item->consumed)
            item->consumed = consumed < item->sent ? consumed : item->sent;
        self->unacked += item_unacked (item);
        if (list == &self->flying && item->consumed >= item->stored_len)
            drop (self, list_take (list, at));
        return true;
    }
    return false;
}

bool target_answer (target_t *self, const link_answer_t *answer, uint64_t now)
{
    bool mine = answer_in (self, &self->flying, answer) ||
                (self->waiting.head && self->waiting.head->sent &&
                 meant (self->waiting.head, answer) &&
                 answer_in (self, &self->waiting, answer));
    if (mine)
        self->credited = now;
    return mine;
}

/* Small chunks are not acknowledged: they are kept only as long as a socket may hold
 * them. Large ones go when credits stay away. */
static void forget_old (target_t *self, uint64_t now)
{
    bool no_credit = self->unacked && now - self->credited > NO_CREDIT_NS;
    for (forward_item_t **at = &self->flying.head; *at;) {
        forward_item_t *item = *at;
        bool old = is_small (item) &&
                   (now - item->sent_at > KEEP_SMALL_NS || self->flying.n > KEEP_SMALL);
        if (old || (no_credit && !is_small (item)))
            drop (self, list_take (&self->flying, at));
        else
            at = &item->next;
    }
    if (no_credit && self->waiting.head && self->waiting.head->sent) {
        forward_item_t *item = self->waiting.head;
        self->unacked -= item_unacked (item);
        item->consumed = item->sent;
        log_debug ("forward_no_credit", "peer=%u", self->id);
    }
}

static void read_monitor (target_t *self, uint64_t now)
{
    sock_event_t event;
    while (self->monitor && sock_monitor_read (self->monitor, &event)) {
        bool up = event.event == ZMQ_EVENT_HANDSHAKE_SUCCEEDED;
        /* Attempts that fail, each with an event, are no progress. */
        if (up || self->connected)
            self->progress = now;
        if (self->connected && !up) {
            log_info ("forward_lost", "peer=%s", self->member.name);
            send_again (self);
        }
        self->connected = up;
        if (up || event.event == ZMQ_EVENT_DISCONNECTED)
            continue;
        /* The library does not try again; the receiver may know our key soon. */
        log_warn ("forward_refused", "peer=%s err=%d text=\"handshake failed\"",
                  self->member.name, event.value);
        disconnect (self);
        self->dial_at = now + REFUSED_NS;
    }
}

bool target_watch (target_t *self, uint64_t now)
{
    connect_to (self, now);
    read_monitor (self, now);
    forget_old (self, now);
    uint64_t patience =
        self->config->patience_ns ? self->config->patience_ns : PATIENCE_NS;
    if (self->connected)
        patience = SLOW_NS;
    if (self->waiting.head && !writable (self) && now > self->progress &&
        now - self->progress > patience) {
        log_warn ("forward_unreachable", "peer=%s id=%u chunks=%zu", self->member.name,
                  self->id, self->waiting.n);
        while (self->waiting.head)
            give_up (self, &self->waiting, &self->waiting.head, DFS_EUNAVAIL,
                     "the next worker is out of reach");
        /* Its host may have another address now. */
        directory_forget_address (self->config->directory, self->id,
                                  self->member.address);
    }
    return !self->waiting.head && !self->flying.head && now > self->progress &&
           now - self->progress > IDLE_NS;
}

uint32_t target_id (const target_t *self)
{
    return self->id;
}

bool target_busy (const target_t *self)
{
    return self->waiting.head != NULL;
}

void *target_socket (const target_t *self)
{
    return self->socket;
}

void *target_monitor (const target_t *self)
{
    return self->monitor;
}
