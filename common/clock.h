/* SPDX-License-Identifier: MPL-2.0 */
/* Time. Code that must run on virtual time takes `now` as an argument and never calls
 * this. Any thread. */
#ifndef COMMON_CLOCK_H
#define COMMON_CLOCK_H

#include <stdint.h>

/* CLOCK_MONOTONIC in ns. */
uint64_t clock_mono (void);
/* CLOCK_BOOTTIME in ns: like CLOCK_MONOTONIC, and it runs while the machine sleeps. */
uint64_t clock_boot (void);
/* Wall clock (CLOCK_REALTIME) in ns since 1970: for log lines, file times and the log
 * time that a leader puts into entries; never compared between machines. */
uint64_t clock_wall (void);

#endif
