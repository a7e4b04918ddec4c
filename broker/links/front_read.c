/* SPDX-License-Identifier: MPL-2.0 */
/* Clients' reading: what needs the tables goes to storage and comes back to
 * front_answered; fetches go to the core. */
#include <inttypes.h>
#include <string.h>

#include "broker/links/links_private.h"
#include "common/clock.h"
#include "common/log.h"
#include "msgs/check.h"
#include "msgs/handle.h"
#include "msgs/path.h"

#define STAT_MAX    1024
#define OPEN_MAX    256
#define LIST_MAX    10000
#define LIST_LIMIT  1000 /* when the client names none */
#define CURSOR_MAX  8192
#define PATTERN_MAX 1024
#define HANDLES_MAX 256
#define CANCEL_MAX  4096
#define CHUNK_MAX   (64 * MIB)
#define VERIFY_MAX  16 /* of one session that wait for workers */

static void malformed (links_t *self, job_t *job, const char *why)
{
    links_drop (self, "front", &job->from, why);
    front_refuse (self, job, DFS_EPROTO, why);
}

/* Linearizable, unless the client does not want that. */
static void read_now (links_t *self, job_t *job)
{
    if (job->stale)
        links_ask_storage (self, job);
    else
        reads_add (self, job);
}

static bool paths_fit (const ProtobufCBinaryData *paths, size_t n, size_t max)
{
    if (n == 0 || n > max)
        return false;
    for (size_t i = 0; i < n; i++) {
        if (paths[i].len > PATH_MAX_LEN)
            return false;
    }
    return true;
}

void front_stat (links_t *self, conn_t *conn, job_t *job)
{
    const Dfs__Stat *ask = job->env->stat;

    (void)conn;
    if (!paths_fit (ask->paths, ask->n_paths, STAT_MAX))
        malformed (self, job, "stat: number or length of paths");
    else
        read_now (self, job);
}

void front_open (links_t *self, conn_t *conn, job_t *job)
{
    const Dfs__Open *ask = job->env->open;

    (void)conn;
    if (!paths_fit (ask->paths, ask->n_paths, OPEN_MAX))
        malformed (self, job, "open: number or length of paths");
    else
        read_now (self, job);
}

/* Extents, Locate, Verify: the handle is checked where the tables are. */
void front_by_handle (links_t *self, conn_t *conn, job_t *job)
{
    (void)conn;
    links_ask_storage (self, job);
}

void front_list (links_t *self, conn_t *conn, job_t *job)
{
    Dfs__List *ask = job->env->list;

    (void)conn;
    if (ask->path.len > PATH_MAX_LEN ||
        (ask->has_cursor && ask->cursor.len > CURSOR_MAX) ||
        (ask->pattern && strlen (ask->pattern) > PATTERN_MAX)) {
        malformed (self, job, "list: length of a field");
        return;
    }
    if (!ask->has_limit || ask->limit == 0)
        ask->limit = LIST_LIMIT;
    if (ask->limit > LIST_MAX)
        ask->limit = LIST_MAX;
    ask->has_limit = true;
    job->index = self->log_index;
    if (ask->lost) {
        if (!links_leads (self)) {
            front_not_leader (self, job);
            return;
        }
        lost_attach (self, job);
    }
    if (ask->has_index && ask->index > 0)
        links_ask_storage (self, job); /* the next page of what was confirmed */
    else
        read_now (self, job);
}

/* --- fetch --- */

static int take_handles (links_t *self, const job_t *job, handle_t *out,
                         dfs_error_t *err)
{
    const Dfs__Fetch *ask = job->env->fetch;

    for (size_t i = 0; i < ask->n_handles; i++) {
        int rc = handle_unpack (ask->handles[i].data, ask->handles[i].len,
                                self->config.handle_key, &out[i], err);
        if (rc < 0)
            return rc;
        if (out[i].user != job->user)
            return fail (err, DFS_EPERM, "handle of another user");
        if (out[i].expiry_ns < links_log_time (self))
            return fail (err, DFS_ESTALE, "handle has expired, open again");
    }
    return DFS_OK;
}

static int take_piece (const Dfs__Piece *in, const handle_t *handles, size_t n_handles,
                       event_piece_t *out, dfs_error_t *err)
{
    if (in->handle >= n_handles)
        return fail (err, DFS_EPROTO, "fetch: piece without a handle");
    if (in->length == 0 || in->length > CHUNK_MAX || in->offset > CHUNK_MAX)
        return fail (err, DFS_EPROTO, "fetch: length of a piece");
    memset (out, 0, sizeof *out);
    out->piece = in->piece;
    out->inode = handles[in->handle].inode;
    out->version = handles[in->handle].version;
    out->extent_offset = in->extent_offset;
    out->offset = in->offset;
    out->length = in->length;
    out->second = in->has_second && in->second;
    for (size_t i = 0; i < in->n_avoid && i < CORE_AVOID; i++)
        out->avoid[out->n_avoid++] = in->avoid[i];
    return DFS_OK;
}

void front_fetch (links_t *self, conn_t *conn, job_t *job)
{
    const Dfs__Fetch *ask = job->env->fetch;
    handle_t *handles;
    event_piece_t *pieces;
    dfs_error_t err;

    (void)conn;
    if (ask->n_handles == 0 || ask->n_handles > HANDLES_MAX || ask->n_pieces == 0 ||
        ask->n_pieces > CORE_FETCH_PIECES) {
        malformed (self, job, "fetch: number of handles or pieces");
        return;
    }
    arena_reset (self->scratch);
    handles = links_need (self, ask->n_handles * sizeof *handles);
    pieces = links_need (self, ask->n_pieces * sizeof *pieces);
    int rc = take_handles (self, job, handles, &err);
    for (size_t i = 0; rc == DFS_OK && i < ask->n_pieces; i++)
        rc = take_piece (ask->pieces[i], handles, ask->n_handles, &pieces[i], &err);
    if (rc < 0) {
        front_refuse (self, job, rc, err.text);
        return;
    }
    event_t event = {.type = EVENT_FETCH,
                     .u.fetch = {.session = job->session,
                                 .seq = job->env->seq,
                                 .pieces = pieces,
                                 .n = ask->n_pieces}};
    links_step (self, &event);
}

