/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/links/timekeeper.h"

#include "common/units.h"

#define JUMP (5 * SEC) /* between two looks; clocks that are tuned move far less */

void timekeeper_start (timekeeper_t *self, uint64_t wall, uint64_t boot)
{
    self->wall = wall;
    self->boot = boot;
    self->off = 0;
}

bool timekeeper_look (timekeeper_t *self, uint64_t wall, uint64_t boot)
{
    int64_t off = (int64_t)(wall - self->wall) - (int64_t)(boot - self->boot);
    bool believed = self->off == 0;
    bool good = off > -(int64_t)JUMP && off < (int64_t)JUMP;

    if (good)
        timekeeper_start (self, wall, boot);
    else
        self->off = off;
    return believed != good;
}

uint64_t timekeeper_now (const timekeeper_t *self, uint64_t wall, uint64_t boot)
{
    return self->off == 0 ? wall : self->wall + (boot - self->boot);
}
