/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/offline.h"
#include "worker/store/store.h"

int offline_dump (const cluster_node_t *node, dfs_error_t *err)
{
    int rc = DFS_OK;
    for (size_t i = 0; i < node->n_data && rc == DFS_OK; i++)
        rc = store_dump (node->data[i], stdout, err);
    return rc;
}

int offline_rebuild_index (const cluster_node_t *node, dfs_error_t *err)
{
    int rc = DFS_OK;
    for (size_t i = 0; i < node->n_data && rc == DFS_OK; i++)
        rc = store_rebuild_index (node->data[i], err);
    return rc;
}

int offline_quarantine (const cluster_node_t *node, dfs_error_t *err)
{
    int rc = DFS_OK;
    for (size_t i = 0; i < node->n_data && rc == DFS_OK; i++)
        rc = store_quarantine (node->data[i], stdout, err);
    return rc;
}

int offline_restore (const cluster_node_t *node, const char *chunk, dfs_error_t *err)
{
    bool all = strcmp (chunk, "all") == 0;
    uint64_t total = 0;
    int rc = DFS_OK;
    for (size_t i = 0; i < node->n_data && rc == DFS_OK; i++) {
        uint64_t count;
        rc = store_take_back (node->data[i], all ? NULL : chunk, &count, err);
        total += count;
    }
    if (rc == DFS_OK && total == 0 && !all)
        return fail (err, DFS_ENOENT, "%s: no such chunk in quarantine", chunk);
    if (rc == DFS_OK)
        printf ("%" PRIu64 " copies taken back\n", total);
    return rc;
}

/* The node's own spelling of DIR, or NULL. */
static const char *data_directory (const cluster_node_t *node, const char *dir)
{
    char *real = realpath (dir, NULL);
    const char *found = NULL;
    for (size_t i = 0; i < node->n_data && !found; i++) {
        char *own = realpath (node->data[i], NULL);
        if (strcmp (node->data[i], dir) == 0 || (real && own && !strcmp (real, own)))
            found = node->data[i];
        free (own);
    }
    free (real);
    return found;
}

int offline_format (const cluster_t *cluster, const cluster_node_t *node,
                    const char *dir, bool force, dfs_error_t *err)
{
    const char *own = data_directory (node, dir);
    if (!own)
        return fail (err, DFS_EUSAGE, "%s is no data directory of %s in %s", dir,
                     node->name, cluster->path);
    int rc = store_format (own, cluster->id, node->name, force, err);
    if (rc == DFS_OK)
        printf ("%s is marked: %s uses it from its next start on\n", own, node->name);
    return rc;
}
