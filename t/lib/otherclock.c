/* SPDX-License-Identifier: MPL-2.0 */
/* Preloaded: the process has a wall clock that is OTHERCLOCK seconds ahead. */
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime (clockid_t id, struct timespec *ts)
{
    long rc = syscall (SYS_clock_gettime, id, ts);
    const char *ahead = getenv ("OTHERCLOCK");

    if (rc == 0 && id == CLOCK_REALTIME && ahead)
        ts->tv_sec += strtol (ahead, NULL, 10);
    return (int)rc;
}
