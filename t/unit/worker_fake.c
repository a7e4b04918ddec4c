/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "msgs/control.pb-c.h"
#include "t/unit/worker_fake.h"

enum { CHUNKS = 4096, CHANGES = 65536, STORES = 8 };

typedef struct chunk {
    store_info_t info;
    uint8_t *data;
    uint32_t *crcs;
    bool damaged;
} chunk_t;

struct store_append {
    store_t *store;
    store_new_t what;
    uint64_t cookie;
    uint8_t *data;
    uint32_t *crcs;
    struct store_append *next;
};

struct store_chunk {
    chunk_t *chunk;
    store_t *store;
};

struct store {
    store_config_t config;
    char node[64];
    pthread_mutex_t lock;
    pthread_cond_t work;
    pthread_t thread;
    bool ending;
    chunk_t *chunks[CHUNKS];
    size_t n;
    store_change_t changes[CHANGES];
    uint64_t first_seq, last_seq;
    store_append_t *sealed, **tail;
    size_t open;
    int fail_commit, fail_begin, condition;
};

static store_t *stores[STORES];

store_t *fake_of (const char *node)
{
    for (size_t i = 0; i < STORES; i++)
        if (stores[i] && strcmp (stores[i]->node, node) == 0)
            return stores[i];
    return NULL;
}

static chunk_t *find (store_t *self, const copykey_t *key)
{
    for (size_t i = 0; i < self->n; i++)
        if (copykey_cmp (&self->chunks[i]->info.key, key) == 0)
            return self->chunks[i];
    return NULL;
}

/* Under the lock; the callback comes after it. */
static store_change_t change (store_t *self, int kind, const chunk_t *c,
                              uint64_t upload)
{
    store_change_t ch = {.seq = ++self->last_seq,
                         .kind = kind,
                         .key = c->info.key,
                         .birth = c->info.birth,
                         .length = c->info.true_len,
                         .upload = upload};
    assert (self->last_seq < CHANGES);
    self->changes[self->last_seq] = ch;
    return ch;
}

static void free_append (store_append_t *a)
{
    free (a->data);
    free (a->crcs);
    free (a);
}

/* Under the lock, which is let go for the callbacks. */
static void commit (store_t *self, store_append_t *a)
{
    int code = self->fail_commit;
    self->fail_commit = 0;
    store_change_t ch;
    bool changed = false;
    chunk_t *c = find (self, &a->what.key);
    if (code == 0 && c && a->data)
        code = DFS_EEXIST;
    else if (code == 0 && c) { /* renewal */
        c->info.birth = a->what.birth;
        ch = change (self, DFS__LOCATION_KIND__LOCATION_RENEWED, c, a->what.upload);
        changed = true;
    } else if (code == 0) {
        c = calloc (1, sizeof *c);
        assert (c && self->n < CHUNKS);
        c->data = a->data;
        c->crcs = a->crcs;
        a->data = NULL;
        a->crcs = NULL;
        c->info = (store_info_t){.key = a->what.key,
                                 .true_len = a->what.true_len,
                                 .stored_len = a->what.stored_len,
                                 .birth = a->what.birth};
        ch = change (self, DFS__LOCATION_KIND__LOCATION_STORED, c, a->what.upload);
        c->info.seq = ch.seq;
        self->chunks[self->n++] = c;
        changed = true;
    }
    uint64_t cookie = a->cookie;
    free_append (a);
    pthread_mutex_unlock (&self->lock);
    if (changed)
        self->config.changed (0, &ch, 1, self->config.arg);
    if (cookie)
        self->config.done (cookie, code, self->config.arg);
    pthread_mutex_lock (&self->lock);
}

static void *run (void *arg)
{
    store_t *self = arg;
    pthread_mutex_lock (&self->lock);
    for (;;) {
        store_append_t *a = self->sealed;
        if (a) {
            self->sealed = a->next;
            if (!self->sealed)
                self->tail = &self->sealed;
            commit (self, a);
        } else if (self->ending)
            break;
        else
            pthread_cond_wait (&self->work, &self->lock);
    }
    pthread_mutex_unlock (&self->lock);
    return NULL;
}

