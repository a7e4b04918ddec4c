/* SPDX-License-Identifier: MPL-2.0 */
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

#include "worker/store/guard.h"

static _Thread_local guard_t *innermost;
static struct sigaction before;

/* Only faults that this thread's own access makes come here: between two instructions
 * of it, never in the middle of a call of the C library. */
static void on_fault (int signal, siginfo_t *info, void *context)
{
    (void)info;
    (void)context;
    if (innermost)
        siglongjmp (innermost->env, 1);
    /* Somebody else's: the access is made again and ends as it would have. */
    sigaction (signal, &before, NULL);
}

static void install (void)
{
    struct sigaction action = {.sa_sigaction = on_fault,
                               .sa_flags = SA_SIGINFO | SA_NODEFER};
    sigemptyset (&action.sa_mask);
    sigaction (SIGBUS, &action, &before);
}

void guard_install (void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once (&once, install);
}

sigjmp_buf *guard_begin (guard_t *guard)
{
    guard->outer = innermost;
    innermost = guard;
    return &guard->env;
}

void guard_end (const guard_t *guard)
{
    innermost = guard->outer;
}
