/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <string.h>

#include "broker/namespace/apply.h"
#include "broker/namespace/catalog.h"
#include "broker/namespace/job.h"
#include "broker/namespace/ops.h"
#include "broker/namespace/policy.h"
#include "broker/namespace/reclaim.h"
#include "broker/namespace/requests.h"
#include "broker/namespace/state_hash.h"
#include "broker/namespace/upload.h"

int apply_op (op_t *op, const Dfs__Op *what, dfs_error_t *err)
{
    if (!op->ns->seeded && what->op_case != DFS__OP__OP_SEED)
        return fail (err, DFS_EUNAVAIL, "the cluster is not seeded yet");
    op->ns->directory = what->op_case == DFS__OP__OP_SEED ||
                        what->op_case == DFS__OP__OP_POLICY_SET ||
                        what->op_case == DFS__OP__OP_POLICY_REMOVE ||
                        what->op_case == DFS__OP__OP_MEMBER_SET ||
                        what->op_case == DFS__OP__OP_USER_SET;
    switch (what->op_case) {
    case DFS__OP__OP_COMMIT:
        return op_commit (op, what->commit, err);
    case DFS__OP__OP_STAGE:
        return op_stage (op, what->stage, err);
    case DFS__OP__OP_UPLOAD_DROP:
        return op_upload_drop (op, what->upload_drop, err);
    case DFS__OP__OP_MKDIR:
        return op_mkdir (op, what->mkdir, err);
    case DFS__OP__OP_RMDIR:
        return op_rmdir (op, what->rmdir, err);
    case DFS__OP__OP_UNLINK:
        return op_unlink (op, what->unlink, err);
    case DFS__OP__OP_RENAME:
        return op_rename (op, what->rename, err);
    case DFS__OP__OP_CLONE:
        return op_clone (op, what->clone, err);
    case DFS__OP__OP_SYMLINK:
        return op_symlink (op, what->symlink, err);
    case DFS__OP__OP_LINK:
        return op_link (op, what->link, err);
    case DFS__OP__OP_SETATTR:
        return op_setattr (op, what->setattr, err);
    case DFS__OP__OP_SEED:
        return op_seed (op, what->seed, err);
    case DFS__OP__OP_POLICY_SET:
        return op_policy_set (op, what->policy_set->policy, err);
    case DFS__OP__OP_POLICY_REMOVE:
        return op_policy_remove (op, what->policy_remove, err);
    case DFS__OP__OP_MEMBER_SET:
        return op_member_set (op, what->member_set->member, err);
    case DFS__OP__OP_USER_SET:
        return op_user_set (op, what->user_set->user, err);
    case DFS__OP__OP_SESSION_EXPIRE:
        return op_session_expire (op, what->session_expire, err);
    case DFS__OP__OP_JOB_STEP:
        return op_job_step (op, what->job_step, err);
    case DFS__OP__OP_PRUNE:
        return op_prune (op, what->prune, err);
    case DFS__OP__OP_CONDEMN:
        return op_condemn (op, what->condemn, err);
    case DFS__OP__OP_DROP:
        return op_drop (op, what->drop, err);
    case DFS__OP__OP_DROPPED:
        return op_dropped (op, what->dropped, err);
    case DFS__OP__OP_FORGET:
        return op_forget (op, what->forget, err);
    case DFS__OP__OP_RECLAIM_HOLD:
        return op_reclaim_hold (op, what->reclaim_hold, err);
    case DFS__OP__OP_UNCONDEMN:
        return op_uncondemn (op, what->uncondemn, err);
    default:
        return broken (op->view, err, DFS_EVERSION, "operation of a later version",
                       op->index);
    }
}

