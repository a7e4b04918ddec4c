/* SPDX-License-Identifier: MPL-2.0 */
#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "resolve.h"

/* One look-up, shared by the caller and its thread; the later of the two frees it, so
 * that a name server that never answers holds only the thread. */
typedef struct lookup {
    pthread_mutex_t lock;
    pthread_cond_t done;
    char host[256];
    char address[INET6_ADDRSTRLEN + 2];
    int rc;
    bool answered;
    int users;
} lookup_t;

static void lookup_release (lookup_t *l)
{
    pthread_mutex_lock (&l->lock);
    bool last = --l->users == 0;
    pthread_mutex_unlock (&l->lock);
    if (last) {
        pthread_cond_destroy (&l->done);
        pthread_mutex_destroy (&l->lock);
        free (l);
    }
}

/* Prefers IPv4 only when the name has no IPv6 order of its own: getaddrinfo sorts by
 * RFC 6724 and the first answer is taken. */
static void *lookup_run (void *arg)
{
    lookup_t *l = arg;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    hints.ai_flags = AI_ADDRCONFIG;
    struct addrinfo *list = NULL;
    int rc = getaddrinfo (l->host, NULL, &hints, &list);
    char text[INET6_ADDRSTRLEN] = "";
    char address[sizeof l->address] = "";
    if (rc == 0)
        rc = getnameinfo (list->ai_addr, list->ai_addrlen, text, sizeof text, NULL, 0,
                          NI_NUMERICHOST);
    if (rc == 0)
        snprintf (address, sizeof address, strchr (text, ':') ? "[%s]" : "%s", text);
    if (list)
        freeaddrinfo (list);
    pthread_mutex_lock (&l->lock);
    l->rc = rc;
    memcpy (l->address, address, sizeof address);
    l->answered = true;
    pthread_cond_signal (&l->done);
    pthread_mutex_unlock (&l->lock);
    lookup_release (l);
    return NULL;
}

/* 1 when HOST is a literal address and OUT is filled. */
static int literal (const char *host, char *out, size_t cap)
{
    struct in_addr v4;
    struct in6_addr v6;
    char bare[INET6_ADDRSTRLEN + 2];
    size_t len = strlen (host);
    if (inet_pton (AF_INET, host, &v4) == 1)
        return snprintf (out, cap, "%s", host) < (int)cap;
    if (len > 2 && host[0] == '[' && host[len - 1] == ']' && len < sizeof bare) {
        memcpy (bare, host + 1, len - 2);
        bare[len - 2] = 0;
        host = bare;
    }
    if (inet_pton (AF_INET6, host, &v6) == 1)
        return snprintf (out, cap, "[%s]", host) < (int)cap;
    return 0;
}

int resolve_host (const char *host, char *out, size_t cap, int timeout_ms,
                  dfs_error_t *err)
{
    if (literal (host, out, cap))
        return DFS_OK;
    if (strlen (host) >= sizeof ((lookup_t *)0)->host)
        return fail (err, DFS_EINVAL, "host name is too long");
    lookup_t *l = calloc (1, sizeof *l);
    assert (l);
    pthread_mutex_init (&l->lock, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init (&attr);
    pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
    pthread_cond_init (&l->done, &attr);
    pthread_condattr_destroy (&attr);
    snprintf (l->host, sizeof l->host, "%s", host);
    l->users = 2;
    /* signals are for the program's own threads */
    pthread_t thread;
    sigset_t all, before;
    sigfillset (&all);
    pthread_sigmask (SIG_SETMASK, &all, &before);
    int created = pthread_create (&thread, NULL, lookup_run, l);
    pthread_sigmask (SIG_SETMASK, &before, NULL);
    if (created != 0) {
        l->users = 1;
        lookup_release (l);
        return fail (err, DFS_ESYS, "%s: cannot start a thread to look it up", host);
    }
    pthread_detach (thread);

    struct timespec until;
    clock_gettime (CLOCK_MONOTONIC, &until);
    until.tv_sec += timeout_ms / 1000;
    until.tv_nsec += (long)(timeout_ms % 1000) * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_mutex_lock (&l->lock);
    int waited = 0;
    while (!l->answered && waited == 0)
        waited = pthread_cond_timedwait (&l->done, &l->lock, &until);
    bool answered = l->answered;
    int rc = l->rc;
    char address[sizeof l->address];
    memcpy (address, l->address, sizeof address);
    pthread_mutex_unlock (&l->lock);
    lookup_release (l);
    if (!answered)
        return fail (err, DFS_ETIMEOUT, "%s: no answer from the name server", host);
    if (rc != 0)
        return fail (err, DFS_EUNAVAIL, "%s: %s", host, gai_strerror (rc));
    if (snprintf (out, cap, "%s", address) >= (int)cap)
        return fail (err, DFS_EINTERNAL, "%s: address does not fit", host);
    return DFS_OK;
}
