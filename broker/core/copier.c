/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/copier.h"

#include <stdlib.h>
#include <string.h>

#include "broker/core/place.h"
#include "broker/core/placement.h"
#include "broker/core/uploads.h"

#define ORDER_WAIT   (10 * SEC) /* and a second more for each 4 MiB */
#define ORDER_RATE   (4 * MIB)
#define ORDER_CREDIT (4 * MIB)
#define BUSY_BYTES   (16 * MIB) /* of a target's window while clients upload */
#define PUMP_MOST    256        /* jobs looked at in one step */
#define PUMP_BUSY    16         /* in a row that cannot start end the round */
#define PUMP_LATER   (20 * MS)
#define STUCK_LATER  (10 * SEC)
#define FAILED_LATER (200 * MS)
#define FAILED_OFTEN 8 /* then it waits as long as a stuck one */
#define BAD_WORKERS  4

/* Queues in the order in which they are served. */
enum queue {
    QUEUE_RECHECK, /* something happened: sort it again */
    QUEUE_URGENT,
    QUEUE_ONE, /* live copy left */
    QUEUE_TWO,
    QUEUE_MORE,
    QUEUE_SERVED, /* the ones behind are not served */
    QUEUE_RUNNING = QUEUE_SERVED,
    QUEUE_FAILED, /* waits FAILED_LATER */
    QUEUE_STUCK, /* no source or no target for now; waits for a worker or STUCK_LATER */
    QUEUE_LOST,  /* no copy on any worker that is not dead */
    QUEUES,
};

typedef struct job {
    chunk_t *chunk;
    uint32_t want;
    bool repair; /* references count on it */
    bool urgent;
    enum queue queue;
    list_t node;
    list_t orders;
    uint32_t n_orders;
    uint32_t failures;
    uint64_t retry_at;
    uint64_t round;            /* of the copier when it was queued */
    uint32_t bad[BAD_WORKERS]; /* that failed lately */
} job_t;

typedef struct order {
    uint64_t id;
    job_t *job;
    uint32_t source;
    uint32_t target;
    uint64_t credit;
    list_t in_job;
    list_t in_source;
    list_t in_target;
} order_t;

struct copier {
    table_t *orders;
    list_t queues[QUEUES];
    size_t counts[QUEUES];
    size_t jobs;
    size_t repairs; /* jobs that references count on */
    uint64_t bytes_queued;
    uint64_t done;
    uint64_t failed;
    uint64_t hold_until;
    uint64_t timer;
    uint64_t round; /* counts changes of workers: stuck jobs of older ones are tried */
    bool wake;
    /* bandwidth and progress */
    uint64_t tokens;
    uint64_t tokens_at;
    uint64_t rate; /* bytes per second, smoothed */
    uint64_t rate_bytes;
    uint64_t rate_at;
};

static bool match_order (const void *entry, const void *key)
{
    return ((const order_t *)entry)->id == *(const uint64_t *)key;
}

copier_t *copier_new (void)
{
    copier_t *self = core_zalloc (sizeof *self);

    self->orders = table_new (match_order);
    for (int i = 0; i < QUEUES; i++)
        list_init (&self->queues[i]);
    return self;
}

void copier_destroy (copier_t **self_p)
{
    copier_t *self = *self_p;
    size_t cursor = 0;
    order_t *order;

    if (!self)
        return;
    while ((order = table_next (self->orders, &cursor)))
        free (order);
    for (int i = 0; i < QUEUES; i++)
        while (!list_empty (&self->queues[i])) {
            job_t *job = LIST_OF (self->queues[i].next, job_t, node);

            list_remove (&job->node);
            free (job);
        }
    table_destroy (&self->orders);
    free (self);
    *self_p = NULL;
}

/* ---- jobs ---------------------------------------------------------------------------
 */

static void enqueue (core_t *core, job_t *job, enum queue queue)
{
    copier_t *self = core->copier;

    if (!list_empty (&job->node)) {
        list_remove (&job->node);
        self->counts[job->queue]--;
    }
    job->queue = queue;
    job->round = self->round;
    list_push (&self->queues[queue], &job->node);
    self->counts[queue]++;
    if (queue < QUEUE_SERVED)
        self->wake = true;
}

