/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/links/pending.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "broker/links/pending_private.h"

#define BYTES_MAX   (128 * 1024 * 1024) /* of entries in flight, and as much before */
#define HELD_FACTOR 8                   /* what a packed message may be unpacked */

pending_t *pending_new (void)
{
    pending_t *self = calloc (1, sizeof *self);

    assert (self);
    self->by_cookie = idmap_new ();
    self->by_request = idmap_new ();
    return self;
}

void change_free (change_t *change)
{
    free (change->keys);
    free (change->lengths);
    free (change->missing);
    free (change);
}

void pending_destroy (pending_t **self_p)
{
    pending_t *self = *self_p;
    change_t *change;
    size_t pos = 0;

    if (!self)
        return;
    while ((change = idmap_next (self->by_cookie, &pos))) {
        if (change->job && --change->job->refs == 0)
            mail_free (&change->job->head);
        if (change->asker && --change->asker->refs == 0)
            mail_free (&change->asker->head);
        change_free (change);
    }
    idmap_destroy (&self->by_cookie);
    idmap_destroy (&self->by_request);
    free (self->bytes);
    free (self->batch);
    free (self);
    *self_p = NULL;
}

size_t pending_own_count (const pending_t *self)
{
    return self->own;
}

size_t pending_own_directory (const pending_t *self)
{
    return self->own_members;
}

bool pending_idle (const pending_t *self)
{
    return idmap_count (self->by_cookie) == 0;
}

/* Sessions are random numbers: two requests that meet in one value do not occur. */
static uint64_t request_id (uint64_t session, uint64_t request)
{
    return session ^ request * 0x9e3779b97f4a7c15ULL;
}

void change_forget (pending_t *self, const change_t *change)
{
    uint64_t id = request_id (change->session, change->request);

    idmap_remove (self->by_cookie, change->cookie);
    if (change->session && idmap_get (self->by_request, id) == change)
        idmap_remove (self->by_request, id);
}

/* --- on the way in --- */

void change_answer_asker (links_t *links, change_t *change, int code, const char *text,
                          uint64_t index)
{
    job_t *job = change->asker;

    change->asker = NULL;
    if (job && code == DFS_OK && change->round > 0)
        front_admin_round (links, job, change->round + 1);
    else if (job && code == DFS_OK)
        roster_answer_at (links, job, index);
    else if (job) {
        front_refuse (links, job, code, text);
        links_release (links, job);
    }
}

static void tell_proposed (links_t *links, const change_t *change, int code)
{
    event_t event = {.type = EVENT_PROPOSED,
                     .u.proposed = {.token = change->token, .code = code}};

    links_step (links, &event);
}

void change_refuse (links_t *links, change_t *change, int code, const char *text,
                    const copykey_t *missing, size_t n)
{
    Dfs__OpResult result;

    dfs__op_result__init (&result);
    result.has_code = true;
    result.code = code;
    char *copy = text ? strdup (text) : NULL;
    result.text = copy;
    ProtobufCBinaryData *keys = calloc (n + 1, sizeof *keys);
    uint8_t *bytes = malloc (n * 32 + 1);
    assert (keys && bytes);
    for (size_t i = 0; i < n; i++) {
        memcpy (bytes + i * 32, missing[i].digest, 32);
        keys[i].data = bytes + i * 32;
        keys[i].len = 32;
    }
    result.missing = keys;
    result.n_missing = n;
    if (change->session) {
        results_add (links, change, &result);
        results_send (links);
    } else if (change->token) {
        tell_proposed (links, change, code);
    } else if (change->hash_index) {
        agree_told (links, 0);
    } else {
        links->pending->own--;
        links->pending->own_members -= change->member;
        log_warn ("own_change_refused", "code=%s err=\"%s\"", dfs_error_name (code),
                  text ? text : "");
        change_answer_asker (links, change, code, text, 0);
    }
    free (copy);
    free (keys);
    free (bytes);
    change_forget (links->pending, change);
    links->pending->in_flight -= change->bytes;
    change_let_go (links, change);
    change_free (change);
}

