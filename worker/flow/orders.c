/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"
#include "msgs/grant.h"
#include "worker/flow/orders.h"
#include "worker/links/jobs.h"

#define REPORT_NS (500 * MS)
enum { REPORT_KEYS = 64 };

struct orders {
    orders_config_t config;
    jobs_t *verifier;
    jobs_t *dropper;
    jobs_t *looker; /* what needs no hashing does not wait for what does */
    atomic_bool ending;
};

typedef struct drop {
    int link;
    uint64_t order;
    uint64_t trace;
    size_t n;
    link_drop_item_t items[];
} drop_t;

typedef struct verify {
    int link;
    uint64_t order;
    uint64_t trace;
    bool peek;
    size_t n;
    copykey_t keys[];
} verify_t;

/* --- verify --- */

/* Reports RESULTS so far; they come in parts so that a long order shows life. */
static void report (orders_t *self, int link, uint64_t order, uint64_t trace,
                    const note_verified_t *results, size_t n)
{
    note_t *note = note_new (NOTE_ORDER_RESULT, link);
    note->order = order;
    note->trace = trace;
    note->verified = calloc (n ? n : 1, sizeof *note->verified);
    assert (note->verified);
    memcpy (note->verified, results, n * sizeof *results);
    note->n = n;
    notes_push (self->config.notes, &note);
}

static void look_at (orders_t *self, const copykey_t *key, note_verified_t *out)
{
    dfs_error_t err = {0};
    store_info_t info;
    int rc = store_find (self->config.store, key, &info, &err);
    out->code = rc == 1 ? DFS_OK : rc == 0 ? DFS_ENOENT : rc;
    out->verified_at = rc == 1 ? info.verified_at : 0;
}

static void verify_one (orders_t *self, const verify_t *order, const copykey_t *key,
                        note_verified_t *out)
{
    dfs_error_t err = {0};
    *out = (note_verified_t){.key = *key};
    if (order->peek) {
        look_at (self, key, out);
        return;
    }
    out->code = store_verify (self->config.store, key, &out->bytes, &err);
    if (out->code == DFS_OK) {
        out->verified_at = clock_wall ();
        return;
    }
    char chunk[COPYKEY_TEXT];
    log_warn ("verify_failed", "req=%016" PRIx64 " chunk=%s err=%d", order->trace,
              copykey_text (key, chunk), out->code);
}

static void verify_work (void *job, void *arg)
{
    orders_t *self = arg;
    verify_t *order = job;
    note_verified_t results[REPORT_KEYS];
    size_t n = 0;
    uint64_t reported = clock_mono ();
    for (size_t i = 0; i < order->n && !atomic_load (&self->ending); i++) {
        verify_one (self, order, &order->keys[i], &results[n]);
        n++;
        uint64_t now = clock_mono ();
        if (n == REPORT_KEYS || now - reported > REPORT_NS) {
            report (self, order->link, order->order, order->trace, results, n);
            reported = now;
            n = 0;
        }
    }
    if (n || order->n == 0)
        report (self, order->link, order->order, order->trace, results, n);
    free (order);
}

static void on_verify (const link_verify_t *order, void *arg)
{
    orders_t *self = arg;
    verify_t *job = malloc (sizeof *job + order->n * sizeof *job->keys);
    assert (job);
    job->link = order->link;
    job->order = order->order;
    job->trace = order->trace;
    job->peek = order->peek;
    job->n = order->n;
    memcpy (job->keys, order->keys, order->n * sizeof *job->keys);
    jobs_push (order->peek ? self->looker : self->verifier, job);
}

/* --- drop --- */

/* The copies go into quarantine; a `gone` change tells that it is durable. */
static void drop_work (void *job, void *arg)
{
    orders_t *self = arg;
    drop_t *order = job;
    note_verified_t results[REPORT_KEYS];
    size_t n = 0, gone = 0;
    for (size_t i = 0; i < order->n && !atomic_load (&self->ending); i++) {
        dfs_error_t err = {0};
        results[n] = (note_verified_t){.key = order->items[i].key};
        results[n].code = store_drop (self->config.store, &order->items[i].key,
                                      order->items[i].birth_limit, &err);
        gone += results[n].code == DFS_OK;
        if (++n == REPORT_KEYS) {
            report (self, order->link, order->order, order->trace, results, n);
            n = 0;
        }
    }
    if (n || order->n == 0)
        report (self, order->link, order->order, order->trace, results, n);
    log_info ("copies_dropped", "req=%016" PRIx64 " copies=%zu of=%zu", order->trace,
              gone, order->n);
    free (order);
}

static void on_drop (const link_drop_t *order, void *arg)
{
    orders_t *self = arg;
    drop_t *job = malloc (sizeof *job + order->n * sizeof *job->items);
    assert (job);
    job->link = order->link;
    job->order = order->order;
    job->trace = order->trace;
    job->n = order->n;
    memcpy (job->items, order->items, order->n * sizeof *job->items);
    jobs_push (self->dropper, job);
}

