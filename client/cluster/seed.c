/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/io.h"
#include "common/rng.h"
#include "msgs/keys.h"
#include "msgs/mark.h"
#include "node.h"
#include "seed.h"

#define LIST_MAX (1024 * 1024)

void seed_node_text (FILE *file, const char *name, const char *host, unsigned port,
                     const char *data, const char *location)
{
    fprintf (file, "    %s\n        host = %s\n        port = %u\n        data = %s\n",
             name, host, port, data);
    if (location)
        fprintf (file, "        location = %s\n", location);
}

int seed_keys (const cluster_t *cluster, const char *role, const char *name,
               dfs_error_t *err)
{
    keypair_t pair;
    char *path = NULL;
    if (asprintf (&path, "%s/%s-%s_secret", cluster->keys_dir, role, name) < 0)
        abort ();
    int rc = 0;
    if (access (path, F_OK) == 0)
        rc = fail (err, DFS_EEXIST, "%s: exists already", path);
    else if (keys_generate (&pair) < 0)
        rc = fail (err, DFS_ESYS, "no CURVE key can be made: libzmq was built without");
    else
        rc = keys_save (cluster->keys_dir, role, name, &pair, err);
    explicit_bzero (&pair, sizeof pair);
    free (path);
    return rc;
}

/* run/NAME.marks lists the directories that were marked once. */
static bool was_marked (const char *list, const char *dir)
{
    size_t len = strlen (dir);
    for (const char *p = list; p && *p;) {
        size_t n = strcspn (p, "\n");
        if (n == len && memcmp (p, dir, n) == 0)
            return true;
        p += n + (p[n] == '\n');
    }
    return false;
}

/* Nothing in it, or not there; what a new file system has by itself does not count. */
static bool is_empty (const char *path)
{
    DIR *dir = opendir (path);
    struct dirent *entry;
    bool empty = dir || errno == ENOENT;
    while (dir && empty && (entry = readdir (dir)))
        empty = strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0 ||
                strcmp (entry->d_name, "lost+found") == 0;
    if (dir)
        closedir (dir);
    return empty;
}

static int mark_one (const char *dir, const mark_t *mark, bool before, bool again,
                     dfs_error_t *err)
{
    mark_t old;
    dfs_error_t why = {0};
    int rc = mark_expect (dir, mark->cluster_id, mark->role, mark->node, &old, &why);
    if (rc == 0)
        return 0;
    if (rc == DFS_ENOTMARKED && before && again && !is_empty (dir))
        return fail (err, DFS_ENOTEMPTY, "%s: is not empty", dir);
    if (rc != DFS_ENOTMARKED || (before && !again))
        return fail (err, why.code, "%s", why.text);
    return mark_create (dir, mark, err);
}

int seed_marks (const cluster_t *cluster, const char *role, const cluster_node_t *node,
                bool again, dfs_error_t *err)
{
    mark_t mark = {.format = MARK_FORMAT};
    memcpy (mark.cluster_id, cluster->id, sizeof mark.cluster_id);
    snprintf (mark.role, sizeof mark.role, "%s", role);
    snprintf (mark.node, sizeof mark.node, "%s", node->name);
    char *path = node_path (cluster->run_dir, node->name, ".marks"), *fresh = NULL;
    void *list = NULL;
    size_t len = 0;
    int rc = mkdir (cluster->run_dir, 0755) < 0 && errno != EEXIST
                 ? fail_errno (err, "make directory %s", cluster->run_dir)
                 : 0;
    if (rc == 0 && access (path, F_OK) == 0)
        rc = io_slurp (path, LIST_MAX, &list, &len, err);
    FILE *file = open_memstream (&fresh, &len);
    assert (file);
    for (size_t i = 0; rc == 0 && i < node->n_data; i++) {
        rng_secret (mark.disk_id, sizeof mark.disk_id);
        rc = mark_one (node->data[i], &mark, was_marked (list, node->data[i]), again,
                       err);
        fprintf (file, "%s\n", node->data[i]);
    }
    fclose (file);
    if (rc == 0 && (!list || strcmp (list, fresh)))
        rc = io_replace (path, fresh, len, 0644, err);
    free (fresh);
    free (list);
    free (path);
    return rc;
}

cluster_t *seed_try (const char *path, const char *text, dfs_error_t *err)
{
    char *draft = NULL;
    if (asprintf (&draft, "%s.try%d", path, (int)getpid ()) < 0)
        abort ();
    cluster_t *cluster = NULL;
    dfs_error_t why = {0};
    if (io_replace (draft, text, strlen (text), 0644, err) == 0) {
        cluster = cluster_load (draft, &why);
        unlink (draft);
        if (cluster) {
            free (cluster->path);
            cluster->path = strdup (path);
            assert (cluster->path);
        } else {
            const char *reason = why.text;
            size_t len = strlen (draft);
            if (strncmp (reason, draft, len) == 0) {
                reason += len + 1;
                reason += strspn (reason, "0123456789: ");
            }
            fail (err, why.code, "%s", reason);
        }
    }
    free (draft);
    return cluster;
}

int seed_commit (const char *path, const char *text, bool replace, dfs_error_t *err)
{
    if (replace)
        return io_replace (path, text, strlen (text), 0644, err);
    char *draft = NULL;
    if (asprintf (&draft, "%s.new%d", path, (int)getpid ()) < 0)
        abort ();
    int rc = io_replace (draft, text, strlen (text), 0644, err);
    if (rc == 0) {
        /* link (2), not rename: never over a file that came meanwhile. */
        if (link (draft, path) < 0)
            rc = fail_errno (err, "%s", path);
        unlink (draft);
    }
    free (draft);
    return rc;
}
