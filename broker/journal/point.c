/* SPDX-License-Identifier: MPL-2.0 */
#include <endian.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/io.h"

#include "point.h"

#define POINT_VERSION 2

static const char point_magic[8] = {'d', 'f', 's', '-', 'p', 'o', 'i', 'n'};

/* On disk, little-endian; then the configuration. */
typedef struct disk_point {
    char magic[8];
    uint32_t version;
    uint32_t crc; /* of what follows */
    uint64_t index;
    uint64_t term;
    uint64_t state;
    uint64_t founding;
    uint64_t conf_index;
    uint64_t conf_len;
} disk_point_t;
_Static_assert(sizeof (disk_point_t) == 64, "layout of a point");

#define HEAD offsetof (disk_point_t, index)

static void path_of (const char *dir, const char *file, char *out, size_t cap)
{
    snprintf (out, cap, "%s/%s", dir, file);
}

static int decode (const uint8_t *data, size_t len, const char *path, point_t *point,
                   dfs_error_t *err)
{
    disk_point_t d;
    if (len < sizeof d || memcmp (data, point_magic, sizeof point_magic) != 0)
        return fail (err, DFS_EDAMAGED, "%s: no point of a journal", path);
    memcpy (&d, data, sizeof d);
    if (le32toh (d.version) != POINT_VERSION)
        return fail (err, DFS_EVERSION, "%s: format version %u is not known", path,
                     le32toh (d.version));
    if (le32toh (d.crc) != digest_crc32c (0, data + HEAD, len - HEAD) ||
        le64toh (d.conf_len) != len - sizeof d)
        return fail (err, DFS_EDAMAGED, "%s: wrong checksum", path);
    point->at.index = le64toh (d.index);
    point->at.term = le64toh (d.term);
    point->at.founding = le64toh (d.founding);
    point->at.conf_index = le64toh (d.conf_index);
    point->at.conf_len = len - sizeof d;
    point->state = le64toh (d.state);
    memcpy (point->at.conf, data + sizeof d, point->at.conf_len);
    return 1;
}

int point_load (const char *dir, const char *file, point_t *point, dfs_error_t *err)
{
    dfs_error_t local;
    err = err ? err : &local;
    char path[PATH_MAX];
    path_of (dir, file, path, sizeof path);
    memset (point, 0, sizeof *point);
    void *data;
    size_t len;
    if (io_slurp (path, sizeof (disk_point_t) + POINT_CONF_MAX, &data, &len, err))
        return err->code == DFS_ENOENT ? 0 : err->code;
    int rc = decode (data, len, path, point, err);
    free (data);
    return rc;
}

int point_save (const char *dir, const char *file, const point_t *point,
                dfs_error_t *err)
{
    char path[PATH_MAX];
    uint8_t bytes[sizeof (disk_point_t) + POINT_CONF_MAX];
    path_of (dir, file, path, sizeof path);
    disk_point_t d = {
        .version = htole32 (POINT_VERSION),
        .index = htole64 (point->at.index),
        .term = htole64 (point->at.term),
        .state = htole64 (point->state),
        .founding = htole64 (point->at.founding),
        .conf_index = htole64 (point->at.conf_index),
        .conf_len = htole64 (point->at.conf_len),
    };
    size_t len = sizeof d + point->at.conf_len;
    memcpy (d.magic, point_magic, sizeof d.magic);
    memcpy (bytes, &d, sizeof d);
    memcpy (bytes + sizeof d, point->at.conf, point->at.conf_len);
    d.crc = htole32 (digest_crc32c (0, bytes + HEAD, len - HEAD));
    memcpy (bytes, &d, sizeof d);
    return io_replace (path, bytes, len, 0600, err);
}

int point_commit (const char *dir, dfs_error_t *err)
{
    char next[PATH_MAX], path[PATH_MAX];
    path_of (dir, POINT_NEXT, next, sizeof next);
    path_of (dir, POINT_FILE, path, sizeof path);
    int rc = io_rename (next, path, err);
    return rc == DFS_OK ? io_sync_dir (dir, err) : rc;
}

int point_forget (const char *dir, dfs_error_t *err)
{
    char next[PATH_MAX];
    path_of (dir, POINT_NEXT, next, sizeof next);
    int rc = io_unlink (next, err);
    return rc == DFS_OK ? io_sync_dir (dir, err) : rc;
}
