/* SPDX-License-Identifier: MPL-2.0 */
#include <dfs.h>
#include <stdio.h>

static int entry (const char *path, const dfs_stat_t *st, void *arg)
{
    (void)arg;
    printf ("%12llu %s%s\n", (unsigned long long)st->size, path,
            st->type == DFS_DIRECTORY ? "/" : "");
    return 0;
}

static int chunk (const dfs_chunk_info_t *info, void *arg)
{
    (void)arg;
    printf ("%llu: %s on", (unsigned long long)info->offset, info->id);
    for (size_t i = 0; i < info->n_replicas; i++)
        printf (" %s", info->replicas[i].name);
    printf ("\n");
    return 0;
}

/* tree DIRECTORY [FILE]: lists a directory and shows where a file is and how it begins.
 */
int main (int argc, char **argv)
{
    dfs_list_options_t recursive = {.recursive = true};
    dfs_error_t err;
    char head[16];

    dfs_t *dfs = argc > 1 ? dfs_open (NULL, &err) : NULL;
    if (!dfs)
        return 1;
    int rc = dfs_list (dfs, argv[1], &recursive, entry, NULL, &err);
    if (rc == 0 && argc > 2) {
        rc = dfs_locate (dfs, argv[2], chunk, NULL, &err);
        dfs_file_t *file = rc == 0 ? dfs_file_open (dfs, argv[2], &err) : NULL;
        if (file) {
            ssize_t n = dfs_file_read (file, head, sizeof head, 0, &err);
            if (n > 0)
                fwrite (head, 1, (size_t)n, stdout);
            dfs_file_close (&file);
        }
    }
    if (rc < 0)
        fprintf (stderr, "%s\n", err.text);
    dfs_close (&dfs);
    return dfs_error_status (rc);
}