store_t *store_open (const store_config_t *config, dfs_error_t *err)
{
    (void)err;
    store_t *self = calloc (1, sizeof *self);
    assert (self);
    self->config = *config;
    snprintf (self->node, sizeof self->node, "%s", config->node);
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->work, NULL);
    self->tail = &self->sealed;
    self->first_seq = 1;
    pthread_create (&self->thread, NULL, run, self);
    for (size_t i = 0; i < STORES; i++)
        if (!stores[i]) {
            stores[i] = self;
            break;
        }
    return self;
}

void store_close (store_t **self_p)
{
    store_t *self = *self_p;
    if (!self)
        return;
    pthread_mutex_lock (&self->lock);
    self->ending = true;
    pthread_cond_signal (&self->work);
    pthread_mutex_unlock (&self->lock);
    pthread_join (self->thread, NULL);
    assert (self->open == 0);
    for (size_t i = 0; i < self->n; i++) {
        free (self->chunks[i]->data);
        free (self->chunks[i]->crcs);
        free (self->chunks[i]);
    }
    for (size_t i = 0; i < STORES; i++)
        if (stores[i] == self)
            stores[i] = NULL;
    free (self);
    *self_p = NULL;
}

static void queue (store_t *self, store_append_t *a)
{
    a->next = NULL;
    *self->tail = a;
    self->tail = &a->next;
    pthread_cond_signal (&self->work);
}

store_append_t *store_begin (store_t *self, const store_new_t *what, uint64_t cookie,
                             dfs_error_t *err)
{
    store_append_t *a = calloc (1, sizeof *a);
    assert (a);
    a->store = self;
    a->what = *what;
    a->cookie = cookie;
    pthread_mutex_lock (&self->lock);
    int code = self->fail_begin;
    self->fail_begin = 0;
    const chunk_t *c = find (self, &what->key);
    if (code == 0 && c && c->info.birth >= what->birth)
        code = DFS_EEXIST;
    else if (code == 0 && c) {
        queue (self, a);
        pthread_mutex_unlock (&self->lock);
        fail (err, DFS_EAGAIN, "renewed");
        return NULL;
    }
    if (code < 0) {
        free (a);
        a = NULL;
        fail (err, code, "fault");
    } else {
        a->data = calloc (1, what->stored_len);
        a->crcs = calloc (what->stored_len / DIGEST_BLOCK + 1, sizeof *a->crcs);
        assert (a->data && a->crcs);
        self->open++;
    }
    pthread_mutex_unlock (&self->lock);
    return a;
}

int store_write (store_append_t *a, uint64_t offset, const void *data, size_t len,
                 const uint32_t *crcs, dfs_error_t *err)
{
    (void)err;
    assert (offset + len <= a->what.stored_len && offset % DIGEST_BLOCK == 0);
    memcpy (a->data + offset, data, len);
    memcpy (a->crcs + offset / DIGEST_BLOCK, crcs,
            (len + DIGEST_BLOCK - 1) / DIGEST_BLOCK * sizeof *crcs);
    return DFS_OK;
}

void store_seal (store_append_t **append_p)
{
    store_append_t *a = *append_p;
    store_t *self = a->store;
    *append_p = NULL;
    pthread_mutex_lock (&self->lock);
    self->open--;
    queue (self, a);
    pthread_mutex_unlock (&self->lock);
}

void store_abort (store_append_t **append_p)
{
    store_append_t *a = *append_p;
    if (!a)
        return;
    *append_p = NULL;
    pthread_mutex_lock (&a->store->lock);
    a->store->open--;
    pthread_mutex_unlock (&a->store->lock);
    free_append (a);
}

