/* SPDX-License-Identifier: MPL-2.0 */
/* Preloaded: while the file HANGDISK_WHILE is there, syncs of files whose path has
 * HANGDISK in it do not come back. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void wait_for (int fd)
{
    const char *part = getenv ("HANGDISK"), *file = getenv ("HANGDISK_WHILE");
    char link[64], path[4200];

    snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink (link, path, sizeof path - 1);
    if (!part || !file || n < 0)
        return;
    path[n] = 0;
    while (strstr (path, part) && access (file, F_OK) == 0)
        usleep (20000);
}

int fdatasync (int fd)
{
    wait_for (fd);
    return (int)syscall (SYS_fdatasync, fd);
}

int fsync (int fd)
{
    wait_for (fd);
    return (int)syscall (SYS_fsync, fd);
}
