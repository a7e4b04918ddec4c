/* SPDX-License-Identifier: MPL-2.0 */
/* Whether the wall clock may be believed: it goes on like the machine's own clock, or
 * it has jumped. What a leader does by log time and cannot take back (pruning,
 * expiring) waits until it is back where it was. One thread; times are nanoseconds. */
#ifndef BROKER_LINKS_TIMEKEEPER_H
#define BROKER_LINKS_TIMEKEEPER_H

#include <stdbool.h>
#include <stdint.h>

typedef struct timekeeper {
    uint64_t wall; /* when it was last believed */
    uint64_t boot;
    int64_t off; /* how far it is from where it would be, 0 while it is believed */
} timekeeper_t;

/* WALL: CLOCK_REALTIME, BOOT: CLOCK_BOOTTIME, which also runs while a machine sleeps.
 */
void timekeeper_start (timekeeper_t *self, uint64_t wall, uint64_t boot);
/* Looks at both; true when that changed what is believed. */
bool timekeeper_look (timekeeper_t *self, uint64_t wall, uint64_t boot);
/* Time of day: the wall clock, or what it would be without the jump. */
uint64_t timekeeper_now (const timekeeper_t *self, uint64_t wall, uint64_t boot);

#endif
