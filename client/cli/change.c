/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "tool.h"

enum kind { CHANGE_MKDIR, CHANGE_ATTRIBUTES, CHANGE_SYMLINK, CHANGE_CLONE };

typedef struct change {
    crew_job_t job;
    enum kind kind;
    int *status;
    char *path;
    char *other; /* target of a symlink, where a clone goes */
    uint32_t mode;
    uint64_t mtime_ns;
    bool replace;
    int code;
    dfs_error_t err;
} change_t;

static void run (crew_job_t *job, dfs_t *dfs)
{
    change_t *c = (change_t *)job;
    switch (c->kind) {
    case CHANGE_MKDIR:
        c->code = dfs_mkdir (dfs, c->path, c->mode, true, &c->err);
        break;
    case CHANGE_ATTRIBUTES:
        c->code = dfs_setattr (dfs, c->path, c->mode, c->mtime_ns, &c->err);
        break;
    case CHANGE_SYMLINK:
        c->code = dfs_symlink (dfs, c->other, c->path, c->replace, &c->err);
        if (c->code == 0 && c->mtime_ns != UINT64_MAX)
            c->code = dfs_setattr (dfs, c->path, UINT32_MAX, c->mtime_ns, &c->err);
        break;
    case CHANGE_CLONE:
        c->code = dfs_clone (dfs, c->path, c->other, !c->replace, &c->err);
        break;
    }
}

static void done (crew_job_t *job)
{
    change_t *c = (change_t *)job;
    if (c->code < 0) {
        c->err.code = c->code;
        tool_worst (c->status, tool_fail (c->path, &c->err));
    }
    free (c->path);
    free (c->other);
    free (c);
}

static void add (crew_t *crew, const change_t *what, const char *path,
                 const char *other)
{
    change_t *c = malloc (sizeof *c);
    assert (c);
    *c = *what;
    c->job.run = run;
    c->job.done = done;
    c->path = strdup (path);
    c->other = other ? strdup (other) : NULL;
    assert (c->path && (c->other || !other));
    crew_add (crew, &c->job);
}

void change_mkdir (crew_t *crew, int *status, const char *path, uint32_t mode)
{
    change_t c = {.kind = CHANGE_MKDIR, .status = status, .mode = mode};
    add (crew, &c, path, NULL);
}

void change_attributes (crew_t *crew, int *status, const char *path, uint32_t mode,
                        uint64_t mtime_ns)
{
    change_t c = {.kind = CHANGE_ATTRIBUTES,
                  .status = status,
                  .mode = mode,
                  .mtime_ns = mtime_ns};
    add (crew, &c, path, NULL);
}

void change_symlink (crew_t *crew, int *status, const char *target, const char *path,
                     uint64_t mtime_ns, bool replace)
{
    change_t c = {.kind = CHANGE_SYMLINK,
                  .status = status,
                  .mtime_ns = mtime_ns,
                  .replace = replace};
    add (crew, &c, path, target);
}

void change_clone (crew_t *crew, int *status, const char *from, const char *to,
                   bool no_replace)
{
    change_t c = {.kind = CHANGE_CLONE, .status = status, .replace = !no_replace};
    add (crew, &c, from, to);
}