int store_put (store_t *self, const store_new_t *what, const void *data,
               const uint32_t *crcs, uint64_t cookie, dfs_error_t *err)
{
    store_append_t *a = store_begin (self, what, cookie, err);
    if (!a)
        return err->code;
    store_write (a, 0, data, what->stored_len, crcs, err);
    store_seal (&a);
    return DFS_OK;
}

int store_find (store_t *self, const copykey_t *key, store_info_t *info,
                dfs_error_t *err)
{
    (void)err;
    pthread_mutex_lock (&self->lock);
    const chunk_t *c = find (self, key);
    if (c)
        *info = c->info;
    pthread_mutex_unlock (&self->lock);
    return c != NULL;
}

store_chunk_t *store_open_chunk (store_t *self, const copykey_t *key, dfs_error_t *err)
{
    pthread_mutex_lock (&self->lock);
    chunk_t *c = find (self, key);
    pthread_mutex_unlock (&self->lock);
    if (!c) {
        fail (err, DFS_ENOENT, "not here");
        return NULL;
    }
    store_chunk_t *chunk = calloc (1, sizeof *chunk);
    assert (chunk);
    chunk->chunk = c;
    chunk->store = self;
    return chunk;
}

void store_close_chunk (store_chunk_t **chunk_p)
{
    free (*chunk_p);
    *chunk_p = NULL;
}

const store_info_t *store_chunk_info (const store_chunk_t *chunk)
{
    return &chunk->chunk->info;
}

int store_read (store_chunk_t *chunk, uint64_t offset, void *buf, size_t len,
                uint32_t *crcs, bool check, dfs_error_t *err)
{
    const chunk_t *c = chunk->chunk;
    assert (offset % DIGEST_BLOCK == 0 && offset + len <= c->info.stored_len);
    assert (len % DIGEST_BLOCK == 0 || offset + len == c->info.stored_len);
    memcpy (buf, c->data + offset, len);
    uint32_t sums[1024];
    size_t n = digest_blocks (buf, len, sums);
    memcpy (crcs, c->crcs + offset / DIGEST_BLOCK, n * sizeof *crcs);
    if (check && memcmp (sums, crcs, n * sizeof *crcs) != 0)
        return fail (err, DFS_EDAMAGED, "damaged");
    return DFS_OK;
}

int store_verify (store_t *self, const copykey_t *key, uint64_t *bytes,
                  dfs_error_t *err)
{
    pthread_mutex_lock (&self->lock);
    const chunk_t *c = find (self, key);
    pthread_mutex_unlock (&self->lock);
    if (!c)
        return fail (err, DFS_ENOENT, "not here");
    uint8_t sum[DIGEST_LEN];
    digest_sha256 (c->data, c->info.stored_len, sum);
    *bytes = c->info.stored_len;
    return memcmp (sum, key->digest, DIGEST_LEN) == 0
               ? DFS_OK
               : fail (err, DFS_EDAMAGED, "damaged");
}

int store_drop (store_t *self, const copykey_t *key, uint64_t birth_limit,
                dfs_error_t *err)
{
    pthread_mutex_lock (&self->lock);
    chunk_t *c = find (self, key);
    int code = !c ? DFS_ENOENT : c->info.birth >= birth_limit ? DFS_ECONFLICT : DFS_OK;
    store_change_t ch;
    if (code == DFS_OK) {
        ch = change (self, DFS__LOCATION_KIND__LOCATION_GONE, c, 0);
        for (size_t i = 0; i < self->n; i++)
            if (self->chunks[i] == c)
                self->chunks[i] = self->chunks[--self->n];
        free (c->data);
        free (c->crcs);
        free (c);
    }
    pthread_mutex_unlock (&self->lock);
    if (code == DFS_OK)
        self->config.changed (0, &ch, 1, self->config.arg);
    return code == DFS_OK ? DFS_OK : fail (err, code, "not dropped");
}

void store_scrub_pass (store_t *self)
{
    (void)self;
}

