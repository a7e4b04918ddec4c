/* SPDX-License-Identifier: MPL-2.0 */
/* dfs_put: runs until no policy has changed under it. */
#include <assert.h>
#include <stdlib.h>

#include "client/lib/put.h"

#define AGAIN_MAX 3 /* times that a policy may change under a put */

/* Stores once more what more copies are asked for than when it was looked up; what is
 * there of it need not be sent. Returns the first failure of all items. */
static int put_rest (dfs_t *dfs, dfs_put_item_t *items, size_t n,
                     const dfs_put_options_t *options, int rc, dfs_error_t *err)
{
    dfs_put_options_t quiet = *options;
    dfs_put_item_t *rest = calloc (n, sizeof *rest);
    size_t *from = calloc (n, sizeof *from);
    size_t left = 0;

    assert (rest && from);
    quiet.progress = NULL; /* it is counted already */
    for (size_t i = 0; i < n; i++)
        if (items[i].code == DFS_EPOLICY && items[i].source) {
            rest[left] = items[i];
            from[left++] = i;
        }
    if (left > 0) {
        conn_ask_policies (dfs->conn);
        put_run (dfs, rest, left, &quiet, err);
        for (size_t i = 0; i < left; i++)
            items[from[i]] = rest[i];
        rc = 0;
        for (size_t i = 0; i < n && rc == 0; i++)
            if (items[i].code < 0)
                rc = fail (err, items[i].code, "%s", items[i].error.text);
    }
    free (rest);
    free (from);
    return rc;
}

int dfs_put (dfs_t *dfs, dfs_put_item_t *items, size_t n,
             const dfs_put_options_t *options, dfs_error_t *err)
{
    static const dfs_put_options_t none = {0};
    if (!options)
        options = &none;
    int rc = put_run (dfs, items, n, options, err);

    for (int i = 0; i < AGAIN_MAX && rc < 0; i++)
        rc = put_rest (dfs, items, n, options, rc, err);
    return rc;
}
