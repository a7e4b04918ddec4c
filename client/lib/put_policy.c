/* SPDX-License-Identifier: MPL-2.0 */
/* How many copies a file will need is known by its policy: that of the file that is
 * there, else of the nearest directory above. It is looked up before anything is sent,
 * so that the put is acknowledged when all of them are there. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/lib/put.h"

typedef struct look {
    size_t item;
    char *path; /* owned: itself, then what is above it */
} look_t;

/* Cuts PATH to its parent; false when there is none. */
static bool go_up (char *path)
{
    char *slash = strrchr (path, '/');

    if (!slash || path[1] == 0)
        return false;
    slash[slash == path] = 0;
    return true;
}

/* One level of all that is not known: keeps in LOOKS what must be looked for above. */
static size_t look_once (dfs_t *dfs, look_t *looks, size_t n, uint32_t *policies)
{
    const char **paths = calloc (n, sizeof *paths);
    size_t *answer = calloc (n, sizeof *answer);
    dfs_stat_t *st = calloc (n, sizeof *st);
    int *codes = calloc (n, sizeof *codes);
    dfs_error_t err;
    size_t left = 0, asked = 0;

    assert (paths && answer && st && codes);
    for (size_t i = 0; i < n; i++) { /* many files of one directory stand together */
        if (i == 0 || strcmp (looks[i].path, paths[asked - 1]) != 0)
            paths[asked++] = looks[i].path;
        answer[i] = asked - 1;
    }
    /* What else is wrong the put itself will find. */
    dfs_stat_many (dfs, paths, asked, false, st, codes, &err);
    for (size_t i = 0; i < n; i++) {
        int code = codes[answer[i]];
        if (code == 0)
            policies[looks[i].item] = st[answer[i]].policy;
        if (code == DFS_ENOENT && go_up (looks[i].path))
            looks[left++] = looks[i];
        else
            free (looks[i].path);
    }
    for (size_t i = 0; i < asked; i++)
        dfs_stat_clear (&st[i]);
    free (answer);
    free (paths);
    free (st);
    free (codes);
    return left;
}

uint32_t *put_policies (dfs_t *dfs, const dfs_put_item_t *items, size_t n,
                        const dfs_put_options_t *options)
{
    uint32_t *policies = calloc (n ? n : 1, sizeof *policies);

    assert (policies);
    for (size_t i = 0; i < n; i++)
        policies[i] = options->policy;
    if (options->policy || !dfs || dfs->busy || dfs->pid != getpid () ||
        !conn_facts (dfs->conn)->policies)
        return policies;
    look_t *looks = calloc (n ? n : 1, sizeof *looks);
    assert (looks);
    for (size_t i = 0; i < n; i++) {
        looks[i] = (look_t){i, strdup (items[i].dest)};
        assert (looks[i].path);
    }
    size_t left = n;
    while (left > 0)
        left = look_once (dfs, looks, left, policies);
    free (looks);
    return policies;
}
