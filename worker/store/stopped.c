/* SPDX-License-Identifier: MPL-2.0 */
/* What an operator does with a disk of a stopped worker: its index made anew, its
 * quarantine looked at and taken back. The store is opened like any other, so all that
 * holds for a crash holds here; it frees nothing meanwhile. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/io.h"
#include "msgs/mark.h"
#include "worker/store/store_private.h"

#define PAGE   256
#define PREFIX 8 /* characters of a chunk's name are enough when they are unique */

static void no_change (uint32_t disk, const store_change_t *changes, size_t n,
                       void *arg)
{
    (void)disk;
    (void)changes;
    (void)n;
    (void)arg;
}

/* The directory as a store of its own; WIPE: without the index that it has. */
static store_t *open_dir (const char *dir, bool wipe, dfs_error_t *err)
{
    mark_t mark;
    if (mark_read (dir, &mark, err) < 0)
        return NULL;
    if (strcmp (mark.role, "worker") != 0) {
        fail (err, DFS_EINVAL, "%s belongs to a %s", dir, mark.role);
        return NULL;
    }
    char path[4096];
    snprintf (path, sizeof path, "%s/dfs-lock", dir);
    int lock = wipe ? io_lock (path, err) : -1;
    if (wipe && lock < 0)
        return NULL;
    snprintf (path, sizeof path, "%s/index", dir);
    int rc = wipe ? index_wipe (path, err) : DFS_OK;
    io_close (lock);
    if (rc < 0)
        return NULL;
    store_config_t config = {.dirs = &dir,
                             .n_dirs = 1,
                             .node = mark.node,
                             .grace = UINT64_MAX / 2,
                             .compact_rate = 1,
                             .changed = no_change};
    memcpy (config.cluster_id, mark.cluster_id, sizeof config.cluster_id);
    return store_open (&config, err);
}

int store_rebuild_index (const char *dir, dfs_error_t *err)
{
    dfs_error_t mine = {0};
    store_t *store = open_dir (dir, true, &mine);
    if (!store)
        return fail (err, mine.code, "%s", mine.text);
    store_close (&store);
    return DFS_OK;
}

/* --- quarantine --- */

typedef int (visit_f) (disk_t *disk, const copykey_t *key, const entry_t *entry,
                       void *arg, dfs_error_t *err);

/* Calls VISIT, locked, for each copy in quarantine. */
static int walk (disk_t *disk, visit_f *visit, void *arg, dfs_error_t *err)
{
    copykey_t *keys = malloc (PAGE * sizeof *keys);
    entry_t *entries = malloc (PAGE * sizeof *entries);
    assert (keys && entries);
    copykey_t after;
    bool more = false;
    int n = 1;
    int rc = DFS_OK;
    while (rc == 0 && n > 0) {
        pthread_mutex_lock (&disk->lock);
        n = index_walk (disk->index, more ? &after : NULL, keys, entries, PAGE, err);
        for (int i = 0; rc == 0 && i < n; i++)
            if (entries[i].state == ENTRY_DROPPED)
                rc = visit (disk, &keys[i], &entries[i], arg, err);
        pthread_mutex_unlock (&disk->lock);
        if (n > 0)
            after = keys[n - 1];
        more = true;
    }
    free (keys);
    free (entries);
    return n < 0 ? n : rc;
}

static int print (disk_t *disk, const copykey_t *key, const entry_t *entry, void *arg,
                  dfs_error_t *err)
{
    (void)disk;
    (void)err;
    char text[COPYKEY_TEXT];
    char when[32];
    time_t at = (time_t)(entry->dropped / 1000000000);
    struct tm tm;
    gmtime_r (&at, &tm);
    strftime (when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm);
    fprintf (arg, "chunk=%s length=%" PRIu32 " birth=%" PRIu64 " since=%s\n",
             copykey_text (key, text), entry->true_len, entry->birth, when);
    return DFS_OK;
}

int store_quarantine (const char *dir, FILE *out, dfs_error_t *err)
{
    dfs_error_t mine = {0};
    store_t *store = open_dir (dir, false, &mine);
    if (!store)
        return fail (err, mine.code, "%s", mine.text);
    int rc = disk_checkpoint (store->disks[0], err);
    if (rc == DFS_OK)
        rc = walk (store->disks[0], print, out, err);
    store_close (&store);
    return rc;
}

typedef struct wish {
    const char *name; /* NULL: all */
    copykey_t *keys;
    size_t n, cap;
} wish_t;

static int collect (disk_t *disk, const copykey_t *key, const entry_t *entry, void *arg,
                    dfs_error_t *err)
{
    (void)disk;
    (void)entry;
    (void)err;
    wish_t *wish = arg;
    char text[COPYKEY_TEXT];
    if (wish->name &&
        strncmp (copykey_text (key, text), wish->name, strlen (wish->name)) != 0)
        return DFS_OK;
    if (wish->n == wish->cap) {
        wish->cap = wish->cap ? 2 * wish->cap : 64;
        wish->keys = realloc (wish->keys, wish->cap * sizeof *wish->keys);
        assert (wish->keys);
    }
    wish->keys[wish->n++] = *key;
    return DFS_OK;
}

/* What WISH names goes back; durable when it returns. */
static int take_back (store_t *store, const wish_t *wish, uint64_t *count,
                      dfs_error_t *err)
{
    disk_t *disk = store->disks[0];
    int rc = DFS_OK;
    for (size_t i = 0; rc == 0 && i < wish->n; i++)
        rc = store_restore (store, &wish->keys[i], err);
    commit_drain (disk);
    if (rc == 0)
        rc = disk_checkpoint (disk, err);
    for (size_t i = 0; rc == 0 && i < wish->n; i++) {
        store_info_t info;
        rc = store_find (store, &wish->keys[i], &info, err);
        *count += rc == 1;
        rc = rc == 1   ? DFS_OK
             : rc == 0 ? fail (err, DFS_EIO, "disk %s takes no writes", disk->dir)
                       : rc;
    }
    return rc;
}

int store_take_back (const char *dir, const char *chunk, uint64_t *count,
                     dfs_error_t *err)
{
    *count = 0;
    if (chunk && strlen (chunk) < PREFIX)
        return fail (err, DFS_EUSAGE, "%s: at least %d characters of a chunk's name",
                     chunk, PREFIX);
    dfs_error_t mine = {0};
    store_t *store = open_dir (dir, false, &mine);
    if (!store)
        return fail (err, mine.code, "%s", mine.text);
    wish_t wish = {.name = chunk};
    int rc = disk_checkpoint (store->disks[0], err);
    if (rc == 0)
        rc = walk (store->disks[0], collect, &wish, err);
    if (rc == 0 && chunk && wish.n > 1)
        rc = fail (err, DFS_EUSAGE, "%s names %zu chunks in %s", chunk, wish.n, dir);
    if (rc == 0)
        rc = take_back (store, &wish, count, err);
    free (wish.keys);
    store_close (&store);
    return rc;
}
