/* SPDX-License-Identifier: MPL-2.0 */
/* A disk that can lose power: through the hook of common/io.h it keeps apart what was
 * synced and what was only written. After power_cut every operation fails;
 * power_restore then builds a directory as a crash may leave it: of what was not
 * synced, any 512-byte sector is there or not, and any creation, renaming or removal of
 * a name has happened or not. Threads: any may do I/O meanwhile. */
#ifndef T_UNIT_JOURNAL_POWER_H
#define T_UNIT_JOURNAL_POWER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/io.h"
#include "common/rng.h"

typedef struct power power_t;

/* Watches one directory, whose files as they are now count as durable. Sets the hook.
 */
power_t *power_new (const char *dir);
/* Cuts the power at the N-th operation that changes something from now on. */
void power_cut_after (power_t *self, uint64_t n);
/* As power_cut_after, but it is only the process that dies, after that operation: what
 * it wrote is in the page cache, and power_revive lets the next process see it. When N
 * is odd and the operation a fdatasync, that fails, and its data will never get to the
 * disk. */
void power_kill_after (power_t *self, uint64_t n);
void power_revive (power_t *self);
bool power_is_cut (power_t *self);
/* Makes TO (an empty directory) what DIR is after the crash. */
void power_restore (power_t *self, rng_t *rng, const char *to);
/* Unsets the hook. */
void power_destroy (power_t **self_p);

/* Takes one kind of sync away, to show that the test notices. -1: none. */
extern int power_ignored_op;

#endif
