/* SPDX-License-Identifier: MPL-2.0 */
#include <stdlib.h>

#include "t/sim/cases.h"

uint64_t cases_number (const char *name, uint64_t otherwise)
{
    const char *text = getenv (name);

    return text ? strtoull (text, NULL, 10) : otherwise;
}

void cases_settle (world_t *world, size_t copies)
{
    uint64_t limit = world_now (world) + 60 * SEC;
    core_status_t status;

    while (!world_has_copies (world, copies) && world_now (world) < limit)
        world_run (world, world_now (world) + 100 * MS);
    world_assert_copies (world, copies);
    world_run (world, world_now (world) + 60 * SEC);
    /* A late pass may just have found copies that stand too close together. */
    limit = world_now (world) + 60 * SEC;
    do {
        world_run (world, world_now (world) + 100 * MS);
        core_status (world_core (world), &status);
    } while (status.repair_active > 0 && world_now (world) < limit);
    world_assert_copies (world, copies);
    world_assert_idle (world);
}
