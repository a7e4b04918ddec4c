/* SPDX-License-Identifier: MPL-2.0 */
/* Results of changes: those of one batch go to a session in one message. */
#include <string.h>

#include "broker/links/pending_private.h"

#define RESULT_ROOM (900 * 1024) /* packed results in one message */

/* Sends what SESSION has waiting. */
static void send_results (links_t *links, session_t *session)
{
    Dfs__Envelope env;
    Dfs__Changed changed;
    Dfs__ChangeResult rows[SESSION_CHANGED];
    Dfs__ChangeResult *list[SESSION_CHANGED];

    dfs__changed__init (&changed);
    changed.results = list;
    for (size_t i = 0; i < session->n_changed; i++) {
        dfs__change_result__init (&rows[i]);
        rows[i].request = session->changed[i].request;
        rows[i].result = session->changed[i].result;
        list[changed.n_results++] = &rows[i];
    }
    session->n_changed = 0;
    session->changed_bytes = 0;
    dfs__envelope__init (&env);
    env.has_seq = true;
    env.seq = session->changed_seq;
    env.body_case = DFS__ENVELOPE__BODY_CHANGED;
    env.changed = &changed;
    front_send (links, session, &env);
}

void results_add (links_t *links, const change_t *change, Dfs__OpResult *result)
{
    session_t *session = clients_get (links->clients, change->session);
    size_t bytes =
        64 + 34 * result->n_missing + (result->text ? strlen (result->text) : 0);

    if (!session || !session->conn)
        return; /* it asks again under the same number when it is back */
    if (session->n_changed == SESSION_CHANGED ||
        session->changed_bytes + bytes > RESULT_ROOM)
        send_results (links, session);
    if (!session->is_touched) {
        session->is_touched = true;
        session->touched = links->pending->touched;
        links->pending->touched = session;
    }
    if (session->n_changed == 0)
        session->changed_seq = change->seq;
    else if (session->changed_seq != change->seq)
        session->changed_seq = 0;
    session->changed[session->n_changed].request = change->request;
    session->changed[session->n_changed].result = result;
    session->n_changed++;
    session->changed_bytes += bytes;
}

void results_send (links_t *links)
{
    session_t *session;

    while ((session = links->pending->touched)) {
        links->pending->touched = session->touched;
        session->touched = NULL;
        session->is_touched = false;
        if (session->n_changed)
            send_results (links, session);
    }
}
