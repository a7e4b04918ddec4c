/* SPDX-License-Identifier: MPL-2.0 */
/* A mapped file whose disk went away, or that was cut short, is read as SIGBUS. What
 * runs between guard_begin and guard_end is left by such a fault and goes on behind
 * sigsetjmp (doc/design/0026-disks-that-go.md); whatever it held is given up. Per
 * thread; guards nest. */
#ifndef WORKER_STORE_GUARD_H
#define WORKER_STORE_GUARD_H

#include <setjmp.h>

typedef struct guard {
    sigjmp_buf env;
    struct guard *outer;
} guard_t;

/* Once per process, before the first guard; faults outside of guards go where they
 * went before. */
void guard_install (void);
/* Use: if (sigsetjmp (*guard_begin (&guard), 0)) { …a fault… } */
sigjmp_buf *guard_begin (guard_t *guard);
void guard_end (const guard_t *guard);

#endif
