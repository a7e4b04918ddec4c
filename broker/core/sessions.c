/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/sessions.h"

#include <stdlib.h>
#include <string.h>

#include "broker/core/place.h"
#include "broker/core/route.h"
#include "broker/core/uploads.h"

struct sessions {
    table_t *by_id;
};

static bool match_session (const void *entry, const void *key)
{
    return ((const session_t *)entry)->id == *(const uint64_t *)key;
}

sessions_t *sessions_new (void)
{
    sessions_t *self = core_zalloc (sizeof *self);

    self->by_id = table_new (match_session);
    return self;
}

void sessions_destroy (sessions_t **self_p)
{
    size_t cursor = 0;
    session_t *session;

    if (!*self_p)
        return;
    while ((session = table_next ((*self_p)->by_id, &cursor))) {
        free (session->readers);
        free (session);
    }
    table_destroy (&(*self_p)->by_id);
    free (*self_p);
    *self_p = NULL;
}

session_t *sessions_find (const core_t *core, uint64_t id)
{
    return table_get (core->sessions->by_id, table_hash (id), &id);
}

size_t sessions_count (const core_t *core)
{
    return table_count (core->sessions->by_id);
}

void sessions_open (core_t *core, const event_session_t *event)
{
    session_t *session = sessions_find (core, event->id);

    if (!session) {
        if (sessions_count (core) >= core->config.max_sessions) {
            core_log (core, LOG_WARN, "sessions_full", "max=%u",
                      core->config.max_sessions);
            return;
        }
        session = core_zalloc (sizeof *session);
        session->id = event->id;
        session->patience = 1;
        list_init (&session->requests);
        list_init (&session->parked[LANE_SMALL]);
        list_init (&session->parked[LANE_LARGE]);
        list_init (&session->ring);
        table_put (core->sessions->by_id, table_hash (event->id), session);
    }
    session->user = event->user;
    memcpy (session->client_key, event->client_key, sizeof session->client_key);
    if (event->location)
        session->path = domains_look (core->domains, event->location);
}

void sessions_gone (core_t *core, uint64_t id)
{
    session_t *session = table_remove (core->sessions->by_id, table_hash (id), &id);

    if (!session)
        return;
    uploads_session_gone (core, session);
    place_session_gone (core, session);
    route_session_gone (core, session);
    free (session->readers);
    free (session);
}
