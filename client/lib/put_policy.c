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
static size_t look_once (dfs_t *dfs, look_t *looks, size_t n, put_policy_t *policies,
                         dfs_error_t *err)
{
    const char **paths = calloc (n, sizeof *paths);
    size_t *answer = calloc (n, sizeof *answer);
    dfs_stat_t *st = calloc (n, sizeof *st);
    int *codes = calloc (n, sizeof *codes);
    size_t left = 0, asked = 0;

    assert (paths && answer && st && codes);
    for (size_t i = 0; i < n; i++) { /* many files of one directory stand together */
        if (i == 0 || strcmp (looks[i].path, paths[asked - 1]) != 0)
            paths[asked++] = looks[i].path;
        answer[i] = asked - 1;
    }
    dfs_stat_many (dfs, paths, asked, false, st, codes, err);
    err->code = DFS_OK;
    for (size_t i = 0; i < n; i++) {
        int code = codes[answer[i]];
        if (code == 0)
            policies[looks[i].item] =
                (put_policy_t){st[answer[i]].policy, st[answer[i]].replicas};
        else if (dfs_error_status (code) == dfs_error_status (DFS_EUNAVAIL))
            err->code = code; /* what else is wrong the put itself will find */
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

int put_policies (dfs_t *dfs, const dfs_put_item_t *items, size_t n,
                  const dfs_put_options_t *options, put_policy_t **policies,
                  dfs_error_t *err)
{
    put_policy_t *list = *policies = calloc (n ? n : 1, sizeof *list);
    dfs_error_t local = {0};

    assert (list);
    for (size_t i = 0; i < n; i++)
        list[i] = (put_policy_t){options->policy, options->replicas};
    if (options->policy || !dfs || dfs->busy || dfs->pid != getpid ())
        return 0;
    for (size_t i = 0; i < n; i++)
        list[i].replicas = conn_facts (dfs->conn)->replicas;
    if (!conn_facts (dfs->conn)->policies)
        return 0;
    look_t *looks = calloc (n ? n : 1, sizeof *looks);
    assert (looks);
    for (size_t i = 0; i < n; i++) {
        looks[i] = (look_t){i, strdup (items[i].dest)};
        assert (looks[i].path);
    }
    size_t left = n;
    while (left > 0 && local.code == DFS_OK)
        left = look_once (dfs, looks, left, list, &local);
    for (size_t i = 0; i < left; i++)
        free (looks[i].path);
    free (looks);
    return local.code ? fail (err, local.code, "%s", local.text) : 0;
}