void store_scrub_state (store_t *self, store_scrub_t *out)
{
    (void)self;
    *out = (store_scrub_t){0};
}

bool store_give_up (store_t *self)
{
    (void)self;
    return false;
}

void store_tune (store_t *self, uint64_t scrub_rate, uint64_t cache_size)
{
    (void)self;
    (void)scrub_rate;
    (void)cache_size;
}

void store_cache_counts (store_t *self, uint64_t *hits, uint64_t *misses)
{
    (void)self;
    *hits = *misses = 0;
}

int store_changes (store_t *self, uint32_t disk, uint64_t first, store_change_t *out,
                   size_t max, dfs_error_t *err)
{
    (void)disk;
    pthread_mutex_lock (&self->lock);
    int n = 0;
    if (first < self->first_seq)
        n = fail (err, DFS_ESTALE, "trimmed");
    for (uint64_t s = first; n >= 0 && (size_t)n < max && s <= self->last_seq; s++)
        out[n++] = self->changes[s];
    pthread_mutex_unlock (&self->lock);
    return n;
}

void store_trim_changes (store_t *self, uint32_t disk, uint64_t seq)
{
    (void)disk;
    fake_trim (self, seq + 1);
}

static int by_key (const void *a, const void *b)
{
    return copykey_cmp (&((const store_info_t *)a)->key,
                        &((const store_info_t *)b)->key);
}

int store_inventory (store_t *self, uint32_t disk, const copykey_t *after,
                     store_info_t *out, size_t max, uint64_t *seq, dfs_error_t *err)
{
    (void)disk;
    (void)err;
    static store_info_t all[CHUNKS];
    pthread_mutex_lock (&self->lock);
    for (size_t i = 0; i < self->n; i++)
        all[i] = self->chunks[i]->info;
    qsort (all, self->n, sizeof *all, by_key);
    int n = 0;
    for (size_t i = 0; i < self->n && (size_t)n < max; i++)
        if (!after || copykey_cmp (&all[i].key, after) > 0)
            out[n++] = all[i];
    *seq = self->last_seq;
    pthread_mutex_unlock (&self->lock);
    return n;
}

size_t store_disks (store_t *self, store_disk_t *out, size_t max)
{
    assert (max > 0);
    pthread_mutex_lock (&self->lock);
    memset (out, 0, sizeof *out);
    memset (out->id, self->node[1], sizeof out->id);
    out->incarnation = 7;
    out->first_seq = self->first_seq;
    out->last_seq = self->last_seq;
    out->capacity = 1ULL << 30;
    out->chunks = self->n;
    out->condition = self->condition;
    out->usable = true;
    pthread_mutex_unlock (&self->lock);
    return 1;
}

/* --- faults --- */

#define LOCKED(statement)                                                              \
    pthread_mutex_lock (&self->lock);                                                  \
    statement;                                                                         \
    pthread_mutex_unlock (&self->lock)

void fake_fail_commit (store_t *self, int code)
{
    LOCKED (self->fail_commit = code);
}

void fake_fail_begin (store_t *self, int code)
{
    LOCKED (self->fail_begin = code);
}

void fake_condition (store_t *self, int condition)
{
    LOCKED (self->condition = condition);
}

void fake_trim (store_t *self, uint64_t seq)
{
    LOCKED (if (seq > self->first_seq) self->first_seq = seq);
}

void fake_damage (store_t *self, const copykey_t *key)
{
    LOCKED (find (self, key)->data[1] ^= 4);
}

size_t fake_open_appends (store_t *self)
{
    size_t n;
    LOCKED (n = self->open);
    return n;
}

void fake_add (store_t *self, const copykey_t *key, uint64_t birth, const void *data,
               size_t len)
{
    store_new_t what = {
        .key = *key, .true_len = len, .stored_len = len, .birth = birth};
    uint32_t crcs[1024];
    dfs_error_t err;
    digest_blocks (data, len, crcs);
    store_put (self, &what, data, crcs, 0, &err);
}