/* Runs the operation; what it refuses becomes the result. */
static int decide (op_t *op, const Dfs__Entry *entry, dfs_error_t *err)
{
    dfs_error_t refusal = {0};
    int rc = apply_op (op, entry->op, &refusal);
    if (op->view->broken) {
        if (err)
            *err = refusal;
        return refusal.code < 0 ? refusal.code : DFS_EINTERNAL;
    }
    if (rc < 0) {
        if (op->records > 0) /* a refusal changes nothing: ours to have seen before */
            return broken (op->view, err, DFS_EINTERNAL, "refused too late", op->index);
        Dfs__OpResult *result = op->result;
        set_field (result, code, rc);
        result->text = arena_dup (op->scratch, refusal.text, strlen (refusal.text));
        result->has_job = result->has_version = result->has_inode = result->has_size =
            0;
    } else if (!op->result->has_version)
        set_field (op->result, version, op->index);
    return 0;
}

static int apply_entry (op_t *op, const Dfs__Entry *entry, Dfs__OpResult **result,
                        dfs_error_t *err)
{
    Dfs__RecSession session;
    int rc = request_begin (op, entry, &session, result, err);
    if (rc != 0)
        return rc < 0 ? rc : 0;
    rc = decide (op, entry, err);
    if (rc == 0)
        rc = request_end (op, entry, &session, err);
    *result = op->result;
    return rc;
}

/* Copies the result to the caller's arena. What was decided and is remembered does not
 * depend on how much room the caller has. */
static int hand_over (arena_t *arena, Dfs__OpResult **result, dfs_error_t *err)
{
    Dfs__OpResult *to = arena_dup (arena, *result, sizeof **result);
    if (!to)
        return fail (err, DFS_ENOMEM, "no room for a result");
    if (to->text && to->text != protobuf_c_empty_string)
        to->text = arena_dup (arena, to->text, strlen (to->text));
    if (to->n_missing) {
        to->missing =
            arena_dup (arena, to->missing, to->n_missing * sizeof *to->missing);
        for (size_t i = 0; to->missing && i < to->n_missing; i++) {
            ProtobufCBinaryData *m = &to->missing[i];
            m->data = arena_dup (arena, m->data, m->len);
            if (!m->data)
                to->missing = NULL;
        }
        if (!to->missing)
            return fail (err, DFS_ENOMEM, "no room for a result");
    }
    *result = to;
    return 0;
}

int namespace_apply (namespace_t *ns, uint64_t index, uint64_t term, const void *data,
                     size_t len, arena_t *arena, Dfs__OpResult **result,
                     dfs_error_t *err)
{
    if (ns->view.broken)
        return fail (err, DFS_EINTERNAL, "namespace failed before");
    if (index != ns->applied + 1)
        return fail (err, DFS_EINTERNAL, "entry %llu after %llu",
                     (unsigned long long)index, (unsigned long long)ns->applied);
    int rc = state_begin (ns, err);
    if (rc < 0)
        return rc;
    arena_reset (ns->scratch);
    op_t op = {.ns = ns, .view = &ns->view, .index = index, .limit = ENTRY_RECORDS};
    op.scratch = ns->scratch;
    op.result = arena_alloc (ns->scratch, sizeof *op.result);
    assert (op.result);
    dfs__op_result__init (op.result);
    *result = op.result;
    ns->n_effects = 0;
    ns->directory = false;
    if (len > 0) { /* an empty entry only moves the index */
        Dfs__Entry *entry =
            dfs__entry__unpack (arena_allocator (ns->scratch), len, data);
        if (!entry)
            return broken (&ns->view, err, DFS_EDAMAGED, "entry does not unpack",
                           index);
        if (entry->version != 1)
            return broken (&ns->view, err, DFS_EVERSION, "entry of a later version",
                           index);
        if (entry->has_hash_index && entry->has_hash && entry->hash.len == 16)
            state_hash_said (ns, entry->hash_index, entry->hash.data);
        if (entry->time_ns > ns->counters[C_TIME])
            ns->counters[C_TIME] = entry->time_ns;
        op.time = ns->counters[C_TIME];
        op.session = entry->session;
        op.user = entry->user;
        rc = apply_entry (&op, entry, result, err);
    }
    if (rc < 0) {
        ns->view.broken = true;
        return rc;
    }
    ns->applied = index;
    ns->term = term;
    ns->dirty = true;
    state_hash_remember (ns);
    return hand_over (arena, result, err);
}
