/* SPDX-License-Identifier: MPL-2.0 */
/* Whether any broker may be there: what run/ tells of those of this machine, and
 * whether their ports take connections. A look, not a wait. One thread. */
#ifndef CLIENT_LIB_PRESENCE_H
#define CLIENT_LIB_PRESENCE_H

#include "msgs/cluster.h"

/* Of the broker that is most there. */
enum presence {
    PRESENCE_NONE, /* each is known not to run: nothing of it is here, where it was */
    PRESENCE_REFUSED, /* each host answers that nobody listens: it may be starting */
    PRESENCE_MAYBE,
};

/* Takes a second at most. */
enum presence presence_look (const cluster_t *cluster);

#endif
