/* SPDX-License-Identifier: MPL-2.0 */
/* Seeded pseudo-random numbers (splitmix64, Steele, Lea, Flood 2014) for choices that a
 * test must be able to replay, and the system's random bytes for secrets. */
#ifndef COMMON_RNG_H
#define COMMON_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct rng {
    uint64_t state;
} rng_t;

void rng_seed (rng_t *rng, uint64_t seed);
uint64_t rng_next (rng_t *rng);
/* 0 <= result < n; n > 0. */
uint64_t rng_below (rng_t *rng, uint64_t n);
/* Fills BUF from getrandom (2); aborts if the system has none. */
void rng_secret (void *buf, size_t len);
uint64_t rng_secret_u64 (void);

#endif