static void free_job (core_t *core, job_t *job)
{
    copier_t *self = core->copier;
    chunk_t *chunk = job->chunk;

    list_remove (&job->node);
    self->counts[job->queue]--;
    self->jobs--;
    self->repairs -= job->repair;
    self->bytes_queued -= chunk->length;
    chunk->job = NULL;
    free (job);
    chunks_release (core, chunk);
}

static void set_repair (core_t *core, job_t *job)
{
    if (!job->repair)
        core->copier->repairs++;
    job->repair = true;
}

void copier_want (core_t *core, chunk_t *chunk, uint32_t want, enum copy_why why)
{
    job_t *job = chunk->job;

    if (!job) {
        job = core_zalloc (sizeof *job);
        job->chunk = chunk;
        list_init (&job->node);
        list_init (&job->orders);
        chunk->job = job;
        core->copier->jobs++;
        core->copier->bytes_queued += chunk->length;
        enqueue (core, job, QUEUE_RECHECK);
    }
    if (want > job->want)
        job->want = want;
    if (why == COPY_REPAIR)
        set_repair (core, job);
    else if (!job->urgent) {
        job->urgent = true;
        enqueue (core, job, QUEUE_RECHECK);
    }
}

static void set_timer (core_t *core, uint64_t when)
{
    copier_t *self = core->copier;

    if (self->timer > core->now && self->timer <= when)
        return;
    self->timer = when;
    core_timer (core, when, TIMER_COPIER, 0);
}

void copier_wake_timer (core_t *core)
{
    copier_t *self = core->copier;

    if (self->timer > core->now)
        return;
    self->timer = 0;
    self->wake = true;
}

/* QUEUE is FAILED or STUCK: each has one length of waiting, so it is in order. */
static void wait_in (core_t *core, job_t *job, enum queue queue)
{
    job->retry_at = core->now + (queue == QUEUE_FAILED ? FAILED_LATER : STUCK_LATER);
    enqueue (core, job, queue);
    set_timer (core, job->retry_at);
}

/* Jobs whose waiting is over go back to be sorted; false when there are more. */
static bool revive (core_t *core)
{
    copier_t *self = core->copier;
    size_t n = 0;

    for (int q = QUEUE_FAILED; q <= QUEUE_LOST; q++)
        while (!list_empty (&self->queues[q])) {
            job_t *job = LIST_OF (self->queues[q].next, job_t, node);
            bool worker = q != QUEUE_FAILED && job->round != self->round;
            bool waited = q != QUEUE_LOST && job->retry_at <= core->now;

            if (!worker && !waited) {
                if (q != QUEUE_LOST)
                    set_timer (core, job->retry_at);
                break;
            }
            if (n++ >= PUMP_MOST)
                return false;
            enqueue (core, job, QUEUE_RECHECK);
        }
    return true;
}

/* ---- orders -------------------------------------------------------------------------
 */

static void end_order (core_t *core, order_t *order)
{
    worker_t *source = members_find (core, order->source);
    worker_t *target = members_find (core, order->target);

    list_remove (&order->in_job);
    list_remove (&order->in_source);
    list_remove (&order->in_target);
    order->job->n_orders--;
    if (source)
        source->copying_from--;
    if (target) {
        target->copying_to--;
        target->copying_bytes -= order->credit;
        credit_give (target, order->credit);
    }
    table_remove (core->copier->orders, table_hash (order->id), &order->id);
    free (order);
    core->copier->wake = true;
    place_wake (core);
}

/* WORKER could not do it: others are tried first for a while. */
static void fail_order (core_t *core, order_t *order, uint32_t worker)
{
    job_t *job = order->job;

    job->bad[job->failures++ % BAD_WORKERS] = worker;
    core->copier->failed++;
    end_order (core, order);
    wait_in (core, job, job->failures < FAILED_OFTEN ? QUEUE_FAILED : QUEUE_STUCK);
}