static uint8_t *room (pending_t *self, size_t len)
{
    if (self->n_bytes + len > self->cap_bytes) {
        self->cap_bytes = 2 * (self->n_bytes + len);
        self->bytes = realloc (self->bytes, self->cap_bytes);
        assert (self->bytes);
    }
    return self->bytes + self->n_bytes;
}

static void propose (links_t *links, change_t *change)
{
    pending_t *self = links->pending;
    Dfs__Entry entry;
    union {
        const Dfs__Op *in;
        Dfs__Op *out;
    } op = {.in = change->op};

    dfs__entry__init (&entry);
    entry.version = 1;
    entry.time_ns = links_log_time (links);
    if (change->session) {
        entry.has_session = entry.has_request = true;
        entry.session = change->session;
        entry.request = change->request;
        entry.has_done_below = change->done_below > 0;
        entry.done_below = change->done_below;
        entry.has_user = true;
        entry.user = change->user;
    }
    if (change->hash_index) {
        entry.has_hash_index = entry.has_hash = true;
        entry.hash_index = change->hash_index;
        entry.hash.data = change->hash;
        entry.hash.len = sizeof change->hash;
    }
    entry.op = op.out;
    size_t len = dfs__entry__get_packed_size (&entry);
    if (len > ENVELOPE_MAX) {
        change_refuse (links, change, DFS_ETOOBIG, "change is too large", NULL, 0);
        return;
    }
    if (change->session && self->in_flight + len > BYTES_MAX) {
        change_refuse (links, change, DFS_EAGAIN, "too many changes in flight", NULL,
                       0);
        return;
    }
    change->bytes = len;
    self->in_flight += len;
    uint8_t *at = room (self, len);
    dfs__entry__pack (&entry, at);
    if (self->n_batch == self->cap_batch) {
        self->cap_batch = self->cap_batch ? 2 * self->cap_batch : 256;
        self->batch = realloc (self->batch, self->cap_batch * sizeof *self->batch);
        assert (self->batch);
    }
    journal_proposal_t *p = &self->batch[self->n_batch++];
    p->data = NULL;
    p->len = len;
    p->cookie = change->cookie;
    self->n_bytes += len;
    change->op = NULL;
    change_let_go (links, change);
}

static void collect_keys (change_t *change, Dfs__Extent *const *extents, size_t n)
{
    if (n == 0)
        return;
    change->keys = calloc (n, sizeof *change->keys);
    change->lengths = calloc (n, sizeof *change->lengths);
    assert (change->keys && change->lengths);
    for (size_t i = 0; i < n; i++) {
        const Dfs__Extent *e = extents[i];
        if (e->kind != DFS__EXTENT_KIND__EXTENT_CHUNK)
            continue;
        copykey_t *key = &change->keys[change->n_keys];
        change->lengths[change->n_keys++] =
            e->has_chunk_length ? e->chunk_length : e->length;
        key->domain = e->has_domain ? e->domain : 0;
        memcpy (key->digest, e->digest.data, sizeof key->digest);
    }
}

static change_t *new_change (pending_t *self)
{
    change_t *change = calloc (1, sizeof *change);

    assert (change);
    change->cookie = ++self->last;
    change->copies = UINT32_MAX;
    idmap_put (self->by_cookie, change->cookie, change);
    return change;
}

