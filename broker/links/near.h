/* SPDX-License-Identifier: MPL-2.0 */
/* Where a client is: where the workers at its address are. */
#ifndef BROKER_LINKS_NEAR_H
#define BROKER_LINKS_NEAR_H

#include <stdbool.h>
#include <stdint.h>

/* The other end of FD as an IPv6 address; false when it has none. */
bool near_address (int fd, uint8_t out[16]);
/* Cuts the location PLACE to the components that it shares with OTHER. */
void near_common (char *place, const char *other);

#endif
