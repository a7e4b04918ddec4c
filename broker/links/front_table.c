/* SPDX-License-Identifier: MPL-2.0 */
/* What clients may send, who handles it, and which role it needs. */
#include "broker/links/links_private.h"

static const link_row_t front_rows[] = {
    {DFS__ENVELOPE__BODY_HELLO, front_hello, DFS__ROLE__ROLE_NONE},
    {DFS__ENVELOPE__BODY_PING, front_ping, DFS__ROLE__ROLE_NONE},
    {DFS__ENVELOPE__BODY_CHANGE, front_change, DFS__ROLE__ROLE_CLIENT},
    {DFS__ENVELOPE__BODY_STAT, front_stat, DFS__ROLE__ROLE_CLIENT},
    {DFS__ENVELOPE__BODY_LIST, front_list, DFS__ROLE__ROLE_CLIENT},
    {DFS__ENVELOPE__BODY_OPEN, front_open, DFS__ROLE__ROLE_CLIENT},
    {DFS__ENVELOPE__BODY_EXTENTS, front_by_handle, DFS__ROLE__ROLE_CLIENT},
    {DFS__ENVELOPE__BODY_LOCATE, front_by_handle, DFS__ROLE__ROLE_CLIENT},
    {DFS__ENVELOPE__BODY_VERIFY, front_by_handle, DFS__ROLE__ROLE_CLIENT},
    {DFS__ENVELOPE__BODY_FETCH, front_fetch, DFS__ROLE__ROLE_CLIENT},
    {DFS__ENVELOPE__BODY_CANCEL, front_cancel, DFS__ROLE__ROLE_CLIENT},
    {DFS__ENVELOPE__BODY_PLACE, front_place, DFS__ROLE__ROLE_CLIENT},
    {DFS__ENVELOPE__BODY_ADMIN, front_admin, DFS__ROLE__ROLE_CLIENT},
    {DFS__ENVELOPE__BODY_SCRUB, front_scrub, DFS__ROLE__ROLE_CLIENT},
    {DFS__ENVELOPE__BODY_CLUSTER_STATUS, front_status, DFS__ROLE__ROLE_CLIENT},
};

const link_row_t *front_row (Dfs__Envelope__BodyCase body)
{
    for (size_t i = 0; i < sizeof front_rows / sizeof front_rows[0]; i++) {
        if (front_rows[i].body == body)
            return &front_rows[i];
    }
    return NULL;
}
