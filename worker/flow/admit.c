/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <string.h>

#include "msgs/control.pb-c.h"
#include "msgs/sock.h"
#include "worker/flow/admit.h"

uint32_t sender_slot (const sender_t *sender, uint32_t slots)
{
    uint32_t number = (uint32_t)sender->fd;
    if (sender->has_key)
        memcpy (&number, sender->key, sizeof number);
    return number % slots;
}

static int check_sender (const admit_t *self, const frame_t *frame,
                         const grant_t *grant, const sender_t *sender, dfs_error_t *err)
{
    if (!self->secure)
        return DFS_OK;
    if (!sender->has_key)
        return fail (err, DFS_EAUTH, "sender without a key");
    if (admit_must_hash (frame, grant)) {
        if (memcmp (grant->client_key, sender->key, 32) != 0)
            return fail (err, DFS_EAUTH, "grant of another client");
        return DFS_OK;
    }
    int role = zap_lookup (self->zap, sock_domain (SOCK_INGEST), sender->key, NULL, 0);
    if (role != DFS__ROLE__ROLE_WORKER)
        return fail (err, DFS_EAUTH, "only a worker may send this hop");
    return DFS_OK;
}

static int check_epoch (const admit_t *self, const grant_t *grant, uint64_t now,
                        dfs_error_t *err)
{
    /* A grant outlives the term of the leader that gave it: what counts in the end is
     * decided when the chunk is referenced. It does not outlive the cluster. */
    uint32_t incarnation;
    uint64_t term;
    epoch_get (self->epoch, &incarnation, &term);
    if (grant->incarnation < incarnation)
        return fail (err, DFS_ESTALE, "grant of an earlier incarnation of the cluster");
    uint64_t log_time = directory_log_time (self->directory, now);
    if (grant->expiry_ns && log_time > grant->expiry_ns)
        return fail (err, DFS_ESTALE, "grant has expired");
    return DFS_OK;
}

int admit_frame (const admit_t *self, const frame_t *frame, const sender_t *sender,
                 uint64_t now, grant_t *grant, dfs_error_t *err)
{
    uint32_t key_id;
    uint8_t key[32];
    if (frame->grant_len == 0 || frame->offset != 0)
        return fail (err, DFS_EPROTO, "chunk begins without a grant");
    uint32_t worker = directory_self (self->directory);
    if (worker == 0 || directory_n_keys (self->directory) == 0)
        return fail (err, DFS_EUNAVAIL, "no broker has welcomed this worker yet");
    if (grant_key_id (frame->grant, frame->grant_len, &key_id) < 0)
        return fail (err, DFS_EPROTO, "not a grant");
    if (!directory_key (self->directory, key_id, key))
        return fail (err, DFS_EAUTH, "grant under a key that is not valid");
    int rc = grant_unpack (frame->grant, frame->grant_len, key, grant, err);
    if (rc < 0)
        return rc;
    if (frame->hop >= grant->n_targets || grant->targets[frame->hop] != worker)
        return fail (err, DFS_EAUTH, "grant for another worker");
    if (copykey_cmp (&grant->key, &frame->key) != 0)
        return fail (err, DFS_EAUTH, "grant for another chunk");
    if (grant->length != frame->true_len || frame->stored_len == 0)
        return fail (err, DFS_EAUTH, "grant for another length");
    if (frame->key.part != 0)
        return fail (err, DFS_EVERSION, "chunk part %u", frame->key.part);
    rc = check_epoch (self, grant, now, err);
    return rc < 0 ? rc : check_sender (self, frame, grant, sender, err);
}

bool admit_must_hash (const frame_t *frame, const grant_t *grant)
{
    return frame->hop == 0 && grant->order == 0;
}
