/* SPDX-License-Identifier: MPL-2.0 */
/* What workers may send, who handles it, and which role it needs. */
#include "broker/links/links_private.h"

static const link_row_t back_rows[] = {
    {DFS__ENVELOPE__BODY_HELLO, back_hello, DFS__ROLE__ROLE_NONE},
    {DFS__ENVELOPE__BODY_PING, back_ping, DFS__ROLE__ROLE_NONE},
    {DFS__ENVELOPE__BODY_CHANGES, back_changes, DFS__ROLE__ROLE_WORKER},
    {DFS__ENVELOPE__BODY_STREAM_READY, back_stream_ready, DFS__ROLE__ROLE_WORKER},
    {DFS__ENVELOPE__BODY_TRACED_STEPS, back_traced, DFS__ROLE__ROLE_WORKER},
    {DFS__ENVELOPE__BODY_YIELDED, back_yielded, DFS__ROLE__ROLE_WORKER},
    {DFS__ENVELOPE__BODY_SEND_REFUSED, back_send_refused, DFS__ROLE__ROLE_WORKER},
    {DFS__ENVELOPE__BODY_CREDIT, back_credit, DFS__ROLE__ROLE_WORKER},
    {DFS__ENVELOPE__BODY_REFUSED, back_refused, DFS__ROLE__ROLE_WORKER},
    {DFS__ENVELOPE__BODY_ORDER_RESULT, back_order_result, DFS__ROLE__ROLE_WORKER},
};

const link_row_t *back_row (Dfs__Envelope__BodyCase body)
{
    for (size_t i = 0; i < sizeof back_rows / sizeof back_rows[0]; i++) {
        if (back_rows[i].body == body)
            return &back_rows[i];
    }
    return NULL;
}
