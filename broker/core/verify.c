/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/verify.h"

#include <stdlib.h>
#include <string.h>

#include "broker/core/drops.h"

#define PEEK_WAIT (5 * SEC)
#define WAITING   1 /* no DFS_E code is positive */
#define LEAVING   2 /* the same of a copy that goes by an entry */
#define LEFT_OUT  3
#define RECENT    1024 /* copies that went, as long as a look-up may still show them */
#define RECENT_NS (60 * SEC)

/* One request; its orders are numbered id * 1, they hold a row of its results each. */
typedef struct verification {
    uint64_t id; /* of its timer */
    uint64_t session;
    uint64_t seq;
    uint32_t chunks;
    bool peek;
    size_t waiting; /* results */
    core_verified_t *results;
    uint32_t *wanted; /* copies that the chunk of each result shall have */
    size_t n;
    size_t cap;
    size_t cap_wanted;
} verification_t;

typedef struct part {
    uint64_t order;
    uint32_t worker;
    verification_t *whole;
} part_t;

/* A copy that went by an entry. */
typedef struct went {
    copykey_t key;
    uint32_t worker;
    uint64_t at;
} went_t;

struct verify {
    table_t *parts;  /* by order */
    table_t *wholes; /* by id */
    went_t *recent;  /* a ring, made when it is needed */
    size_t n_recent; /* ever */
};

static bool match_part (const void *entry, const void *key)
{
    return ((const part_t *)entry)->order == *(const uint64_t *)key;
}

static bool match_whole (const void *entry, const void *key)
{
    return ((const verification_t *)entry)->id == *(const uint64_t *)key;
}

verify_t *verify_new (void)
{
    verify_t *self = core_zalloc (sizeof *self);

    self->parts = table_new (match_part);
    self->wholes = table_new (match_whole);
    return self;
}

static void free_whole (verification_t *whole)
{
    free (whole->results);
    free (whole->wanted);
    free (whole);
}

void verify_destroy (verify_t **self_p)
{
    size_t cursor;
    part_t *part;
    verification_t *whole;

    if (!*self_p)
        return;
    for (cursor = 0; (part = table_next ((*self_p)->parts, &cursor));)
        free (part);
    for (cursor = 0; (whole = table_next ((*self_p)->wholes, &cursor));)
        free_whole (whole);
    table_destroy (&(*self_p)->parts);
    table_destroy (&(*self_p)->wholes);
    free ((*self_p)->recent);
    free (*self_p);
    *self_p = NULL;
}

static void reply (core_t *core, const verification_t *whole, int code)
{
    action_t *action = actions_add (core->out, ACTION_VERIFY_REPLY);
    action_verify_reply_t *out = &action->u.verify_reply;

    out->session = whole->session;
    out->seq = whole->seq;
    out->code = code;
    out->chunks = whole->chunks;
    out->n = whole->n;
    out->replicas =
        actions_dup (core->out, whole->results, whole->n * sizeof *whole->results);
}

/* --- copies that go --- */

void verify_dropped (core_t *core, const copykey_t *key, uint32_t worker)
{
    verify_t *self = core->verify;
    size_t cursor = 0;
    verification_t *whole;

    while ((whole = table_next (self->wholes, &cursor)))
        for (size_t i = 0; i < whole->n; i++)
            if (whole->results[i].worker == worker &&
                whole->results[i].code == WAITING &&
                copykey_cmp (&whole->results[i].key, key) == 0)
                whole->results[i].code = LEAVING;
    if (!self->recent)
        self->recent = core_zalloc (RECENT * sizeof *self->recent);
    self->recent[self->n_recent++ % RECENT] = (went_t){*key, worker, core->now};
}

/* The copy of KEY on WORKER is on its way out, or what was looked up is older than its
 * end. */
static bool is_leaving (const core_t *core, const copykey_t *key, uint32_t worker)
{
    const verify_t *self = core->verify;
    size_t n = self->n_recent < RECENT ? self->n_recent : RECENT;

    if (drops_limit (core, key, worker) > 0)
        return true;
    for (size_t i = 0; i < n; i++)
        if (self->recent[i].worker == worker &&
            self->recent[i].at + RECENT_NS > core->now &&
            copykey_cmp (&self->recent[i].key, key) == 0)
            return true;
    return false;
}

/* The code of a copy that its worker does not have. One that catches up may have lost
 * it by an entry that was confirmed under another leader. */
