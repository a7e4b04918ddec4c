/* SPDX-License-Identifier: MPL-2.0 */
/* Clients' writing: changes of names, and placing of chunks. */
#include <string.h>

#include "broker/links/links_private.h"
#include "msgs/check.h"

#define REQUESTS_MAX 256
#define CHUNK_MAX    (64 * MIB)

static void malformed (links_t *self, job_t *job, const char *why)
{
    links_drop (self, "front", &job->from, why);
    front_refuse (self, job, DFS_EPROTO, why);
}

void front_change (links_t *self, conn_t *conn, job_t *job)
{
    const Dfs__Change *ask = job->env->change;
    uint64_t done_below = ask->has_done_below ? ask->done_below : 0;

    if (ask->n_requests == 0 || ask->n_requests > REQUESTS_MAX) {
        malformed (self, job, "change: number of requests");
        return;
    }
    for (size_t i = 0; i < ask->n_requests; i++) {
        if (ask->requests[i]->request == 0) {
            malformed (self, job, "change: request 0");
            return;
        }
    }
    for (size_t i = 0; i < ask->n_requests; i++) {
        const Dfs__Request *request = ask->requests[i];
        dfs_error_t err;

        if (check_op (request->op, false, &err) == DFS_OK)
            pending_request (self, conn->session, job, request, done_below);
        else {
            links_drop (self, "front", &job->from, err.text);
            pending_refuse (self, conn->session, job, request->request, &err);
        }
    }
}

static int take_item (const Dfs__PlaceItem *in, event_place_item_t *out,
                      dfs_error_t *err)
{
    int rc = check_copykey (in->key, &out->key, err);

    if (rc < 0)
        return rc;
    if (in->length == 0 || in->length > CHUNK_MAX)
        return fail (err, DFS_EPROTO, "place: length of a chunk");
    out->length = in->length;
    out->avoid = in->avoid;
    out->n_avoid = in->n_avoid < CORE_AVOID ? in->n_avoid : CORE_AVOID;
    return DFS_OK;
}

void front_place (links_t *self, conn_t *conn, job_t *job)
{
    const Dfs__Place *ask = job->env->place;
    event_place_item_t *items;
    dfs_error_t err;

    (void)conn;
    if (ask->n_items == 0 || ask->n_items > CORE_PLACE_ITEMS) {
        malformed (self, job, "place: number of items");
        return;
    }
    arena_reset (self->scratch);
    items = links_need (self, ask->n_items * sizeof *items);
    for (size_t i = 0; i < ask->n_items; i++) {
        if (take_item (ask->items[i], &items[i], &err) < 0) {
            malformed (self, job, err.text);
            return;
        }
    }
    event_t event = {.type = EVENT_PLACE,
                     .u.place = {.session = job->session,
                                 .seq = job->env->seq,
                                 .upload = ask->upload,
                                 .policy = ask->has_policy ? ask->policy : 0,
                                 .items = items,
                                 .n = ask->n_items}};
    links_step (self, &event);
}
