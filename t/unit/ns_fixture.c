/* SPDX-License-Identifier: MPL-2.0 */
#include "ns_fixture.h"

#include <ctype.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "broker/namespace/fsck.h"
#include "broker/namespace/state.h"

static int remove_one (const char *path, const struct stat *st, int type,
                       struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove (path);
}

static void print_fault (const char *fault, void *arg)
{
    (void)arg;
    print_message ("# fsck: %s\n", fault);
}

int ns_faults (ns_fixture_t *fx)
{
    dfs_error_t err = {0};
    ns_reopen (fx, false);
    namespace_close (&fx->ns);
    int n = namespace_fsck (fx->dir, print_fault, NULL, &err);
    if (n < 0)
        print_message ("# fsck: %s\n", err.text);
    fx->ns = namespace_open (fx->dir, &err);
    assert_non_null (fx->ns);
    return n;
}

void ns_make (ns_fixture_t *fx)
{
    memset (fx, 0, sizeof *fx);
    strcpy (fx->dir, "/tmp/dfs-ns-XXXXXX");
    assert_non_null (mkdtemp (fx->dir));
    fx->arena = arena_new (256 * 1024 * 1024);
    fx->time = 1000 * SECOND;
    fx->request = 1;
    dfs_error_t err;
    fx->ns = namespace_open (fx->dir, &err);
    assert_non_null (fx->ns);
}

