/* SPDX-License-Identifier: MPL-2.0 */
/* A namespace in a temporary directory, and short words for operations on it. */
#ifndef T_UNIT_NS_FIXTURE_H
#define T_UNIT_NS_FIXTURE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "broker/namespace/namespace.h"

#define SECOND 1000000000ULL

typedef struct ns_fixture {
    char dir[64];
    namespace_t *ns;
    arena_t *arena; /* of entries and results: reset by ns_reset */
    uint64_t time;
    uint64_t session; /* 0: none */
    uint64_t request; /* the next one */
    uint64_t done_below;
} ns_fixture_t;

int ns_setup (void **state);    /* seeded: policies 1 (2 copies) and 2 (3 copies) */
int ns_teardown (void **state); /* fsck must be clean */
void ns_make (ns_fixture_t *fx);
void ns_unmake (ns_fixture_t *fx);
void ns_reopen (ns_fixture_t *fx, bool crash);
void ns_seed (ns_fixture_t *fx);
/* Number of faults that fsck finds; they are printed. */
int ns_faults (ns_fixture_t *fx);

/* Applies OP as the next entry, a second later. */
Dfs__OpResult *ns_apply (ns_fixture_t *fx, Dfs__Op *op);
Dfs__OpResult *ns_apply_entry (ns_fixture_t *fx, Dfs__Entry *entry);
int ns_code (const Dfs__OpResult *result);

/* Extents for TAGS: a letter is a chunk of 1000 bytes named by it, '.' a hole of 1000,
 * a digit an inline content of 10 bytes. */
size_t ns_extents (ns_fixture_t *fx, const char *tags, uint64_t offset,
                   Dfs__Extent ***out, uint64_t *size);
void ns_digest (char tag, uint8_t digest[32]);
/* The inline contents for the digits in TAGS. */
size_t ns_inlines (ns_fixture_t *fx, const char *tags, Dfs__InlineData ***out);

/* Operations; each returns the code. HOW of put: c create, r replace, a append, p make
 * parents, i with inline contents. */
Dfs__OpCommit *ns_commit_op (ns_fixture_t *fx, const char *how, const char *path,
                             const char *tags);
Dfs__OpResult *ns_commit (ns_fixture_t *fx, Dfs__OpCommit *commit);
int ns_put (ns_fixture_t *fx, const char *how, const char *path, const char *tags);
int ns_mkdir (ns_fixture_t *fx, const char *path);
int ns_rmdir (ns_fixture_t *fx, const char *path);
int ns_rm (ns_fixture_t *fx, const char *path);
Dfs__OpResult *ns_rm_tree (ns_fixture_t *fx, const char *path);
int ns_mv (ns_fixture_t *fx, const char *from, const char *to);
int ns_cp (ns_fixture_t *fx, const char *from, const char *to);
int ns_symlink (ns_fixture_t *fx, const char *target, const char *path);
int ns_link (ns_fixture_t *fx, const char *from, const char *to);
Dfs__OpResult *ns_prune (ns_fixture_t *fx, uint64_t up_to, uint32_t max);
Dfs__OpResult *ns_step (ns_fixture_t *fx, uint64_t job, uint32_t max);
Dfs__OpResult *ns_stage (ns_fixture_t *fx, uint64_t upload, uint32_t page,
                         const char *tags, uint64_t offset, uint32_t policy);

/* NULL when there is none. */
Dfs__Attr *ns_stat (ns_fixture_t *fx, const char *path);
int ns_stat_code (ns_fixture_t *fx, const char *path);
/* The extents of PATH in the form of ns_extents. */
const char *ns_content (ns_fixture_t *fx, const char *path);
const char *ns_content_of (ns_fixture_t *fx, uint64_t inode, uint64_t version);
uint64_t ns_refs (ns_fixture_t *fx, char tag);
void ns_text (ProtobufCBinaryData *out, const char *text);

#define assert_ok(code) assert_string_equal (dfs_error_name (code), "DFS_OK")
#define assert_code(code, want)                                                        \
    assert_string_equal (dfs_error_name (code), dfs_error_name (want))

#endif
