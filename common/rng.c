/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <sys/random.h>

#include "rng.h"

void rng_seed (rng_t *rng, uint64_t seed)
{
    rng->state = seed;
}

uint64_t rng_next (rng_t *rng)
{
    uint64_t z = (rng->state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

uint64_t rng_below (rng_t *rng, uint64_t n)
{
    assert (n > 0);
    return (uint64_t)(((unsigned __int128)rng_next (rng) * n) >> 64);
}

void rng_secret (void *buf, size_t len)
{
    uint8_t *p = buf;
    while (len) {
        ssize_t n = getrandom (p, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        assert (n > 0); /* only an impossible kernel has no random bytes */
        p += n;
        len -= (size_t)n;
    }
}

uint64_t rng_secret_u64 (void)
{
    uint64_t value;
    rng_secret (&value, sizeof value);
    return value;
}