void front_cancel (links_t *self, conn_t *conn, job_t *job)
{
    const Dfs__Cancel *ask = job->env->cancel;

    (void)conn;
    if (ask->n_pieces > CANCEL_MAX) {
        malformed (self, job, "cancel: number of pieces");
        return;
    }
    event_t event = {.type = EVENT_CANCEL,
                     .u.cancel = {.session = job->session,
                                  .pieces = ask->pieces,
                                  .n = ask->n_pieces}};
    links_step (self, &event);
}

/* --- back from storage --- */

static void listing_done (links_t *self, const job_t *job)
{
    session_t *session = clients_get (self->clients, job->session);

    self->n_listing--;
    if (session && session->n_listing > 0) /* it may be another one by now */
        session->n_listing--;
}

static void name_replicas (links_t *self, job_t *job)
{
    Dfs__Located *located = job->answer.located;

    for (size_t i = 0; i < located->n_chunks; i++) {
        Dfs__LocatedChunk *chunk = located->chunks[i];
        size_t n = 0;

        for (size_t k = 0; k < chunk->n_replicas; k++) {
            Dfs__Replica *r = chunk->replicas[k];
            const Dfs__Member *m = roster_worker_id (self->roster, r->worker);

            if (!m)
                continue; /* of a worker that was removed */
            chunk->replicas[n++] = r;
            r->name = m->name;
            r->location = m->location;
            r->has_state = true;
            r->state = (uint32_t)core_worker_state (self->core, r->worker, NULL);
        }
        chunk->n_replicas = n;
    }
}

static void start_verify (links_t *self, job_t *job)
{
    session_t *session = clients_get (self->clients, job->session);
    size_t waiting = 0;

    if (!session)
        return;
    for (const job_t *other = session->verifies; other; other = other->next)
        waiting++;
    if (waiting >= VERIFY_MAX) {
        /* asked again a little later; others' have room meanwhile */
        front_refuse (self, job, DFS_EAGAIN, "too many verifications of this client");
        return;
    }
    job->next = session->verifies;
    session->verifies = job;
    job->refs++;
    event_t event = {
        .type = EVENT_VERIFY,
        .u.verify = {.session = job->session,
                     .seq = job->env->seq,
                     .chunks = job->chunks,
                     .n = job->n_chunks,
                     .peek = job->env->verify->has_peek && job->env->verify->peek}};
    links_step (self, &event);
}

void front_answered (links_t *self, job_t *job)
{
    if (job->env->body_case == DFS__ENVELOPE__BODY_LIST)
        listing_done (self, job);
    else
        self->n_asked--;
    arena_reset (self->scratch);
    if (job->expires && clock_mono () >= job->expires)
        log_debug ("request_expired", "session=%016" PRIx64, job->session);
    else if (job->env->body_case == DFS__ENVELOPE__BODY_VERIFY && !job->answer.status)
        start_verify (self, job);
    else {
        if (job->answer.body_case == DFS__ENVELOPE__BODY_LOCATED)
            name_replicas (self, job);
        front_reply (self, job);
    }
    links_release (self, job);
}

static job_t *take_verify (session_t *session, uint64_t seq)
{
    for (job_t **at = &session->verifies; *at; at = &(*at)->next) {
        job_t *job = *at;
        if (job->env->seq == seq) {
            *at = job->next;
            job->next = NULL;
            return job;
        }
    }
    return NULL;
}

void front_verified (links_t *self, const action_verify_reply_t *reply)
{
    session_t *session = clients_get (self->clients, reply->session);
    job_t *job = session ? take_verify (session, reply->seq) : NULL;
    Dfs__VerifyReply *out;

    if (!job)
        return;
    arena_reset (self->scratch);
    out = links_need (self, sizeof *out);
    dfs__verify_reply__init (out);
    out->has_chunks = true;
    out->chunks = reply->chunks;
    out->has_next_offset = job->more;
    out->next_offset = job->next_offset;
    out->replicas = links_need (self, reply->n * sizeof *out->replicas);
    for (size_t i = 0; i < reply->n; i++) {
        Dfs__VerifiedReplica *r = links_need (self, sizeof *r);
        const core_verified_t *v = &reply->replicas[i];
        const Dfs__Member *m = roster_worker_id (self->roster, v->worker);

        dfs__verified_replica__init (r);
        r->key = links_need (self, sizeof *r->key);
        check_put_copykey (&v->key, r->key);
        r->worker = v->worker;
        r->name = m ? m->name : links_text (self, "?");
        r->code = v->code;
        r->has_bytes = true;
        r->bytes = v->bytes;
        r->has_verified_at_ns = true;
        r->verified_at_ns = v->verified_at;
        out->replicas[out->n_replicas++] = r;
    }
    if (reply->code < 0)
        job_refuse (job, reply->code, dfs_error_text (reply->code));
    else {
        job->answer.body_case = DFS__ENVELOPE__BODY_VERIFY_REPLY;
        job->answer.verify_reply = out;
    }
    front_reply (self, job);
    links_release (self, job);
}
