/* SPDX-License-Identifier: MPL-2.0 */
/* What a worker leaves in run/ for who starts it: no broker lets it in. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cluster.h"
#include "common/io.h"

#define REFUSED_MAX 1024

static char *path_of (const cluster_t *self, const char *node)
{
    char *path = NULL;
    if (asprintf (&path, "%s/%s.refused", self->run_dir, node) < 0)
        abort ();
    return path;
}

int cluster_refused_write (const cluster_t *self, const char *node, const char *text,
                           dfs_error_t *err)
{
    char *path = path_of (self, node);
    char whole[REFUSED_MAX];
    snprintf (whole, sizeof whole, "pid %d\n%.500s\n", (int)getpid (), text);
    int rc = io_replace (path, whole, strlen (whole), 0644, err);
    free (path);
    return rc;
}

void cluster_refused_remove (const cluster_t *self, const char *node)
{
    char *path = path_of (self, node);
    unlink (path);
    free (path);
}

bool cluster_refused_read (const cluster_t *self, const char *node, int pid, char *text,
                           size_t cap)
{
    char *path = path_of (self, node);
    void *whole = NULL;
    size_t len = 0;
    int writer = 0, used = 0;
    bool found = io_slurp (path, REFUSED_MAX, &whole, &len, NULL) == 0 &&
                 sscanf (whole, "pid %d\n%n", &writer, &used) == 1 && used > 0 &&
                 writer == pid;
    if (found) {
        const char *line = (const char *)whole + used;
        snprintf (text, cap, "%.*s", (int)strcspn (line, "\n"), line);
    }
    free (whole);
    free (path);
    return found;
}
