/* SPDX-License-Identifier: MPL-2.0 */
/* Opening: a table that another boot of this machine wrote may be torn, since nothing
 * was synced, so it is thrown away like a damaged one. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/namespace/locations_disks.h"
#include "common/io.h"
#include "common/log.h"

#define MAP_SIZE  (1ULL << 38)
#define FORMAT    1
#define STAMP_LEN (4 + 36) /* format, boot id */
#define BOOT_ID   "/proc/sys/kernel/random/boot_id"

static const char *const tables[L_COUNT] = {"meta", "disk", "copy", "on_disk", "dead"};

static int stamp (uint8_t out[STAMP_LEN], dfs_error_t *err)
{
    void *text;
    size_t len;
    int rc = io_slurp (BOOT_ID, 64, &text, &len, err);
    if (rc < 0)
        return rc;
    memset (out, 0, STAMP_LEN);
    disks_put32 (out, FORMAT);
    memcpy (out + 4, text, len < 36 ? len : 36);
    free (text);
    return 0;
}

static void release (locations_t **self_p)
{
    locations_t *self = *self_p;
    kv_abort (&self->txn);
    kv_close (&self->kv);
    disks_free (self);
    free (self);
    *self_p = NULL;
}

/* 0 opened; 1 it must be thrown away; negative. */
static int try_open (const char *dir, const uint8_t want[STAMP_LEN], locations_t **out,
                     dfs_error_t *err)
{
    locations_t *self = *out = calloc (1, sizeof *self);
    assert (self);
    self->kv = kv_open (dir, tables, L_COUNT, MAP_SIZE, KV_NOSYNC, err);
    if (!self->kv || !(self->txn = kv_begin (self->kv, true, err))) {
        int code = err->code;
        release (out);
        return code == DFS_EDAMAGED || code == DFS_EVERSION ? 1 : code;
    }
    const void *value;
    size_t len;
    int rc = kv_get (self->kv, self->txn, L_META, "stamp", 5, &value, &len, err);
    if (rc > 0 && (len != STAMP_LEN || memcmp (value, want, STAMP_LEN) != 0)) {
        release (out);
        return 1;
    }
    if (rc >= 0)
        rc = kv_put (self->kv, self->txn, L_META, "stamp", 5, want, STAMP_LEN, err);
    if (rc == 0)
        rc = disks_load (self, err);
    if (rc < 0) {
        release (out);
        return rc == DFS_EDAMAGED ? 1 : rc;
    }
    return 0;
}

static int throw_away (const char *dir, dfs_error_t *err)
{
    static const char *const files[] = {"data.mdb", "lock.mdb"};
    for (int i = 0; i < 2; i++) {
        char path[4096];
        snprintf (path, sizeof path, "%s/%s", dir, files[i]);
        int rc = io_unlink (path, err);
        if (rc < 0 && rc != DFS_ENOENT)
            return rc;
    }
    return 0;
}

locations_t *locations_open (const char *dir, dfs_error_t *err)
{
    dfs_error_t own;
    err = err ? err : &own;
    char path[4000];
    if (snprintf (path, sizeof path, "%s/locations", dir) >= (int)sizeof path) {
        fail (err, DFS_ENAMETOOLONG, "%s: too long", dir);
        return NULL;
    }
    uint8_t want[STAMP_LEN];
    if (stamp (want, err) < 0)
        return NULL;
    locations_t *self = NULL;
    int rc = try_open (path, want, &self, err);
    if (rc > 0) {
        log_info ("locations_renewed", "dir=%s", path);
        rc = throw_away (path, err);
        if (rc == 0)
            rc = try_open (path, want, &self, err);
        if (rc > 0)
            fail (err, DFS_EDAMAGED, "%s: cannot be made anew", path);
    }
    return rc == 0 ? self : NULL;
}

void locations_close (locations_t **self_p)
{
    if (!*self_p)
        return;
    locations_commit (*self_p, NULL);
    release (self_p);
}