static void count_progress (core_t *core, uint64_t bytes)
{
    copier_t *self = core->copier;
    uint64_t passed = core->now - self->rate_at;

    self->done++;
    self->rate_bytes += bytes;
    if (passed < SEC / 4)
        return;
    if (passed > 10 * SEC)
        self->rate = self->rate_bytes; /* first after a pause: no history */
    else
        self->rate = (self->rate + self->rate_bytes * (SEC / MS) / (passed / MS)) / 2;
    self->rate_bytes = 0;
    self->rate_at = core->now;
}

static bool is_bad (const job_t *job, uint32_t worker)
{
    for (size_t i = 0; i < BAD_WORKERS; i++)
        if (job->bad[i] == worker)
            return true;
    return false;
}

/* The live holder with the least to do; *BUSY when all have as much as they may. */
static worker_t *pick_source (core_t *core, const job_t *job, uint32_t limit,
                              bool *busy)
{
    worker_t *best = NULL;
    uint32_t holders[CORE_COPIES];
    size_t n = chunk_workers (core, job->chunk, holders, CORE_COPIES);
    bool best_bad = true;

    *busy = false;
    for (size_t i = 0; i < n; i++) {
        worker_t *worker = members_find (core, holders[i]);
        bool bad = is_bad (job, holders[i]);

        if (!worker || !worker_live (worker))
            continue;
        if (worker->copying_from >= limit) {
            *busy = true;
            continue;
        }
        if (best && (bad > best_bad ||
                     (bad == best_bad && worker->copying_from >= best->copying_from)))
            continue;
        best = worker;
        best_bad = bad;
    }
    return best;
}

static void send_order (core_t *core, job_t *job, worker_t *source, worker_t *target,
                        uint64_t credit)
{
    order_t *order = core_zalloc (sizeof *order);
    action_t *action = actions_add (core->out, ACTION_REPLICATE);
    action_replicate_t *replicate = &action->u.replicate;
    uint64_t wait = ORDER_WAIT + job->chunk->length * SEC / ORDER_RATE;
    core_address_t *address;

    order->id = core_id (core);
    order->job = job;
    order->source = source->member.id;
    order->target = target->member.id;
    order->credit = credit;
    list_init (&order->in_job);
    list_init (&order->in_source);
    list_init (&order->in_target);
    list_push (&job->orders, &order->in_job);
    list_push (&source->sources, &order->in_source);
    list_push (&target->orders, &order->in_target);
    job->n_orders++;
    source->copying_from++;
    target->copying_to++;
    target->copying_bytes += credit;
    credit_take (target, credit);
    table_put (core->copier->orders, table_hash (order->id), order);
    core_timer (core, core->now + wait, TIMER_ORDER, order->id);

    replicate->order = order->id;
    replicate->worker = order->source;
    replicate->grant.key = job->chunk->key;
    replicate->grant.length = job->chunk->length;
    replicate->grant.birth = core->log_index;
    replicate->grant.expiry_ns = core->log_time + 2 * wait;
    replicate->grant.incarnation = core->incarnation;
    replicate->grant.term = core->term;
    replicate->grant.order = order->id;
    replicate->grant.n_targets = 1;
    replicate->grant.targets[0] = order->target;
    address = actions_alloc (core->out, sizeof *address);
    *address = members_address (core, target);
    replicate->targets = address;
    replicate->n_targets = 1;
}

/* ---- starting -----------------------------------------------------------------------
 */

enum started { STARTED, BUSY, SETTLED };

/* Bytes that may be sent now under the configured bandwidth. */
static bool bandwidth (core_t *core, uint64_t bytes)
{
    copier_t *self = core->copier;
    uint64_t most = core->config.repair_bandwidth;
    uint64_t passed = core->now - self->tokens_at;

    if (most == 0)
        return true;
    self->tokens += (passed < SEC ? passed : SEC) / 1000 * most / (SEC / 1000);
    self->tokens_at = core->now;
    if (self->tokens > most)
        self->tokens = most;
    /* A chunk larger than a second's worth goes when the bucket is full. */
    if (self->tokens < bytes && self->tokens < most)
        return false;
    self->tokens -= bytes < self->tokens ? bytes : self->tokens;
    return true;
}

