/* SPDX-License-Identifier: MPL-2.0 */
/* Whether the wall clock may be believed: it goes on like the machine's own clock and
 * is with those of a majority of brokers, or it has jumped, or is another. What a
 * leader does by log time and cannot take back (pruning, expiring) waits until it is
 * back. One thread; times are nanoseconds. */
#ifndef BROKER_LINKS_TIMEKEEPER_H
#define BROKER_LINKS_TIMEKEEPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct timekeeper {
    uint64_t wall; /* when it was last believed */
    uint64_t boot;
    int64_t off;   /* how far it is from where it would be, 0 while it is believed */
    int64_t ahead; /* of a majority's clocks, 0 while it is with one */
    int64_t shift; /* what others agree has to be added to it */
    bool lonely;   /* fewer clocks are known than a majority has */
} timekeeper_t;

/* WALL: CLOCK_REALTIME, BOOT: CLOCK_BOOTTIME, which also runs while a machine sleeps.
 */
void timekeeper_start (timekeeper_t *self, uint64_t wall, uint64_t boot);
/* Looks at both; true when that changed what is believed. */
bool timekeeper_look (timekeeper_t *self, uint64_t wall, uint64_t boot);
/* Compares it with other voters' clocks: OFFSETS of the N that are known of VOTERS
 * (this broker is one of them, and not in the list). A clock that is with a majority's
 * is believed. True when that changed what is believed. */
bool timekeeper_compare (timekeeper_t *self, const int64_t *offsets, size_t n,
                         size_t voters);
/* What only a clock that is believed may decide must wait. */
bool timekeeper_doubted (const timekeeper_t *self);
/* True when timekeeper_now gives what a majority would agree to. */
bool timekeeper_certain (const timekeeper_t *self);
/* Time of day: the wall clock, or what it would be without the jump, or what a majority
 * agrees on. */
uint64_t timekeeper_now (const timekeeper_t *self, uint64_t wall, uint64_t boot);
/* Log time when the time of day is NOW and it was LAST that long ago: it never goes
 * back, and where it is ahead (a clock that was wrong once wrote an entry) it goes on a
 * little more slowly than time does, or what waits for it would wait for as long. */
uint64_t timekeeper_log (uint64_t now, uint64_t last, uint64_t elapsed);

#endif
