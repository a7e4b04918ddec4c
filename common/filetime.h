/* SPDX-License-Identifier: MPL-2.0 */
/* Times of files as one number: nanoseconds since 1970 in two's complement, so that
 * what is older has a number, too (1677 to 2262). UINT64_MAX is kept for "not given".
 */
#ifndef COMMON_FILETIME_H
#define COMMON_FILETIME_H

#include <stdint.h>
#include <time.h>

/* A time outside of what the number holds becomes the nearest that it does. */
uint64_t filetime_pack (struct timespec time);
struct timespec filetime_unpack (uint64_t packed);

#endif