static enum started start_one (core_t *core, job_t *job, size_t n_orders)
{
    uint32_t taken[CORE_COPIES + GRANT_TARGETS];
    bool yield = place_active (core) > 0 && !job->urgent;
    uint32_t limit = core->config.repair_per_worker;
    placement_t ask = {
        .length = job->chunk->length,
        .credit = job->chunk->length < ORDER_CREDIT ? job->chunk->length : ORDER_CREDIT,
        .lane = LANE_REPAIR,
        .taken = taken,
        .avoid = job->bad,
        .n_avoid = BAD_WORKERS,
        .n = 1,
    };
    worker_t *source;
    bool busy;

    if (yield)
        limit = (limit + 3) / 4;
    ask.busy_to = limit;
    ask.n_taken = chunk_workers (core, job->chunk, taken, CORE_COPIES);
    for (list_t *node = job->orders.next;
         node != &job->orders && ask.n_taken < CORE_COPIES + GRANT_TARGETS;
         node = node->next)
        taken[ask.n_taken++] = LIST_OF (node, order_t, in_job)->target;
    source = pick_source (core, job, limit, &busy);
    if (!source)
        return busy ? BUSY : SETTLED;
    placement_choose (core, &ask);
    if (ask.n_chosen == 0) {
        if (ask.starved)
            return BUSY;
        if (n_orders == 0) {
            /* May free the job's pins, not the job. */
            wait_in (core, job, QUEUE_STUCK);
            uploads_copy_stuck (core, job->chunk);
        }
        return SETTLED;
    }
    if (yield && ask.chosen[0]->copying_bytes > 0 &&
        ask.chosen[0]->copying_bytes + ask.credit > BUSY_BYTES)
        return BUSY;
    if (!bandwidth (core, job->chunk->length))
        return BUSY;
    send_order (core, job, source, ask.chosen[0], ask.credit);
    return STARTED;
}

static enum queue class_of (const job_t *job, uint32_t live)
{
    if (job->urgent)
        return QUEUE_URGENT;
    return live <= 1 ? QUEUE_ONE : live == 2 ? QUEUE_TWO : QUEUE_MORE;
}

/* The number of live copies changed, perhaps because a worker came or went. */
static void tell_uploads (core_t *core, chunk_t *chunk)
{
    chunk->held++;
    uploads_chunk_changed (core, chunk);
    chunk->held--;
}

/* Looks at JOB; it leaves the queue it is in, except when it has to wait its turn. */
static enum started look (core_t *core, job_t *job)
{
    chunk_t *chunk = job->chunk;
    uint32_t live = chunk_live (core, chunk);

    if (live >= job->want && job->n_orders == 0) {
        tell_uploads (core, chunk);
        free_job (core, job);
        return SETTLED;
    }
    if (live + job->n_orders >= job->want || (live == 0 && job->n_orders > 0)) {
        enqueue (core, job, QUEUE_RUNNING);
        return SETTLED;
    }
    if (live == 0) {
        bool present = chunk_present (core, chunk) > 0;

        if (present)
            wait_in (core, job, QUEUE_STUCK);
        else
            enqueue (core, job, QUEUE_LOST);
        tell_uploads (core, chunk);
        /* Where only uploads wanted it, their clients send it again. */
        if (!job->repair && !present)
            free_job (core, job);
        return SETTLED;
    }
    if (job->queue == QUEUE_RECHECK || job->queue != class_of (job, live)) {
        enqueue (core, job, class_of (job, live));
        return SETTLED;
    }
    while (live + job->n_orders < job->want) {
        enum started started = start_one (core, job, job->n_orders);

        if (started == BUSY)
            return BUSY;
        if (started == SETTLED)
            break;
    }
    if (job->n_orders > 0)
        enqueue (core, job, QUEUE_RUNNING);
    else if (job->queue < QUEUE_SERVED)
        wait_in (core, job, QUEUE_STUCK);
    return STARTED;
}