static int code_of_missing (const core_t *core, const core_verified_t *result)
{
    const worker_t *worker = members_find (core, result->worker);

    if (result->code == LEAVING || is_leaving (core, &result->key, result->worker))
        return LEFT_OUT;
    return worker && worker->told && drops_loaded (core) ? DFS_ENOENT : DFS_EAGAIN;
}

/* Takes out the rows that are LEFT_OUT; false when too few stay of a chunk: others are
 * on workers that the look-up did not know yet. */
static bool leave_out (verification_t *whole)
{
    size_t kept = 0;

    for (size_t i = 0; i < whole->n; i++) {
        uint32_t others = 0;

        for (size_t k = 0; whole->results[i].code == LEFT_OUT && k < whole->n; k++)
            others += whole->results[k].code != LEFT_OUT &&
                      copykey_cmp (&whole->results[k].key, &whole->results[i].key) == 0;
        if (whole->results[i].code == LEFT_OUT && others < whole->wanted[i])
            return false;
    }
    for (size_t i = 0; i < whole->n; i++)
        if (whole->results[i].code != LEFT_OUT)
            whole->results[kept++] = whole->results[i];
    whole->n = kept;
    return true;
}

static void finish (core_t *core, verification_t *whole)
{
    int code = leave_out (whole) ? DFS_OK : DFS_EAGAIN;

    if (code != DFS_OK)
        whole->n = 0;
    reply (core, whole, code);
    table_remove (core->verify->wholes, table_hash (whole->id), &whole->id);
    free_whole (whole);
}

static void remove_part (core_t *core, part_t *part)
{
    table_remove (core->verify->parts, table_hash (part->order), &part->order);
    free (part);
}

static bool is_waiting (const core_verified_t *result)
{
    return result->code == WAITING || result->code == LEAVING;
}

/* Every result of WORKER (0: of all) that is still missing becomes CODE. */
static void settle (verification_t *whole, uint32_t worker, int code)
{
    for (size_t i = 0; i < whole->n; i++)
        if (is_waiting (&whole->results[i]) &&
            (worker == 0 || whole->results[i].worker == worker)) {
            whole->results[i].code = code;
            whole->waiting--;
        }
}

static void add_result (verification_t *whole, const core_chunk_t *chunk,
                        uint32_t worker, int code)
{
    void *data = whole->results, *wanted = whole->wanted;

    core_grow (&data, &whole->cap, whole->n, sizeof *whole->results);
    core_grow (&wanted, &whole->cap_wanted, whole->n, sizeof *whole->wanted);
    whole->results = data;
    whole->wanted = wanted;
    whole->wanted[whole->n] = chunk->replicas > 0 ? chunk->replicas : 1;
    whole->results[whole->n++] =
        (core_verified_t){.key = chunk->key, .worker = worker, .code = code};
    whole->waiting += code == WAITING;
}

static void send_order (core_t *core, verification_t *whole, uint32_t worker)
{
    action_t *action = actions_add (core->out, ACTION_VERIFY_ORDER);
    copykey_t *keys = actions_alloc (core->out, CORE_VERIFY_KEYS * sizeof *keys);
    part_t *part = core_zalloc (sizeof *part);
    size_t n = 0;

    part->order = core_id (core);
    part->worker = worker;
    part->whole = whole;
    table_put (core->verify->parts, table_hash (part->order), part);
    for (size_t i = 0; i < whole->n && n < CORE_VERIFY_KEYS; i++)
        if (whole->results[i].worker == worker && whole->results[i].code == WAITING)
            keys[n++] = whole->results[i].key;
    action->u.verify_order.order = part->order;
    action->u.verify_order.worker = worker;
    action->u.verify_order.keys = keys;
    action->u.verify_order.n = n;
    action->u.verify_order.peek = whole->peek;
}

/* The copies that CHUNK shall have are on live workers: what is known to be bad, or is
 * on a dead worker, has been made good. */
static bool redundant (const core_t *core, const core_chunk_t *chunk)
{
    uint32_t good = 0;

    for (uint32_t i = 0; i < chunk->n_copies && i < CORE_COPIES; i++) {
        const worker_t *worker = members_find (core, chunk->copies[i].worker);

        good += worker && worker_live (worker) && !chunk->copies[i].damaged;
    }
    return good > 0 && good >= chunk->replicas;
}