void ns_unmake (ns_fixture_t *fx)
{
    namespace_close (&fx->ns);
    arena_destroy (&fx->arena);
    nftw (fx->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int ns_setup (void **state)
{
    ns_fixture_t *fx = calloc (1, sizeof *fx);
    ns_make (fx);
    ns_seed (fx);
    *state = fx;
    return 0;
}

int ns_teardown (void **state)
{
    ns_fixture_t *fx = *state;
    int faults = ns_faults (fx);
    ns_unmake (fx);
    free (fx);
    return faults;
}

void ns_reopen (ns_fixture_t *fx, bool crash)
{
    dfs_error_t err;
    if (crash)
        namespace_abandon (&fx->ns);
    else
        namespace_close (&fx->ns);
    fx->ns = namespace_open (fx->dir, &err);
    assert_non_null (fx->ns);
}

void ns_text (ProtobufCBinaryData *out, const char *text)
{
    union {
        const char *in;
        uint8_t *out;
    } p = {.in = text};
    out->data = p.out;
    out->len = strlen (text);
}

Dfs__OpResult *ns_apply_entry (ns_fixture_t *fx, Dfs__Entry *entry)
{
    dfs_error_t err = {0};
    size_t len = dfs__entry__get_packed_size (entry);
    uint8_t *data = malloc (len);
    dfs__entry__pack (entry, data);
    Dfs__OpResult *result = NULL;
    int rc = namespace_apply (fx->ns, namespace_applied (fx->ns) + 1, 1, data, len,
                              fx->arena, &result, &err);
    free (data);
    if (rc < 0)
        print_message ("# apply: %s: %s\n", dfs_error_name (rc), err.text);
    assert_int_equal (rc, 0);
    return result;
}

Dfs__OpResult *ns_apply (ns_fixture_t *fx, Dfs__Op *op)
{
    Dfs__Entry entry = DFS__ENTRY__INIT;
    entry.version = 1;
    entry.time_ns = fx->time += SECOND;
    entry.op = op;
    if (fx->session) {
        set_field (&entry, session, fx->session);
        set_field (&entry, request, fx->request++);
        set_field (&entry, done_below, fx->done_below);
    }
    return ns_apply_entry (fx, &entry);
}

int ns_code (const Dfs__OpResult *result)
{
    return result->has_code ? result->code : 0;
}

void ns_seed (ns_fixture_t *fx)
{
    Dfs__Policy one = DFS__POLICY__INIT, two = DFS__POLICY__INIT;
    one.id = 1;
    one.replicas = 2;
    one.min_replicas = 2;
    one.chunk_size = 4 << 20;
    two = one;
    two.id = 2;
    two.replicas = 3;
    Dfs__Policy *policies[] = {&one, &two};
    Dfs__Member member = DFS__MEMBER__INIT;
    member.id = 1;
    member.role = DFS__MEMBER_ROLE__MEMBER_WORKER;
    member.name = (char[]){"w1"};
    member.host = (char[]){"127.0.0.1"};
    Dfs__Member *members[] = {&member};
    Dfs__User user = DFS__USER__INIT;
    user.id = 7;
    user.name = (char[]){"ada"};
    Dfs__User *users[] = {&user};
    Dfs__OpSeed seed = DFS__OP_SEED__INIT;
    uint8_t id[16] = "cluster-identity";
    seed.cluster_id.data = id;
    seed.cluster_id.len = 16;
    seed.name = (char[]){"test"};
    seed.feature_level = 1;
    seed.incarnation = 1;
    seed.n_policies = 2;
    seed.policies = policies;
    seed.n_members = 1;
    seed.members = members;
    seed.n_users = 1;
    seed.users = users;
    set_field (&seed, inline_max, 100);
    set_field (&seed, inline_budget, 55);
    Dfs__Op op = DFS__OP__INIT;
    op.op_case = DFS__OP__OP_SEED;
    op.seed = &seed;
    assert_ok (ns_code (ns_apply (fx, &op)));
}

static size_t inline_bytes (char tag, uint8_t out[10])
{
    memset (out, tag, 10);
    return 10;
}

void ns_digest (char tag, uint8_t digest[32])
{
    uint8_t bytes[10];
    if (isdigit (tag))
        digest_sha256 (bytes, inline_bytes (tag, bytes), digest);
    else
        digest_sha256 (&tag, 1, digest);
}

size_t ns_extents (ns_fixture_t *fx, const char *tags, uint64_t offset,
                   Dfs__Extent ***out, uint64_t *size)
{
    size_t n = strlen (tags);
    uint64_t start = offset;
    *out = arena_alloc (fx->arena, n * sizeof **out + 1);
    for (size_t i = 0; i < n; i++) {
        Dfs__Extent *e = (*out)[i] = arena_alloc (fx->arena, sizeof *e);
        dfs__extent__init (e);
        e->offset = offset;
        e->length = isdigit (tags[i]) ? 10 : 1000;
        e->kind = tags[i] == '.'      ? DFS__EXTENT_KIND__EXTENT_HOLE
                  : isdigit (tags[i]) ? DFS__EXTENT_KIND__EXTENT_INLINE
                                      : DFS__EXTENT_KIND__EXTENT_CHUNK;
        offset += e->length;
        if (tags[i] == '.')
            continue;
        e->has_digest = 1;
        e->digest.len = 32;
        e->digest.data = arena_alloc (fx->arena, 32);
        ns_digest (tags[i], e->digest.data);
        set_field (e, chunk_length, e->length);
    }
    *size = offset - start;
    return n;
}

size_t ns_inlines (ns_fixture_t *fx, const char *tags, Dfs__InlineData ***out)
{
    size_t n = 0;
    *out = arena_alloc (fx->arena, (strlen (tags) + 1) * sizeof **out);
    for (; *tags; tags++) {
        if (!isdigit (*tags))
            continue;
        Dfs__InlineData *inl = (*out)[n++] = arena_alloc (fx->arena, sizeof *inl);
        dfs__inline_data__init (inl);
        inl->digest.len = 32;
        inl->digest.data = arena_alloc (fx->arena, 32);
        ns_digest (*tags, inl->digest.data);
        inl->data.data = arena_alloc (fx->arena, 10);
        inl->data.len = inline_bytes (*tags, inl->data.data);
    }
    return n;
}

Dfs__OpCommit *ns_commit_op (ns_fixture_t *fx, const char *how, const char *path,
                             const char *tags)
{
    Dfs__OpCommit *c = arena_alloc (fx->arena, sizeof *c);
    dfs__op_commit__init (c);
    ns_text (&c->path, path);
    if (strchr (how, 'c'))
        set_field (c, create, 1);
    if (strchr (how, 'r'))
        set_field (c, replace, 1);
    if (strchr (how, 'a'))
        set_field (c, append, 1);
    if (strchr (how, 'p'))
        set_field (c, make_parents, 1);
    c->n_extents = ns_extents (fx, tags, 0, &c->extents, &c->size);
    if (strchr (how, 'i'))
        c->n_inline_ = ns_inlines (fx, tags, &c->inline_);
    return c;
}

Dfs__OpResult *ns_commit (ns_fixture_t *fx, Dfs__OpCommit *commit)
{
    Dfs__Op op = DFS__OP__INIT;
    op.op_case = DFS__OP__OP_COMMIT;
    op.commit = commit;
    return ns_apply (fx, &op);
}

int ns_put (ns_fixture_t *fx, const char *how, const char *path, const char *tags)
{
    return ns_code (ns_commit (fx, ns_commit_op (fx, how, path, tags)));
}

/* An operation named KIND on PATH (and TO). */
#define BEGIN(KIND, type, field)                                                       \
    Dfs__Op op = DFS__OP__INIT;                                                        \
    type what;                                                                         \
    op.op_case = DFS__OP__OP_##KIND;                                                   \
    op.field = &what

int ns_mkdir (ns_fixture_t *fx, const char *path)
{
    BEGIN (MKDIR, Dfs__OpMkdir, mkdir);
    dfs__op_mkdir__init (&what);
    ns_text (&what.path, path);
    return ns_code (ns_apply (fx, &op));
}

int ns_rmdir (ns_fixture_t *fx, const char *path)
{
    BEGIN (RMDIR, Dfs__OpRmdir, rmdir);
    dfs__op_rmdir__init (&what);
    ns_text (&what.path, path);
    return ns_code (ns_apply (fx, &op));
}

int ns_rm (ns_fixture_t *fx, const char *path)
{
    BEGIN (UNLINK, Dfs__OpUnlink, unlink);
    dfs__op_unlink__init (&what);
    ns_text (&what.path, path);
    return ns_code (ns_apply (fx, &op));
}

Dfs__OpResult *ns_rm_tree (ns_fixture_t *fx, const char *path)
{
    BEGIN (UNLINK, Dfs__OpUnlink, unlink);
    dfs__op_unlink__init (&what);
    ns_text (&what.path, path);
    set_field (&what, recursive, 1);
    return ns_apply (fx, &op);
}

int ns_mv (ns_fixture_t *fx, const char *from, const char *to)
{
    BEGIN (RENAME, Dfs__OpRename, rename);
    dfs__op_rename__init (&what);
    ns_text (&what.from, from);
    ns_text (&what.to, to);
    return ns_code (ns_apply (fx, &op));
}

int ns_cp (ns_fixture_t *fx, const char *from, const char *to)
{
    BEGIN (CLONE, Dfs__OpClone, clone);
    dfs__op_clone__init (&what);
    ns_text (&what.from, from);
    ns_text (&what.to, to);
    return ns_code (ns_apply (fx, &op));
}

int ns_symlink (ns_fixture_t *fx, const char *target, const char *path)
{
    BEGIN (SYMLINK, Dfs__OpSymlink, symlink);
    dfs__op_symlink__init (&what);
    ns_text (&what.path, path);
    ns_text (&what.target, target);
    return ns_code (ns_apply (fx, &op));
}

int ns_link (ns_fixture_t *fx, const char *from, const char *to)
{
    BEGIN (LINK, Dfs__OpLink, link);
    dfs__op_link__init (&what);
    ns_text (&what.from, from);
    ns_text (&what.to, to);
    return ns_code (ns_apply (fx, &op));
}

Dfs__OpResult *ns_prune (ns_fixture_t *fx, uint64_t up_to, uint32_t max)
{
    BEGIN (PRUNE, Dfs__OpPrune, prune);
    dfs__op_prune__init (&what);
    what.up_to_time_ns = up_to;
    what.max_records = max;
    return ns_apply (fx, &op);
}

Dfs__OpResult *ns_step (ns_fixture_t *fx, uint64_t job, uint32_t max)
{
    BEGIN (JOB_STEP, Dfs__OpJobStep, job_step);
    dfs__op_job_step__init (&what);
    what.job = job;
    what.max_records = max;
    return ns_apply (fx, &op);
}

Dfs__OpResult *ns_stage (ns_fixture_t *fx, uint64_t upload, uint32_t page,
                         const char *tags, uint64_t offset, uint32_t policy)
{
    BEGIN (STAGE, Dfs__OpStage, stage);
    dfs__op_stage__init (&what);
    uint64_t size;
    what.upload = upload;
    what.page = page;
    what.n_extents = ns_extents (fx, tags, offset, &what.extents, &size);
    what.n_inline_ = ns_inlines (fx, tags, &what.inline_);
    if (policy)
        set_field (&what, policy, policy);
    return ns_apply (fx, &op);
}

Dfs__Attr *ns_stat (ns_fixture_t *fx, const char *path)
{
    Dfs__Attr *attr = NULL;
    int rc =
        namespace_stat (fx->ns, path, strlen (path), false, fx->arena, &attr, NULL);
    return rc < 0 ? NULL : attr;
}

int ns_stat_code (ns_fixture_t *fx, const char *path)
{
    Dfs__Attr *attr;
    return namespace_stat (fx->ns, path, strlen (path), true, fx->arena, &attr, NULL);
}

static char tag_of (const Dfs__Extent *e)
{
    uint8_t digest[32];
    if (e->kind == DFS__EXTENT_KIND__EXTENT_HOLE)
        return '.';
    for (char tag = '0'; tag <= 'z'; tag++) {
        ns_digest (tag, digest);
        if (memcmp (digest, e->digest.data, 32) == 0)
            return tag;
    }
    return '?';
}

const char *ns_content_of (ns_fixture_t *fx, uint64_t inode, uint64_t version)
{
    char *text = arena_zalloc (fx->arena, 70000);
    size_t done = 0;
    uint64_t offset = 0;
    bool more = true;
    while (more) {
        Dfs__Extent **extents;
        size_t n;
        if (namespace_extents (fx->ns, inode, version, offset, 100, fx->arena, &extents,
                               &n, &more, NULL) < 0)
            return "gone";
        for (size_t i = 0; i < n; i++) {
            assert_int_equal (extents[i]->offset, offset);
            text[done++] = tag_of (extents[i]);
            offset += extents[i]->length;
        }
    }
    return text;
}

const char *ns_content (ns_fixture_t *fx, const char *path)
{
    Dfs__Attr *attr = ns_stat (fx, path);
    return attr ? ns_content_of (fx, attr->inode, attr->version) : "none";
}

uint64_t ns_refs (ns_fixture_t *fx, char tag)
{
    copykey_t key = {0};
    chunk_facts_t facts;
    ns_digest (tag, key.digest);
    assert_true (namespace_chunk (fx->ns, &key, &facts, NULL) >= 0);
    return facts.refs;
}