void copier_pump (core_t *core)
{
    copier_t *self = core->copier;
    size_t looked = 0;

    if (!self->wake || !core->leader)
        return;
    self->wake = false;
    if (!revive (core))
        set_timer (core, core->now + 1);
    for (int q = QUEUE_RECHECK; q < QUEUE_SERVED; q++) {
        list_t *queue = &self->queues[q];
        size_t failures = 0;

        if (q > QUEUE_ONE && core->now < self->hold_until)
            break;
        while (!list_empty (queue)) {
            job_t *job = LIST_OF (queue->next, job_t, node);

            if (looked++ >= PUMP_MOST) {
                set_timer (core, core->now + 1);
                return;
            }
            if (look (core, job) != BUSY)
                continue;
            enqueue (core, job, q); /* to the end: others may have free workers */
            if (++failures < PUMP_BUSY && failures < self->counts[q])
                continue;
            set_timer (core, core->now + PUMP_LATER);
            break;
        }
    }
    self->wake = false;
}

/* ---- what happens to orders ---------------------------------------------------------
 */

void copier_chunk_changed (core_t *core, chunk_t *chunk, uint32_t worker)
{
    job_t *job = chunk->job;
    list_t *node;

    if (!job)
        return;
    for (node = job->orders.next; node != &job->orders;) {
        order_t *order = LIST_OF (node, order_t, in_job);

        node = node->next;
        if (order->target == worker && chunk_on (core, chunk, worker)) {
            count_progress (core, chunk->length);
            end_order (core, order);
        }
    }
    if (chunk_live (core, chunk) >= job->want && job->n_orders == 0)
        free_job (core, job);
    else
        enqueue (core, job, QUEUE_RECHECK);
}

void copier_refused (core_t *core, chunk_t *chunk, uint32_t worker)
{
    job_t *job = chunk->job;
    list_t *node;

    for (node = job ? job->orders.next : NULL; job && node != &job->orders;) {
        order_t *order = LIST_OF (node, order_t, in_job);

        node = node->next;
        if (order->target == worker)
            fail_order (core, order, worker);
    }
}

bool copier_result (core_t *core, const event_order_t *event)
{
    order_t *order =
        table_get (core->copier->orders, table_hash (event->order), &event->order);

    if (!order || order->source != event->worker)
        return order != NULL;
    /* Sent is not stored: the target's own report ends it. */
    if (event->code == DFS_OK)
        return true;
    core_log (core, LOG_WARN, "replicate_failed", "node=%u target=%u code=%d",
              event->worker, order->target, event->code);
    fail_order (core, order, event->worker);
    return true;
}

void copier_timer (core_t *core, uint64_t id)
{
    order_t *order = table_get (core->copier->orders, table_hash (id), &id);

    if (order)
        fail_order (core, order, order->target);
}

void copier_worker_changed (core_t *core, worker_t *worker)
{
    copier_t *self = core->copier;

    if (!worker_live (worker)) {
        while (!list_empty (&worker->orders)) {
            order_t *order = LIST_OF (worker->orders.next, order_t, in_target);

            enqueue (core, order->job, QUEUE_RECHECK);
            end_order (core, order);
        }
        while (!list_empty (&worker->sources)) {
            order_t *order = LIST_OF (worker->sources.next, order_t, in_source);

            enqueue (core, order->job, QUEUE_RECHECK);
            end_order (core, order);
        }
    }
    self->round++;
    self->wake = true;
}

void copier_hold (core_t *core, uint64_t until)
{
    core->copier->hold_until = until;
    core->copier->wake = true;
    if (until > core->now)
        set_timer (core, until);
}

bool copier_full (const core_t *core)
{
    return core->copier->jobs >= core->config.max_repairs;
}

void copier_status (const core_t *core, core_status_t *out)
{
    const copier_t *self = core->copier;

    out->under_replicated = self->repairs;
    out->lost = self->counts[QUEUE_LOST];
    out->repair_active = table_count (self->orders);
    out->repair_queued = self->jobs - self->counts[QUEUE_RUNNING];
    out->repair_done = self->done;
    out->repair_failed = self->failed;
    out->repair_bytes_per_second =
        core->now < self->rate_at + 5 * SEC && self->jobs > 0 ? self->rate : 0;
    out->repair_eta_seconds = out->repair_bytes_per_second > 0
                                  ? self->bytes_queued / out->repair_bytes_per_second
                                  : 0;
    out->repair_held = core->now < self->hold_until;
}