void pending_request (links_t *links, session_t *session, job_t *job,
                      const Dfs__Request *request, uint64_t done_below)
{
    const Dfs__Op *op = request->op;
    uint32_t policy = 0;
    bool checked = false;

    /* Sent again while it is in flight: its one answer is for both. To look at it anew
     * could refuse what is about to be done. */
    uint64_t id = request_id (session->id, request->request);
    if (idmap_get (links->pending->by_request, id))
        return;
    change_t *change = new_change (links->pending);
    idmap_put (links->pending->by_request, id, change);
    change->session = session->id;
    change->user = session->user;
    change->request = request->request;
    change->seq = job->env->has_seq ? job->env->seq : 0;
    change->done_below = done_below;
    change->job = job;
    change->op = op;
    job->refs++;
    if (op->op_case == DFS__OP__OP_COMMIT) {
        checked = true;
        policy =
            op->commit->placed_policy ? op->commit->placed_policy : op->commit->policy;
        change->upload = op->commit->has_upload ? op->commit->upload : 0;
        collect_keys (change, op->commit->extents, op->commit->n_extents);
    } else if (op->op_case == DFS__OP__OP_STAGE) {
        checked = true;
        policy = op->stage->policy;
        collect_keys (change, op->stage->extents, op->stage->n_extents);
    } else if (op->op_case == DFS__OP__OP_SETATTR)
        change->policy = op->setattr->has_policy;
    else if (op->op_case == DFS__OP__OP_UPLOAD_DROP)
        change->upload = op->upload_drop->upload;
    if (change->n_keys > 0)
        change->held = HELD_FACTOR * dfs__op__get_packed_size (op);
    links->pending->held += change->held;
    if (idmap_count (links->pending->by_cookie) > CHANGES_MAX ||
        links->pending->held > BYTES_MAX)
        change_refuse (links, change, DFS_EAGAIN, "too many changes in flight", NULL,
                       0);
    else if (checked && change->n_keys > 0) {
        change->replicas = roster_replicas (links->roster, policy);
        event_t event = {.type = EVENT_COMMIT,
                         .u.commit = {.session = session->id,
                                      .token = change->cookie,
                                      .policy = policy,
                                      .keys = change->keys,
                                      .n = change->n_keys,
                                      .lengths = change->lengths}};
        links_step (links, &event);
    } else
        propose (links, change);
}

void pending_refuse (links_t *links, session_t *session, job_t *job, uint64_t request,
                     const dfs_error_t *err)
{
    change_t *change = new_change (links->pending);

    change->session = session->id;
    change->request = request;
    change->seq = job->env->has_seq ? job->env->seq : 0;
    change_refuse (links, change, err->code, err->text, NULL, 0);
}

void pending_own (links_t *links, Dfs__Op *op)
{
    pending_own_for (links, op, NULL);
}

void pending_own_for (links_t *links, Dfs__Op *op, job_t *asker)
{
    pending_own_round (links, op, asker, 0);
}

void pending_own_round (links_t *links, Dfs__Op *op, job_t *asker, uint32_t round)
{
    change_t *change = new_change (links->pending);

    links->pending->own++;
    change->asker = asker;
    change->round = round;
    change->member =
        op->op_case == DFS__OP__OP_SEED || op->op_case == DFS__OP__OP_MEMBER_SET ||
        op->op_case == DFS__OP__OP_USER_SET || op->op_case == DFS__OP__OP_POLICY_SET ||
        op->op_case == DFS__OP__OP_POLICY_REMOVE;
    links->pending->own_members += change->member;
    if (asker)
        asker->refs++;
    change->op = op;
    change->seed = op->op_case == DFS__OP__OP_SEED;
    change->directory = op->op_case != DFS__OP__OP_JOB_STEP &&
                        op->op_case != DFS__OP__OP_PRUNE &&
                        op->op_case != DFS__OP__OP_SESSION_EXPIRE;
    propose (links, change);
}

void pending_core (links_t *links, Dfs__Op *op, uint64_t token)
{
    change_t *change = new_change (links->pending);

    change->token = token;
    change->op = op;
    propose (links, change);
}

/* An entry needs an operation: nobody's session expires. */
void pending_hash (links_t *links, uint64_t index, const uint8_t hash[16])
{
    change_t *change = new_change (links->pending);
    Dfs__Op op = DFS__OP__INIT;
    Dfs__OpSessionExpire nobody = DFS__OP_SESSION_EXPIRE__INIT;

    op.op_case = DFS__OP__OP_SESSION_EXPIRE;
    op.session_expire = &nobody;
    change->hash_index = index;
    memcpy (change->hash, hash, sizeof change->hash);
    change->op = &op;
    propose (links, change);
}

void pending_commit_ok (links_t *links, const action_commit_ok_t *ok)
{
    change_t *change = idmap_get (links->pending->by_cookie, ok->token);

    if (!change || !change->op)
        return;
    change->copies = ok->copies;
    propose (links, change);
}

