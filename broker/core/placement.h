/* SPDX-License-Identifier: MPL-2.0 */
/* Which workers get a chunk: distinct failure domains as far as there are any, then
 * weighted by free space and load, random among those. */
#ifndef BROKER_CORE_PLACEMENT_H
#define BROKER_CORE_PLACEMENT_H

#include "broker/core/credit.h"

typedef struct placement {
    /* asked */
    uint64_t length;
    uint64_t credit;
    enum lane lane;
    const uint32_t *taken; /* workers that have or get a copy: not again, and the others
                              shall be far from them */
    size_t n_taken;
    const uint32_t *avoid; /* only when there is nobody else */
    size_t n_avoid;
    uint32_t apart;   /* > 0: only those that share less components with any of them */
    bool anywhere;    /* nearness does not count: those far away were tried in vain */
    size_t n;         /* at most GRANT_TARGETS */
    uint32_t busy_to; /* > 0: not workers with so many copy orders (repair) */
    /* answered */
    size_t
        eligible; /* workers that could take it, credit aside, at most N are counted */
    bool starved; /* right ones exist and have no credit: wait */
    bool full;    /* workers were left out for want of space */
    worker_t *chosen[GRANT_TARGETS];
    size_t n_chosen; /* N or less than N; as many as can be had now */
} placement_t;

void placement_choose (core_t *core, placement_t *ask);

#endif
