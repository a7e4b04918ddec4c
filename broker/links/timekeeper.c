/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/links/timekeeper.h"

#include "common/units.h"

#define JUMP   (5 * SEC) /* between two looks; clocks that are tuned move far less */
#define BEHIND 8         /* an eighth of time is what log time gives back when ahead */

void timekeeper_start (timekeeper_t *self, uint64_t wall, uint64_t boot)
{
    *self = (timekeeper_t){.wall = wall, .boot = boot};
}

static bool near (int64_t a, int64_t b)
{
    return a - b > -(int64_t)JUMP && a - b < (int64_t)JUMP;
}

static size_t count_near (const int64_t *offsets, size_t n, int64_t at)
{
    size_t sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += near (offsets[i], at);
    return sum;
}

bool timekeeper_compare (timekeeper_t *self, const int64_t *offsets, size_t n,
                         size_t voters)
{
    size_t majority = voters / 2 + 1;
    bool believed = self->ahead == 0;
    int64_t far = 0;

    self->ahead = self->shift = 0;
    self->lonely = 1 + n < majority;
    if (self->lonely || 1 + count_near (offsets, n, 0) >= majority)
        return !believed;
    for (size_t i = 0; i < n; i++) {
        if (!near (offsets[i], 0) && self->shift == 0 &&
            count_near (offsets, n, offsets[i]) >= majority)
            self->shift = offsets[i];
        if (!near (offsets[i], 0))
            far = offsets[i];
    }
    self->ahead = self->shift ? -self->shift : -far;
    return believed;
}

bool timekeeper_doubted (const timekeeper_t *self)
{
    return self->off || self->ahead || self->lonely;
}

bool timekeeper_look (timekeeper_t *self, uint64_t wall, uint64_t boot)
{
    int64_t off = (int64_t)(wall - self->wall) - (int64_t)(boot - self->boot);
    bool believed = self->off == 0;
    bool good = off > -(int64_t)JUMP && off < (int64_t)JUMP;

    self->off = good ? 0 : off;
    if (good) {
        self->wall = wall;
        self->boot = boot;
    }
    return believed != good;
}

bool timekeeper_certain (const timekeeper_t *self)
{
    return !self->lonely && (self->ahead == 0 || self->shift != 0);
}

uint64_t timekeeper_now (const timekeeper_t *self, uint64_t wall, uint64_t boot)
{
    return self->off == 0 ? wall + (uint64_t)self->shift
                          : self->wall + (boot - self->boot);
}

uint64_t timekeeper_log (uint64_t now, uint64_t last, uint64_t elapsed)
{
    return now > last ? now : last + elapsed - elapsed / BEHIND;
}