void pending_commit_refused (links_t *links, const action_commit_refused_t *refused)
{
    change_t *change = idmap_get (links->pending->by_cookie, refused->token);

    if (!change || !change->op)
        return;
    if (refused->code != DFS_EMISSING) {
        change_refuse (links, change, refused->code, dfs_error_text (refused->code),
                       refused->missing, refused->n);
        return;
    }
    /* It may be one that was done before, sent again because its answer got lost: the
     * client would do it a second time under another number. */
    mail_decided_t *mail = mail_new (MAIL_DECIDED, sizeof *mail);
    change->missing = calloc (refused->n + 1, sizeof *change->missing);
    assert (change->missing);
    memcpy (change->missing, refused->missing, refused->n * sizeof *change->missing);
    change->n_missing = refused->n;
    mail->cookie = change->cookie;
    mail->session = change->session;
    mail->request = change->request;
    storage_push (links->storage, &mail->head);
}

/* --- on the way back --- */

/* It is decided: pins of its chunks may go, and so may an upload that ended. */
static void tell_core (links_t *links, const change_t *change,
                       const Dfs__OpResult *result)
{
    if (change->n_keys) {
        event_t event = {.type = EVENT_COMMITTED,
                         .u.committed = {.session = change->session,
                                         .keys = change->keys,
                                         .n = change->n_keys}};
        links_step (links, &event);
    }
    /* Pages that were staged may stand under another policy now. */
    if ((change->policy || (change->upload && roster_policies_many (links->roster))) &&
        (!result->has_code || result->code == DFS_OK)) {
        event_t event = {.type = EVENT_LOOK_AGAIN};
        links_step (links, &event);
    }
    if (change->upload && (!result->has_code || result->code == DFS_OK)) {
        event_t event = {
            .type = EVENT_UPLOAD_DONE,
            .u.upload = {.session = change->session, .upload = change->upload}};
        links_step (links, &event);
    }
}

static void own_refused (links_t *links, const change_t *change,
                         const Dfs__OpResult *result)
{
    const char *why = result->text ? result->text : "";
    char text[400];

    log_warn ("own_change_refused", "code=%s err=\"%s\"", dfs_error_name (result->code),
              why);
    if (!change->seed || result->code == DFS_EEXIST) /* somebody else was first */
        return;
    snprintf (text, sizeof text, "cluster.cfg cannot make a cluster: %s", why);
    links_give_up (links, text);
}

void pending_applied (links_t *links, const mail_applied_t *mail)
{
    pending_t *self = links->pending;
    static char few_text[] = "stored with fewer copies than its policy asks for";
    bool chores = false;
    bool directory = false;

    for (size_t i = 0; i < mail->n; i++) {
        change_t *change = idmap_get (self->by_cookie, mail->rows[i].cookie);
        Dfs__OpResult *result = mail->rows[i].result;
        if (!change)
            continue;
        change_forget (self, change);
        self->in_flight -= change->bytes;
        chores |= result->has_job && result->job;
        if (change->session) {
            if (change->copies < change->replicas && !result->text)
                result->text = few_text;
            tell_core (links, change, result);
            results_add (links, change, result);
        } else if (change->token) {
            tell_proposed (links, change, result->has_code ? result->code : DFS_OK);
        } else if (change->hash_index) {
            agree_told (links, mail->rows[i].index);
        } else {
            bool refused = result->has_code && result->code < 0;

            self->own--;
            self->own_members -= change->member;
            /* What was refused changed nothing: to ask for it again at once would have
             * it refused again, for ever. */
            chores |= !refused;
            directory |= change->directory && (!refused || result->code == DFS_EEXIST);
            if (refused)
                own_refused (links, change, result);
            change_answer_asker (links, change,
                                 result->has_code ? result->code : DFS_OK, result->text,
                                 mail->rows[i].index);
        }
        change_free (change);
    }
    results_send (links);
    if (directory)
        roster_refresh (links);
    if (chores)
        roster_chores (links);
}
