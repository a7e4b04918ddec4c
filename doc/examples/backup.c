/* SPDX-License-Identifier: MPL-2.0 */
#include <dfs.h>
#include <stdio.h>

static int show (const dfs_progress_t *p, void *arg)
{
    fprintf (stderr, "\r%s: %llu bytes", (const char *)arg,
             (unsigned long long)p->bytes);
    return 0;
}

/* backup LOCAL REMOTE COPY: stores LOCAL as REMOTE and fetches it again as COPY. */
int main (int argc, char **argv)
{
    dfs_error_t err;
    char stored[] = "stored";

    if (argc != 4)
        return 2;
    dfs_t *dfs = dfs_open (NULL, &err);
    if (!dfs) {
        fprintf (stderr, "%s\n", err.text);
        return dfs_error_status (err.code);
    }
    dfs_put_item_t put = {.source = argv[1],
                          .fd = -1,
                          .dest = argv[2],
                          .mode = UINT32_MAX,
                          .mtime_ns = UINT64_MAX};
    dfs_put_options_t options = {.flags =
                                     DFS_PUT_CREATE | DFS_PUT_REPLACE | DFS_PUT_PARENTS,
                                 .progress = show,
                                 .progress_arg = stored};
    int rc = dfs_put (dfs, &put, 1, &options, &err);
    if (rc == 0) {
        printf ("\n%s is version %llu, %u copies\n", put.dest,
                (unsigned long long)put.version, put.copies);
        dfs_get_item_t get = {.source = argv[2],
                              .dest = argv[3],
                              .fd = -1,
                              .length = UINT64_MAX,
                              .keep_attributes = true};
        rc = dfs_get (dfs, &get, 1, NULL, &err);
    }
    if (rc < 0)
        fprintf (stderr, "%s: %s\n", argv[2], err.text);
    dfs_close (&dfs);
    return dfs_error_status (rc);
}