static void on_scrub (void *arg)
{
    orders_t *self = arg;
    store_scrub_pass (self->config.store);
}

/* --- replicate --- */

/* The grant is the receiver's to check; here it must be whole enough to say who that
 * is. */
static int check_replicate (orders_t *self, const link_replicate_t *order,
                            grant_t *grant, dfs_error_t *err)
{
    uint32_t key_id;
    uint8_t key[32];
    if (grant_key_id (order->grant, order->grant_len, &key_id) < 0)
        return fail (err, DFS_EPROTO, "order without a grant");
    if (!directory_key (self->config.directory, key_id, key))
        return fail (err, DFS_EAUTH, "grant under a key that is not valid");
    int rc = grant_unpack (order->grant, order->grant_len, key, grant, err);
    if (rc < 0)
        return rc;
    if (grant->n_targets == 0 || copykey_cmp (&grant->key, &order->key) != 0 ||
        grant->order != order->order)
        return fail (err, DFS_EPROTO, "grant and order differ");
    return DFS_OK;
}

static void on_replicate (const link_replicate_t *order, void *arg)
{
    orders_t *self = arg;
    dfs_error_t err = {0};
    grant_t grant;
    int rc = check_replicate (self, order, &grant, &err);
    if (rc < 0) {
        log_warn ("replicate_refused", "req=%016" PRIx64 " err=%d text=\"%s\"",
                  order->trace, rc, err.text);
        notes_order (self->config.notes, order->link, order->order, order->trace, rc,
                     err.text);
        return;
    }
    forward_item_t *item = forward_item_new ();
    item->target = grant.targets[0];
    item->orderer = order->link;
    item->upload = grant.upload;
    item->order = order->order;
    item->trace = order->trace;
    item->key = order->key;
    item->grant_len = (uint32_t)order->grant_len;
    memcpy (item->grant, order->grant, order->grant_len);
    forward_queue (self->config.forward, &item);
}

/* --- streams --- */

static void on_send (const link_send_t *order, void *arg)
{
    orders_t *self = arg;
    stream_order_t *plain = stream_order_new (order->n);
    plain->orderer = order->link;
    plain->session = order->session;
    plain->has_key = order->client_key != NULL;
    uint64_t now = clock_mono ();
    if (order->client_key)
        memcpy (plain->client_key, order->client_key, sizeof plain->client_key);
    for (size_t i = 0; i < order->n; i++)
        plain->pieces[i] = (stream_piece_t){.piece = order->pieces[i].piece,
                                            .key = order->pieces[i].key,
                                            .offset = order->pieces[i].offset,
                                            .length = order->pieces[i].length,
                                            .keep = order->pieces[i].keep,
                                            .trace = order->trace,
                                            .traced = order->traced,
                                            .queued_at = now};
    streams_order (self->config.streams, &plain);
}

static void on_cancel (uint64_t session, const uint64_t *pieces, size_t n, void *arg)
{
    orders_t *self = arg;
    stream_order_t *plain = stream_order_new (n);
    plain->cancel = true;
    plain->session = session;
    for (size_t i = 0; i < n; i++)
        plain->pieces[i].piece = pieces[i];
    streams_order (self->config.streams, &plain);
}

static void on_yield (int link, uint64_t bytes, void *arg)
{
    orders_t *self = arg;
    stream_order_t *plain = stream_order_new (0);
    plain->yield = bytes;
    plain->orderer = link;
    streams_order (self->config.streams, &plain);
}

static void on_answer (const link_answer_t *answer, void *arg)
{
    orders_t *self = arg;
    forward_answer (self->config.forward, answer);
}

/* --- the module --- */

orders_t *orders_new (const orders_config_t *config, dfs_error_t *err)
{
    orders_t *self = calloc (1, sizeof *self);
    assert (self);
    self->config = *config;
    self->verifier = jobs_new (verify_work, free, self, err);
    self->looker = self->verifier ? jobs_new (verify_work, free, self, err) : NULL;
    self->dropper = self->looker ? jobs_new (drop_work, free, self, err) : NULL;
    if (!self->dropper)
        orders_destroy (&self);
    return self;
}

void orders_destroy (orders_t **self_p)
{
    orders_t *self = *self_p;
    if (!self)
        return;
    atomic_store (&self->ending, true);
    jobs_destroy (&self->verifier);
    jobs_destroy (&self->looker);
    jobs_destroy (&self->dropper);
    free (self);
    *self_p = NULL;
}

link_orders_t orders_callbacks (orders_t *self)
{
    return (link_orders_t){.send = on_send,
                           .cancel = on_cancel,
                           .yield = on_yield,
                           .replicate = on_replicate,
                           .verify = on_verify,
                           .drop = on_drop,
                           .scrub = on_scrub,
                           .answer = on_answer,
                           .arg = self};
}
