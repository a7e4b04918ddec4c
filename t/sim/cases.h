/* SPDX-License-Identifier: MPL-2.0 */
/* What cases on virtual time share. Each runs many seeds; a seed that fails is printed,
 * and SIM_SEED=n SIM_SEEDS=1 replays it. SIM_SEEDS sets how many are run, SIM_CASE is a
 * pattern of names of cases. */
#ifndef T_SIM_CASES_H
#define T_SIM_CASES_H

#include "t/sim/world.h"

/* Of the environment. */
uint64_t cases_number (const char *name, uint64_t otherwise);

#define FOR_SEEDS(usual)                                                               \
    world_case = __func__;                                                             \
    for (uint64_t seed = cases_number ("SIM_SEED", 1),                                 \
                  end = seed + cases_number ("SIM_SEEDS", usual);                      \
         seed < end; seed++)

/* Everything is quiet, and what was committed has all its copies again. */
void cases_settle (world_t *world, size_t copies);

#endif
