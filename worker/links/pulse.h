/* SPDX-License-Identifier: MPL-2.0 */
/* Load of this process and its disks, as the heartbeat tells it. Owned by one thread.
 */
#ifndef WORKER_LINKS_PULSE_H
#define WORKER_LINKS_PULSE_H

#include <stddef.h>
#include <stdint.h>

typedef struct pulse pulse_t;

typedef struct pulse_load {
    uint32_t cpu_permille;  /* of this process since the last sample; 1000: all cores */
    uint32_t disk_permille; /* of its busiest disk, busy */
    uint64_t memory;        /* resident bytes of this process */
} pulse_load_t;

/* DIRS: N directories on the disks to watch. */
pulse_t *pulse_new (const char *const *dirs, size_t n);
void pulse_destroy (pulse_t **self_p);
/* NOW: monotonic. What cannot be read is 0. */
void pulse_sample (pulse_t *self, uint64_t now, pulse_load_t *load);

#endif
