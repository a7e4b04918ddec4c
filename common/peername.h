/* SPDX-License-Identifier: MPL-2.0 */
#ifndef COMMON_PEERNAME_H
#define COMMON_PEERNAME_H

#include <stddef.h>

/* Fills OUT with the numeric address and port of the other end of the connected socket
 * FD, or "-" when it is connected no more. Any thread. */
void peername_text (int fd, char *out, size_t cap);

#endif
