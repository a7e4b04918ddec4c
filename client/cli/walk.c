/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "paths.h"
#include "walk.h"

typedef struct level {
    DIR *dir;
    char *path;
    struct stat st;
    struct level *up;
} level_t;

typedef struct walker {
    const walk_visitor_t *v;
    size_t root_len; /* of the root's path with its slash */
    level_t *top;
} walker_t;

static const char *relative (const walker_t *w, const char *path)
{
    return strlen (path) > w->root_len ? path + w->root_len : "";
}

static int pop (walker_t *w, bool tell)
{
    level_t *level = w->top;
    int rc = 0;
    closedir (level->dir);
    w->top = level->up;
    if (tell)
        rc =
            w->v->leave (w->v->arg, level->path, relative (w, level->path), &level->st);
    free (level->path);
    free (level);
    return rc;
}

/* Opens PATH (taken) and tells of it. FD is of the directory above, or AT_FDCWD. */
static int push (walker_t *w, int fd, const char *name, char *path,
                 const struct stat *st)
{
    /* O_NOFOLLOW: what was a directory may have become a symlink. */
    int own = openat (fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = own < 0 ? NULL : fdopendir (own);
    if (!dir) {
        w->v->trouble (w->v->arg, path, errno);
        if (own >= 0)
            close (own);
        free (path);
        return 0;
    }
    level_t *level = calloc (1, sizeof *level);
    assert (level);
    *level = (level_t){dir, path, *st, w->top};
    w->top = level;
    int rc = w->v->enter (w->v->arg, path, relative (w, path), st);
    return rc == WALK_SKIP ? pop (w, false) : rc;
}

static int visit (walker_t *w, const char *name)
{
    struct stat st;
    int fd = dirfd (w->top->dir);
    char *path = path_join (w->top->path, name);
    int rc = 0;
    if (fstatat (fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        /* Gone since: as if it had never been there. */
        if (errno != ENOENT)
            w->v->trouble (w->v->arg, path, errno);
    } else if (S_ISDIR (st.st_mode))
        return push (w, fd, name, path, &st);
    else
        rc = w->v->item (w->v->arg, path, relative (w, path), &st);
    free (path);
    return rc;
}

int walk (const char *root, const walk_visitor_t *visitor)
{
    walker_t w = {.v = visitor};
    struct stat st;
    char *path = strdup (root);
    assert (path);
    /* "dir/" is the directory, also when it is a symlink to it. */
    size_t len = strlen (path);
    int rc = lstat (root, &st);
    while (len > 1 && path[len - 1] == '/')
        path[--len] = 0;
    w.root_len = len + (path[len - 1] != '/');
    if (rc < 0) {
        visitor->trouble (visitor->arg, root, errno);
        free (path);
        return 0;
    }
    if (!S_ISDIR (st.st_mode)) {
        rc = visitor->item (visitor->arg, path, "", &st);
        free (path);
        return rc;
    }
    char *name = path_join (root, path_means_directory (root) ? "." : "");
    rc = push (&w, AT_FDCWD, name, path, &st);
    free (name);
    while (rc == 0 && w.top) {
        errno = 0;
        const struct dirent *entry = readdir (w.top->dir);
        if (entry) {
            if (strcmp (entry->d_name, ".") && strcmp (entry->d_name, ".."))
                rc = visit (&w, entry->d_name);
        } else {
            if (errno)
                visitor->trouble (visitor->arg, w.top->path, errno);
            rc = pop (&w, true);
        }
    }
    while (w.top)
        pop (&w, false);
    return rc;
}
