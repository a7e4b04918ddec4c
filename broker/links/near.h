/* SPDX-License-Identifier: MPL-2.0 */
/* Where a client is: where the workers at its address are. */
#ifndef BROKER_LINKS_NEAR_H
#define BROKER_LINKS_NEAR_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/links/session.h"

/* The other end of FD as an IPv6 address; false when it has none. */
bool near_address (int fd, uint8_t out[16]);
/* Cuts the location PLACE to the components that it shares with OTHER. */
void near_common (char *place, const char *other);

/* Connections by the address of their other end. MAP is empty at first, and only for
 * these. */
void near_put (idmap_t *map, conn_t *conn);
/* Nothing if it is not there. */
void near_remove (idmap_t *map, conn_t *conn);
/* Those at ADDRESS, one after the other: AFTER is NULL at first; NULL at the end. */
conn_t *near_find (const idmap_t *map, const uint8_t address[16], const conn_t *after);

#endif
