/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "common/log.h"
#include "msgs/control.pb-c.h"
#include "msgs/keys.h"
#include "msgs/sock.h"
#include "worker/links/access.h"

enum { KEYS_MAX = 65536 };

typedef struct entry {
    uint8_t key[32];
    int role;
    char name[64];
} entry_t;

struct access {
    char *dir;
    zap_t *zap;
    directory_t *directory;
    struct timespec changed; /* of the directory, as last read for good */
    struct timespec warned;  /* of the directory: what cannot be read was told */
    entry_t *files;
    size_t n_files;
    entry_t *let_in; /* what ZAP has now */
    size_t n_let_in;
};

access_t *access_new (const char *keys_dir, zap_t *zap, directory_t *directory)
{
    access_t *self = calloc (1, sizeof *self);
    assert (self);
    self->dir = strdup (keys_dir ? keys_dir : "");
    self->zap = zap;
    self->directory = directory;
    return self;
}

void access_destroy (access_t **self_p)
{
    access_t *self = *self_p;
    if (!self)
        return;
    free (self->dir);
    free (self->files);
    free (self->let_in);
    free (self);
    *self_p = NULL;
}

/* "user-NAME" and "worker-NAME" are public keys; "…_secret" are not ours to read. */
static bool parse (const char *file, char role[16], int *number, const char **name)
{
    static const struct {
        const char *role;
        int number;
    } roles[] = {{"user", DFS__ROLE__ROLE_CLIENT}, {"worker", DFS__ROLE__ROLE_WORKER}};
    size_t len = strlen (file);
    if (len > 7 && strcmp (file + len - 7, "_secret") == 0)
        return false;
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++) {
        size_t n = strlen (roles[i].role);
        if (strncmp (file, roles[i].role, n) == 0 && file[n] == '-' && file[n + 1]) {
            strcpy (role, roles[i].role);
            *number = roles[i].number;
            *name = file + n + 1;
            return true;
        }
    }
    return false;
}

static bool same_time (const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

/* What comes into the directory within the same tick of its clock does not change its
 * time. */
static bool is_settled (const struct timespec *changed)
{
    struct timespec now;
    clock_gettime (CLOCK_REALTIME, &now);
    return now.tv_sec > changed->tv_sec + 1;
}

static void read_files (access_t *self)
{
    struct stat st;
    if (stat (self->dir, &st) != 0 || same_time (&st.st_mtim, &self->changed))
        return;
    bool whole = is_settled (&st.st_mtim);
    bool warn = !same_time (&st.st_mtim, &self->warned);
    DIR *dir = opendir (self->dir);
    if (!dir)
        return;
    self->n_files = 0;
    const struct dirent *d;
    while ((d = readdir (dir)) && self->n_files < KEYS_MAX) {
        char role[16];
        int number;
        const char *name;
        keypair_t pair;
        dfs_error_t err = {0};
        if (!parse (d->d_name, role, &number, &name))
            continue;
        if (keys_load_public (self->dir, role, name, &pair, &err) < 0) {
            if (warn)
                log_warn ("key_unreadable", "err=%d text=\"%s\"", err.code, err.text);
            self->warned = st.st_mtim;
            whole = false; /* it may be on its way: looked at again */
            continue;
        }
        self->files = realloc (self->files, (self->n_files + 1) * sizeof *self->files);
        assert (self->files);
        entry_t *entry = &self->files[self->n_files++];
        memcpy (entry->key, pair.public_key, 32);
        entry->role = number;
        snprintf (entry->name, sizeof entry->name, "%s", name);
    }
    closedir (dir);
    if (whole)
        self->changed = st.st_mtim;
}

static bool has (const entry_t *entries, size_t n, const entry_t *entry)
{
    for (size_t i = 0; i < n; i++)
        if (entries[i].role == entry->role &&
            memcmp (entries[i].key, entry->key, 32) == 0)
            return true;
    return false;
}

void access_refresh (access_t *self)
{
    const char *domain = sock_domain (SOCK_INGEST);
    read_files (self);
    member_t *members = calloc (DIRECTORY_MEMBERS, sizeof *members);
    assert (members);
    size_t n_members = directory_members (self->directory, members, DIRECTORY_MEMBERS);
    entry_t *next = calloc (self->n_files + n_members + 1, sizeof *next);
    assert (next);
    size_t n = 0;
    for (size_t i = 0; i < self->n_files; i++)
        next[n++] = self->files[i];
    for (size_t i = 0; i < n_members; i++) {
        if (!members[i].has_key)
            continue;
        entry_t entry = {.role = DFS__ROLE__ROLE_WORKER};
        memcpy (entry.key, members[i].key, 32);
        memcpy (entry.name, members[i].name, sizeof entry.name);
        if (!has (next, n, &entry))
            next[n++] = entry;
    }
    free (members);
    for (size_t i = 0; i < self->n_let_in; i++)
        if (!has (next, n, &self->let_in[i]))
            zap_forbid (self->zap, domain, self->let_in[i].key);
    for (size_t i = 0; i < n; i++)
        if (!has (self->let_in, self->n_let_in, &next[i]))
            zap_allow (self->zap, domain, next[i].key, next[i].role, next[i].name);
    free (self->let_in);
    self->let_in = next;
    self->n_let_in = n;
}
