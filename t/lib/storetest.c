/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "common/digest.h"
#include "common/log.h"
#include "common/rng.h"
#include "msgs/mark.h"
#include "t/lib/storetest.h"

static void on_changed (uint32_t disk, const store_change_t *changes, size_t n,
                        void *arg)
{
    storetest_t *self = arg;
    pthread_mutex_lock (&self->lock);
    self->changes =
        realloc (self->changes, (self->n_changes + n) * sizeof *self->changes);
    self->change_disk =
        realloc (self->change_disk, (self->n_changes + n) * sizeof *self->change_disk);
    assert (self->changes && self->change_disk);
    for (size_t i = 0; i < n; i++) {
        self->changes[self->n_changes] = changes[i];
        self->change_disk[self->n_changes++] = disk;
    }
    pthread_cond_broadcast (&self->cond);
    pthread_mutex_unlock (&self->lock);
}

static void on_done (uint64_t cookie, int code, void *arg)
{
    storetest_t *self = arg;
    pthread_mutex_lock (&self->lock);
    assert (cookie < self->n_codes && self->codes[cookie] == 1);
    self->codes[cookie] = code;
    self->answered++;
    pthread_cond_broadcast (&self->cond);
    pthread_mutex_unlock (&self->lock);
}

void storetest_init (storetest_t *self, size_t n_disks)
{
    *self = (storetest_t){0};
    pthread_mutex_init (&self->lock, NULL);
    pthread_cond_init (&self->cond, NULL);
    const char *tmp = getenv ("TMPDIR");
    snprintf (self->root, sizeof self->root, "%s/dfs-store-XXXXXX", tmp ? tmp : "/tmp");
    assert_non_null (mkdtemp (self->root));
    mark_t mark = {.role = "worker", .node = "w1", .format = MARK_FORMAT};
    memset (mark.cluster_id, 7, sizeof mark.cluster_id);
    for (size_t i = 0; i < n_disks; i++) {
        snprintf (self->dirs[i], sizeof self->dirs[i], "%.230s/d%zu", self->root, i);
        memset (mark.disk_id, (int)(i + 1), sizeof mark.disk_id);
        dfs_error_t err;
        assert_int_equal (mark_create (self->dirs[i], &mark, &err), 0);
        self->dir_list[i] = self->dirs[i];
    }
    self->config = (store_config_t){.dirs = self->dir_list,
                                    .n_dirs = n_disks,
                                    .node = "w1",
                                    .changed = on_changed,
                                    .done = on_done,
                                    .arg = self};
    memset (self->config.cluster_id, 7, sizeof self->config.cluster_id);
}

void storetest_open (storetest_t *self)
{
    dfs_error_t err = {0};
    self->store = store_open (&self->config, &err);
    if (!self->store)
        print_error ("store_open: %s\n", err.text);
    assert_non_null (self->store);
}

void storetest_close (storetest_t *self)
{
    store_close (&self->store);
}

static int remove_one (const char *path, const struct stat *st, int type,
                       struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove (path);
}

