/* SPDX-License-Identifier: MPL-2.0 */
#include <endian.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/digest.h"
#include "common/io.h"

#include "vote.h"

#define VOTE_VERSION 1

static const char vote_magic[8] = {'d', 'f', 's', '-', 'v', 'o', 't', 'e'};

/* On disk, little-endian. */
typedef struct disk_vote {
    char magic[8];
    uint32_t version;
    uint32_t crc; /* of the two numbers */
    uint64_t term;
    uint64_t voted_for;
} disk_vote_t;
_Static_assert(sizeof (disk_vote_t) == 32, "layout of a vote");

static uint32_t crc_of (const disk_vote_t *d)
{
    return digest_crc32c (0, &d->term, sizeof *d - offsetof (disk_vote_t, term));
}

static void vote_path (const char *dir, char *out, size_t cap)
{
    snprintf (out, cap, "%s/vote", dir);
}

int vote_load (const char *dir, vote_t *vote, dfs_error_t *err)
{
    dfs_error_t local;
    err = err ? err : &local;
    char path[PATH_MAX];
    vote_path (dir, path, sizeof path);
    void *data;
    size_t len;
    if (io_slurp (path, sizeof (disk_vote_t), &data, &len, err))
        return err->code == DFS_ENOENT ? 0 : err->code;
    disk_vote_t d;
    int rc = 1;
    if (len == sizeof d)
        memcpy (&d, data, sizeof d);
    if (len != sizeof d || memcmp (d.magic, vote_magic, sizeof d.magic) != 0)
        rc = fail (err, DFS_EDAMAGED, "%s: no term and vote of a broker", path);
    else if (le32toh (d.version) != VOTE_VERSION)
        rc = fail (err, DFS_EVERSION, "%s: format version %u is not known", path,
                   le32toh (d.version));
    else if (le32toh (d.crc) != crc_of (&d))
        rc = fail (err, DFS_EDAMAGED, "%s: wrong checksum", path);
    else
        *vote = (vote_t){le64toh (d.term), le64toh (d.voted_for)};
    free (data);
    return rc;
}

/* With no room for another file: it lies within one sector, which is written whole or
 * not at all. */
static int write_over (const char *path, const disk_vote_t *d, dfs_error_t *err)
{
    int fd = io_open (path, O_WRONLY, 0, err);
    if (fd < 0)
        return fd;
    int rc = io_pwrite (fd, d, sizeof *d, 0, err);
    if (rc == DFS_OK)
        rc = io_fdatasync (fd, err);
    io_close (fd);
    return rc < 0 ? wrap (err, "save %s", path) : DFS_OK;
}

int vote_save (const char *dir, const vote_t *vote, dfs_error_t *err)
{
    char path[PATH_MAX];
    vote_path (dir, path, sizeof path);
    disk_vote_t d = {
        .version = htole32 (VOTE_VERSION),
        .term = htole64 (vote->term),
        .voted_for = htole64 (vote->voted_for),
    };
    memcpy (d.magic, vote_magic, sizeof d.magic);
    d.crc = htole32 (crc_of (&d));
    int rc = io_replace (path, &d, sizeof d, 0600, err);
    return rc == DFS_ENOSPC || rc == DFS_EQUOTA ? write_over (path, &d, err) : rc;
}
