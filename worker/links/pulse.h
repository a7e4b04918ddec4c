/* SPDX-License-Identifier: MPL-2.0 */
/* Load of this machine and process, as the heartbeat tells it. Owned by one thread. */
#ifndef WORKER_LINKS_PULSE_H
#define WORKER_LINKS_PULSE_H

#include <stdint.h>

typedef struct pulse pulse_t;

typedef struct pulse_load {
    uint32_t cpu_permille;  /* of the machine, busy since the last sample */
    uint32_t disk_permille; /* of the disk under the data directory, busy */
    uint64_t memory;        /* resident bytes of this process */
} pulse_load_t;

/* DATA_DIR: on the disk to watch. */
pulse_t *pulse_new (const char *data_dir);
void pulse_destroy (pulse_t **self_p);
/* NOW: monotonic. What cannot be read is 0. */
void pulse_sample (pulse_t *self, uint64_t now, pulse_load_t *load);

#endif