void storetest_remove_tree (const char *path)
{
    nftw (path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void storetest_end (storetest_t *self)
{
    storetest_close (self);
    storetest_remove_tree (self->root);
    free (self->codes);
    free (self->changes);
    free (self->change_disk);
    pthread_mutex_destroy (&self->lock);
    pthread_cond_destroy (&self->cond);
}

void *storetest_chunk (uint64_t seed, size_t len, copykey_t *key, uint32_t **crcs)
{
    uint8_t *data = malloc (len + 8);
    assert (data);
    rng_t rng;
    rng_seed (&rng, seed * 1000003 + len);
    for (size_t i = 0; i < len; i += 8) {
        uint64_t v = rng_next (&rng);
        memcpy (data + i, &v, 8);
    }
    *key = (copykey_t){0};
    digest_sha256 (data, len, key->digest);
    if (crcs) {
        *crcs = malloc ((len / DIGEST_BLOCK + 1) * sizeof **crcs);
        assert (*crcs);
        digest_blocks (data, len, *crcs);
    }
    return data;
}

int64_t storetest_cookie (storetest_t *self)
{
    pthread_mutex_lock (&self->lock);
    self->codes = realloc (self->codes, (self->n_codes + 1) * sizeof *self->codes);
    assert (self->codes);
    self->codes[self->n_codes] = 1;
    uint64_t cookie = self->n_codes++;
    self->asked++;
    pthread_mutex_unlock (&self->lock);
    return (int64_t)cookie;
}

int64_t storetest_void (storetest_t *self, uint64_t cookie, int code)
{
    pthread_mutex_lock (&self->lock);
    self->codes[cookie] = code;
    self->asked--;
    pthread_mutex_unlock (&self->lock);
    return code;
}

static int put_large (storetest_t *self, const store_new_t *what, const uint8_t *data,
                      const uint32_t *crcs, uint64_t cookie)
{
    dfs_error_t err = {0};
    store_append_t *append = store_begin (self->store, what, cookie, &err);
    if (!append)
        return err.code;
    const size_t frame = 1024 * 1024;
    for (size_t at = 0; at < what->stored_len; at += frame) {
        size_t n = what->stored_len - at < frame ? what->stored_len - at : frame;
        int rc = store_write (append, at, data + at, n, crcs + at / DIGEST_BLOCK, &err);
        if (rc < 0) {
            store_abort (&append);
            return rc;
        }
    }
    store_seal (&append);
    return DFS_OK;
}

int64_t storetest_put (storetest_t *self, uint64_t seed, size_t len, uint64_t birth)
{
    store_new_t what = {
        .true_len = len, .stored_len = len, .birth = birth, .upload = 5};
    uint32_t *crcs;
    uint8_t *data = storetest_chunk (seed, len, &what.key, &crcs);
    uint64_t cookie = (uint64_t)storetest_cookie (self);
    dfs_error_t err = {0};
    int rc = len > DIGEST_BLOCK
                 ? put_large (self, &what, data, crcs, cookie)
                 : store_put (self->store, &what, data, crcs, cookie, &err);
    free (data);
    free (crcs);
    if (rc < 0 && rc != DFS_EAGAIN)
        return storetest_void (self, cookie, rc);
    return (int64_t)cookie;
}

int storetest_wait (storetest_t *self, int64_t cookie)
{
    if (cookie < 0)
        return (int)cookie;
    pthread_mutex_lock (&self->lock);
    while (self->codes[cookie] == 1)
        pthread_cond_wait (&self->cond, &self->lock);
    int code = self->codes[cookie];
    pthread_mutex_unlock (&self->lock);
    return code;
}

void storetest_wait_all (storetest_t *self)
{
    pthread_mutex_lock (&self->lock);
    while (self->answered < self->asked)
        pthread_cond_wait (&self->cond, &self->lock);
    pthread_mutex_unlock (&self->lock);
}

int storetest_put_wait (storetest_t *self, uint64_t seed, size_t len, uint64_t birth)
{
    return storetest_wait (self, storetest_put (self, seed, len, birth));
}

int storetest_check (storetest_t *self, uint64_t seed, size_t len)
{
    copykey_t key;
    uint8_t *data = storetest_chunk (seed, len, &key, NULL);
    dfs_error_t err = {0};
    store_chunk_t *chunk = store_open_chunk (self->store, &key, &err);
    int rc = chunk ? DFS_OK : err.code;
    uint8_t *got = malloc (len + 1);
    assert (got);
    if (rc == 0 && store_chunk_info (chunk)->stored_len != len)
        rc = DFS_EINTERNAL;
    if (rc == 0)
        rc = store_read (chunk, 0, got, len, NULL, true, &err);
    if (rc == 0 && memcmp (got, data, len) != 0)
        rc = DFS_EINTERNAL;
    store_close_chunk (&chunk);
    free (got);
    free (data);
    return rc;
}

size_t storetest_count (storetest_t *self, int kind)
{
    size_t n = 0;
    pthread_mutex_lock (&self->lock);
    for (size_t i = 0; i < self->n_changes; i++)
        n += self->changes[i].kind == kind;
    pthread_mutex_unlock (&self->lock);
    return n;
}

void storetest_wait_changes (storetest_t *self, int kind, size_t n)
{
    for (int i = 0; i < 2000 && storetest_count (self, kind) < n; i++)
        nanosleep (&(struct timespec){.tv_nsec = 5 * 1000 * 1000}, NULL);
    assert_true (storetest_count (self, kind) >= n);
}

static void no_log (enum log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

void storetest_quiet (void)
{
    if (!getenv ("DFS_TEST_LOG"))
        log_set_sink (no_log, NULL);
}
