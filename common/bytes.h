/* SPDX-License-Identifier: MPL-2.0 */
/* Fixed-width integers in byte buffers: little-endian for wire frames and records,
 * big-endian for keys that must sort. */
#ifndef COMMON_BYTES_H
#define COMMON_BYTES_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

#define BYTES_PAIR(bits, end)                                                          \
    static inline void put_##end##bits (void *p, uint##bits##_t v)                     \
    {                                                                                  \
        v = hto##end##bits (v);                                                        \
        memcpy (p, &v, sizeof v);                                                      \
    }                                                                                  \
    static inline uint##bits##_t get_##end##bits (const void *p)                       \
    {                                                                                  \
        uint##bits##_t v;                                                              \
        memcpy (&v, p, sizeof v);                                                      \
        return end##bits##toh (v);                                                     \
    }

BYTES_PAIR (16, le)
BYTES_PAIR (32, le)
BYTES_PAIR (64, le)
BYTES_PAIR (16, be)
BYTES_PAIR (32, be)
BYTES_PAIR (64, be)

#undef BYTES_PAIR

#endif
