/* SPDX-License-Identifier: MPL-2.0 */
#include "lib_lookups.h"

#include <dlfcn.h>
#include <netdb.h>
#include <signal.h>
#include <string.h>

atomic_uint lookups_done;
atomic_bool lookups_masked;

int getaddrinfo (const char *node, const char *service, const struct addrinfo *hints,
                 struct addrinfo **list)
{
    int (*next) (const char *, const char *, const struct addrinfo *,
                 struct addrinfo **);
    sigset_t set;

    *(void **)&next = dlsym (RTLD_NEXT, "getaddrinfo");
    if (strcmp (node, "a.worker") != 0)
        return next (node, service, hints, list);
    pthread_sigmask (SIG_BLOCK, NULL, &set);
    lookups_masked = sigismember (&set, SIGUSR1) == 1;
    lookups_done++;
    return next ("127.0.0.1", service, hints, list);
}