static void add_copies (core_t *core, verification_t *whole, const core_chunk_t *chunk)
{
    bool enough = redundant (core, chunk);
    size_t rows = 0;

    for (uint32_t i = 0; i < chunk->n_copies && i < CORE_COPIES; i++) {
        uint32_t id = chunk->copies[i].worker;
        const worker_t *worker = members_find (core, id);

        if (!worker ||
            (enough && (worker->state == WORKER_DEAD || chunk->copies[i].damaged)))
            continue;
        rows++;
        add_result (whole, chunk, id, worker_live (worker) ? WAITING : DFS_EUNAVAIL);
    }
    if (rows == 0)
        add_result (whole, chunk, 0, DFS_ELOST);
}

/* A row of results for each copy; one order per worker that can answer. */
void verify_event (core_t *core, const event_verify_t *event)
{
    verify_t *self = core->verify;
    verification_t *whole = core_zalloc (sizeof *whole);

    whole->session = event->session;
    whole->seq = event->seq;
    whole->chunks = (uint32_t)event->n;
    whole->peek = event->peek;
    if (event->n > CORE_VERIFY_KEYS ||
        table_count (self->wholes) >= core->config.max_requests) {
        reply (core, whole, event->n > CORE_VERIFY_KEYS ? DFS_ETOOBIG : DFS_EAGAIN);
        free_whole (whole);
        return;
    }
    whole->id = core_id (core);
    table_put (self->wholes, table_hash (whole->id), whole);
    for (size_t i = 0; i < event->n; i++)
        add_copies (core, whole, &event->chunks[i]);
    for (size_t i = 0; i < whole->n; i++) {
        size_t before = 0;

        if (whole->results[i].code != WAITING)
            continue;
        while (before < i &&
               (whole->results[before].worker != whole->results[i].worker ||
                whole->results[before].code != WAITING))
            before++;
        if (before == i)
            send_order (core, whole, whole->results[i].worker);
    }
    if (whole->waiting == 0)
        finish (core, whole);
    else
        core_timer (core,
                    core->now + (whole->peek ? PEEK_WAIT : core->config.verify_wait_ns),
                    TIMER_VERIFY, whole->id);
}

bool verify_result (core_t *core, const event_order_t *event)
{
    part_t *part =
        table_get (core->verify->parts, table_hash (event->order), &event->order);
    verification_t *whole;
    bool more = false;

    if (!part)
        return false;
    if (part->worker != event->worker)
        return true;
    whole = part->whole;
    for (size_t i = 0; i < event->n; i++)
        for (size_t k = 0; k < whole->n; k++) {
            core_verified_t *result = &whole->results[k];

            if (!is_waiting (result) || result->worker != event->worker ||
                copykey_cmp (&result->key, &event->verified[i].key) != 0)
                continue;
            if (event->verified[i].code == DFS_ENOENT)
                result->code = code_of_missing (core, result);
            else
                result->code =
                    event->verified[i].code <= 0 ? event->verified[i].code : DFS_EPROTO;
            result->bytes = event->verified[i].bytes;
            result->verified_at = event->verified[i].verified_at;
            whole->waiting--;
        }
    if (event->code != DFS_OK)
        settle (whole, event->worker, event->code < 0 ? event->code : DFS_EPROTO);
    for (size_t k = 0; k < whole->n; k++)
        if (is_waiting (&whole->results[k]) &&
            whole->results[k].worker == event->worker)
            more = true;
    if (!more)
        remove_part (core, part);
    if (whole->waiting == 0)
        finish (core, whole);
    return true;
}

/* Ends every part of WHOLE (NULL: of any) that waits for WORKER (0: for any). */
static void end_parts (core_t *core, const verification_t *whole, uint32_t worker,
                       int code)
{
    for (;;) {
        size_t cursor = 0;
        part_t *part;
        verification_t *its;

        while ((part = table_next (core->verify->parts, &cursor)))
            if ((!whole || part->whole == whole) &&
                (worker == 0 || part->worker == worker))
                break;
        if (!part)
            return;
        its = part->whole;
        settle (its, part->worker, code);
        remove_part (core, part);
        if (its->waiting == 0) {
            finish (core, its);
            if (its == whole)
                return;
        }
    }
}

void verify_timer (core_t *core, uint64_t id)
{
    verification_t *whole = table_get (core->verify->wholes, table_hash (id), &id);

    if (whole)
        end_parts (core, whole, 0, DFS_ETIMEOUT);
}

void verify_worker_down (core_t *core, const worker_t *worker)
{
    if (table_count (core->verify->parts) > 0)
        end_parts (core, NULL, worker->member.id, DFS_EUNAVAIL);
}
