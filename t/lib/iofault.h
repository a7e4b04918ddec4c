/* SPDX-License-Identifier: MPL-2.0 */
/* A disk that fails and a machine that loses power, behind common/io.h's hook: files
 * below one directory are shadowed, so that what was never made durable can be taken
 * back: sectors dropped or torn, file sizes, creations, renames and removals forgotten.
 * Also counts operations and can fail the k-th. One at a time per process; any thread
 * may do I/O meanwhile. */
#ifndef T_LIB_IOFAULT_H
#define T_LIB_IOFAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Operations that count: writes, syncs, truncates, punches, directory changes, LMDB
 * commits; opens and reads do not. */
void iofault_start (const char *root);
void iofault_stop (void); /* forgets the shadow; files stay as they are */

/* The K-th operation from now (1: the next) fails with ERRNUM; when POWER, every later
 * one too: the machine is off. 0 disarms. */
void iofault_arm (uint64_t k, int errnum, bool power);
uint64_t iofault_count (void); /* since iofault_start */
bool iofault_fired (void);

/* Power was lost: everything not durable is dropped, kept or torn as SEED says. The
 * files must be closed. Disarms; the shadow starts afresh. */
void iofault_lose (uint64_t seed);

/* Sync calls met so far, by call site. A muted site's syncs make nothing durable. */
size_t iofault_sites (uint64_t *out, size_t max);
void iofault_mute (uint64_t site); /* 0: none */
const char *iofault_site_name (uint64_t site);

#endif
