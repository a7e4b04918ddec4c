/* SPDX-License-Identifier: MPL-2.0 */
#include <string.h>

#include "broker/namespace/requests.h"
#include "broker/namespace/tables.h"
#include "broker/namespace/upload.h"

#define FORGET_MAX 64 /* results dropped by one entry: more than it can add */

static int read_session (op_t *op, uint64_t id, Dfs__RecSession **out, dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    return table_read (op->view, T_SESSION, key, key_id (key, id),
                       &dfs__rec_session__descriptor, op->scratch, out, err);
}

static int write_session (op_t *op, uint64_t id, const Dfs__RecSession *rec,
                          dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    return table_write (op, T_SESSION, key, key_id (key, id), &rec->base, PUT_ANY, err);
}

static int too_old (op_t *op, Dfs__OpResult **result, int code, const char *text)
{
    op->result->code = code;
    op->result->has_code = 1;
    op->result->text = arena_dup (op->scratch, text, strlen (text));
    *result = op->result;
    return 1;
}

int request_begin (op_t *op, const Dfs__Entry *entry, Dfs__RecSession *session,
                   Dfs__OpResult **result, dfs_error_t *err)
{
    dfs__rec_session__init (session);
    if (!entry->has_session)
        return 0;
    Dfs__RecSession *old;
    int rc = read_session (op, entry->session, &old, err);
    if (rc < 0)
        return rc;
    if (rc > 0) {
        *session = *old;
        if (old->expired)
            return too_old (op, result, DFS_EEXPIRED, "session has expired");
        if (old->user && old->user != entry->user)
            return too_old (op, result, DFS_EEXPIRED, "session is another user's");
    } else
        op->ns->counters[C_SESSIONS]++;
    uint64_t request = entry->request;
    if (rc == 0 || request == 0)
        return 0;
    const void *value;
    size_t len;
    uint8_t key[KEY_MAX];
    if (request <= session->last_request) {
        rc = table_fetch (op->view, T_REQUEST, key,
                          key_pair (key, entry->session, request), &value, &len, err);
        if (rc < 0)
            return rc;
        if (rc > 0) {
            *result =
                dfs__op_result__unpack (arena_allocator (op->scratch), len, value);
            return *result ? 1
                           : broken (op->view, err, DFS_EDAMAGED,
                                     "result does not unpack", request);
        }
    }
    if (request < session->done_below)
        return too_old (op, result, DFS_ESTALE, "request was answered before");
    return 0;
}

/* Drops results of SESSION below request LOW, at most MAX; 1 when there may be more. */
static int forget_below (op_t *op, uint64_t session, uint64_t low, unsigned max,
                         dfs_error_t *err)
{
    uint8_t key[KEY_MAX];
    size_t n = key_pair (key, session, 0);
    for (; max > 0; max--) {
        MDB_val k, v;
        int rc = table_seek (op->view, T_REQUEST, key, n, &k, &v, err);
        if (rc <= 0)
            return rc;
        const uint8_t *found = k.mv_data;
        if (memcmp (found, key, 8) != 0 || get64 (found + 8) >= low)
            return 0;
        uint8_t first[16];
        memcpy (first, found, sizeof first);
        rc = table_del (op, T_REQUEST, first, sizeof first, err);
        if (rc < 0)
            return rc;
    }
    return 1;
}

int request_end (op_t *op, const Dfs__Entry *entry, Dfs__RecSession *session,
                 dfs_error_t *err)
{
    if (!entry->has_session)
        return 0;
    uint64_t id = entry->session;
    uint64_t request = entry->request;
    uint64_t last = session->last_request > request ? session->last_request : request;
    uint64_t done = entry->done_below <= last ? entry->done_below : last + 1;
    if (last >= REQUESTS_KEPT && done < last - REQUESTS_KEPT + 1)
        done = last - REQUESTS_KEPT + 1;
    if (done < session->done_below)
        done = session->done_below;
    int rc = 0;
    if (done > session->done_below)
        rc = forget_below (op, id, done, FORGET_MAX, err);
    /* What must wait is decided when it is asked again. */
    bool later = op->result->has_code && op->result->code == DFS_EAGAIN;
    if (rc >= 0 && request && request >= done && !later) {
        uint8_t key[KEY_MAX];
        rc = table_write (op, T_REQUEST, key, key_pair (key, id, request),
                          &op->result->base, PUT_NEW, err);
    }
    if (rc < 0)
        return rc;
    session->seen_ns = op->time;
    session->index = op->index;
    if (done)
        set_field (session, done_below, done);
    if (last)
        set_field (session, last_request, last);
    if (op->user)
        set_field (session, user, op->user);
    return write_session (op, id, session, err);
}

static int expire_one (op_t *op, uint64_t id, dfs_error_t *err)
{
    Dfs__RecSession *rec;
    int rc = read_session (op, id, &rec, err);
    if (rc <= 0)
        return rc;
    uint64_t silent = op->time - rec->seen_ns;
    if (rec->expired) {
        uint8_t key[KEY_MAX];
        return silent < TOMBSTONE_NS
                   ? 0
                   : table_del (op, T_SESSION, key, key_id (key, id), err);
    }
    if (silent < SESSION_GUARD_NS)
        return 0;
    unsigned used = op->records + REQUESTS_KEPT + FORGET_MAX;
    if (used + UPLOAD_INLINE_PAGES > op->limit)
        return 0;                            /* next time */
    op->limit -= REQUESTS_KEPT + FORGET_MAX; /* uploads leave room for the results */
    rc = upload_drop_session (op, id, err);
    op->limit += REQUESTS_KEPT + FORGET_MAX;
    if (rc == 0)
        rc = forget_below (op, id, UINT64_MAX, op->limit - op->records, err);
    if (rc != 0)
        return rc < 0 ? rc : 0; /* more than one entry may drop: next time */
    set_field (rec, expired, true);
    op->ns->counters[C_SESSIONS]--;
    return write_session (op, id, rec, err);
}

int op_session_expire (op_t *op, const Dfs__OpSessionExpire *expire, dfs_error_t *err)
{
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < expire->n_sessions; i++)
        rc = expire_one (op, expire->sessions[i], err);
    return rc;
}
