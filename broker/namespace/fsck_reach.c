/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "broker/namespace/fsck_checks.h"
#include "broker/namespace/tables.h"

/* Directories to go down into: inode numbers. */
struct dirs {
    uint64_t *ids;
    size_t n;
    size_t cap;
};
typedef struct dirs dirs_t;

static void push (dirs_t *stack, uint64_t id)
{
    if (stack->n == stack->cap) {
        stack->cap = stack->cap ? 2 * stack->cap : 64;
        stack->ids = realloc (stack->ids, stack->cap * sizeof *stack->ids);
        if (!stack->ids)
            abort ();
    }
    stack->ids[stack->n++] = id;
}

/* Marks DIR as reached and pushes the directories in it. */
static int reach_dir (fsck_t *f, dirs_t *stack, uint64_t dir)
{
    uint8_t key[KEY_MAX];
    MDB_cursor *cursor = table_cursor (&f->view, T_DENTRY, f->err);
    if (!cursor)
        return f->err->code;
    MDB_val k = {.mv_size = key_id (key, dir), .mv_data = key}, v;
    int rc = mdb_cursor_get (cursor, &k, &v, MDB_SET_RANGE);
    for (; rc == 0 && memcmp (k.mv_data, key, 8) == 0;
         rc = mdb_cursor_get (cursor, &k, &v, MDB_NEXT)) {
        arena_reset (f->arena);
        Dfs__RecDentry *dentry =
            dfs__rec_dentry__unpack (arena_allocator (f->arena), v.mv_size, v.mv_data);
        uint8_t id[KEY_MAX];
        if (!dentry || dentry->type != DFS__FILE_TYPE__FILE_DIRECTORY)
            continue;
        key_id (id, dentry->inode);
        if (!tally_get (f->map, TALLY_DIR, id, 8)) {
            tally_add (f->map, TALLY_DIR, id, 8, 1);
            push (stack, dentry->inode);
        }
    }
    mdb_cursor_close (cursor);
    return rc == 0 || rc == MDB_NOTFOUND ? 0 : kv_fail (f->err, rc, "dentry");
}

static void check_reached (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    const Dfs__RecInode *inode = rec;
    if (len == 8 && inode->type == DFS__FILE_TYPE__FILE_DIRECTORY &&
        !tally_get (f->map, TALLY_DIR, key, 8) &&
        !tally_get (f->map, TALLY_DETACHED, key, 8) && get64 (key) != ROOT_INODE)
        fsck_fault (f, "inode %" PRIu64 ": directory that nothing leads to",
                    get64 (key));
}

static void push_job (fsck_t *f, const uint8_t *key, size_t len, void *rec)
{
    const Dfs__RecJob *job = rec;
    (void)key;
    (void)len;
    if (job->kind == DFS__JOB_KIND__JOB_REMOVE_TREE)
        push (f->stack, job->root);
}

int fsck_reach (fsck_t *f)
{
    dirs_t stack = {0};
    f->stack = &stack;
    push (&stack, ROOT_INODE);
    int rc = fsck_each (f, T_JOB, &dfs__rec_job__descriptor, push_job);
    while (rc == 0 && stack.n)
        rc = reach_dir (f, &stack, stack.ids[--stack.n]);
    free (stack.ids);
    return rc ? rc : fsck_each (f, T_INODE, &dfs__rec_inode__descriptor, check_reached);
}
