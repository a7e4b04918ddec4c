/* SPDX-License-Identifier: MPL-2.0 */
/* Walks a tree of the local file system without following symlinks, in memory that does
 * not grow with the number of files. One thread. */
#ifndef CLI_WALK_H
#define CLI_WALK_H

#include <sys/stat.h>

#include "common/error.h"

#define WALK_SKIP 2

typedef struct walk_visitor {
    /* PATH as the local file system has it, REL below the root ("" for the root
     * itself); borrowed. Non-zero ends the walk and is returned; WALK_SKIP from enter
     * only leaves this directory out, without a leave. */
    int (*enter) (void *arg, const char *path, const char *rel, const struct stat *st);
    /* After everything in it. */
    int (*leave) (void *arg, const char *path, const char *rel, const struct stat *st);
    /* Anything that is not a directory. */
    int (*item) (void *arg, const char *path, const char *rel, const struct stat *st);
    /* What cannot be read; the walk goes on. */
    void (*trouble) (void *arg, const char *path, int errnum);
    void *arg;
} walk_visitor_t;

int walk (const char *root, const walk_visitor_t *visitor);

#endif
