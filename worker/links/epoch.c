/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/io.h"
#include "common/log.h"
#include "worker/links/epoch.h"

enum { PATH_LEN = 4096 };

struct epoch {
    pthread_mutex_t lock; /* incarnation, term */
    pthread_mutex_t disk; /* one writer of the files at a time */
    uint32_t incarnation;
    uint64_t term;
    char **dirs;
    size_t n;
};

static int compare (uint32_t incarnation, uint64_t term, uint32_t than_incarnation,
                    uint64_t than_term)
{
    if (incarnation != than_incarnation)
        return incarnation < than_incarnation ? -1 : 1;
    return term < than_term ? -1 : term > than_term;
}

static void file_of (const char *dir, char path[PATH_LEN])
{
    snprintf (path, PATH_LEN, "%s/epoch", dir);
}

static int load (epoch_t *self, const char *dir, dfs_error_t *err)
{
    char path[PATH_LEN];
    file_of (dir, path);
    if (access (path, F_OK) != 0)
        return DFS_OK;
    void *data;
    size_t len;
    int rc = io_slurp (path, 64, &data, &len, err);
    if (rc < 0)
        return rc;
    uint32_t incarnation;
    uint64_t term;
    int n = sscanf (data, "%" SCNu32 " %" SCNu64 "\n", &incarnation, &term);
    free (data);
    if (n != 2)
        return fail (err, DFS_EDAMAGED, "%s: not an epoch", path);
    if (compare (incarnation, term, self->incarnation, self->term) > 0) {
        self->incarnation = incarnation;
        self->term = term;
    }
    return DFS_OK;
}

epoch_t *epoch_open (const char *const *dirs, size_t n, dfs_error_t *err)
{
    epoch_t *self = calloc (1, sizeof *self);
    assert (self);
    pthread_mutex_init (&self->lock, NULL);
    pthread_mutex_init (&self->disk, NULL);
    self->dirs = calloc (n ? n : 1, sizeof *self->dirs);
    assert (self->dirs);
    for (size_t i = 0; i < n; i++) {
        self->dirs[self->n++] = strdup (dirs[i]);
        if (load (self, dirs[i], err) < 0) {
            epoch_close (&self);
            return NULL;
        }
    }
    return self;
}

void epoch_close (epoch_t **self_p)
{
    epoch_t *self = *self_p;
    if (!self)
        return;
    for (size_t i = 0; i < self->n; i++)
        free (self->dirs[i]);
    free (self->dirs);
    pthread_mutex_destroy (&self->lock);
    pthread_mutex_destroy (&self->disk);
    free (self);
    *self_p = NULL;
}

void epoch_get (epoch_t *self, uint32_t *incarnation, uint64_t *term)
{
    pthread_mutex_lock (&self->lock);
    *incarnation = self->incarnation;
    *term = self->term;
    pthread_mutex_unlock (&self->lock);
}

/* Every disk gets it, one is enough: a disk that failed must not stop the others. */
static int keep (epoch_t *self, uint32_t incarnation, uint64_t term, dfs_error_t *err)
{
    char text[64];
    int len =
        snprintf (text, sizeof text, "%" PRIu32 " %" PRIu64 "\n", incarnation, term);
    size_t kept = 0;
    int rc = fail (err, DFS_EIO, "no data directory holds the epoch");
    for (size_t i = 0; i < self->n; i++) {
        char path[PATH_LEN];
        file_of (self->dirs[i], path);
        int code = io_replace (path, text, (size_t)len, 0644, err);
        if (code == DFS_OK)
            kept++;
        else {
            rc = code;
            log_warn ("epoch_not_kept", "path=%s err=%d", path, code);
        }
    }
    return kept ? DFS_OK : rc;
}

int epoch_see (epoch_t *self, uint32_t incarnation, uint64_t term, dfs_error_t *err)
{
    uint32_t seen_incarnation;
    uint64_t seen_term;
    epoch_get (self, &seen_incarnation, &seen_term);
    if (compare (incarnation, term, seen_incarnation, seen_term) == 0)
        return DFS_OK;
    pthread_mutex_lock (&self->disk);
    epoch_get (self, &seen_incarnation, &seen_term);
    int order = compare (incarnation, term, seen_incarnation, seen_term);
    int rc = DFS_OK;
    if (order < 0)
        rc = fail (err, DFS_ESTALE, "epoch %u.%" PRIu64 " is over, this is %u.%" PRIu64,
                   incarnation, term, seen_incarnation, seen_term);
    else if (order > 0)
        rc = keep (self, incarnation, term, err);
    if (order > 0 && rc == DFS_OK) {
        pthread_mutex_lock (&self->lock);
        self->incarnation = incarnation;
        self->term = term;
        pthread_mutex_unlock (&self->lock);
        log_info ("epoch", "epoch=%u.%" PRIu64, incarnation, term);
    }
    pthread_mutex_unlock (&self->disk);
    return rc;
}
