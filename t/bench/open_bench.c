/* SPDX-License-Identifier: MPL-2.0 */
/* How long a store takes to open after its process was killed under load: a child fills
 * it with chunks of 4 MiB and small ones until it holds so many GiB and is killed then;
 * the page cache is dropped (as root). Then once more without an index. Prints;
 * asserts only that nothing that was acknowledged is missing:
 *   t/bench/open_bench [GiB] [times] */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/digest.h"
#include "t/lib/storetest.h"

#define LARGE (4 * 1024 * 1024)
#define SMALL 3000
#define EACH  16 /* small chunks for each large one */

static storetest_t t;
static int told;

/* Cookies are numbers of chunks; the lowest bit says that it is a large one. */
static void on_done (uint64_t cookie, int code, void *arg)
{
    (void)arg;
    if (code != 0 || write (told, &cookie, sizeof cookie) != sizeof cookie)
        _exit (1);
}

static void key_of (uint64_t cookie, copykey_t *key)
{
    *key = (copykey_t){0};
    digest_sha256 (&cookie, sizeof cookie, key->digest);
}

/* Until it is killed. */
static void fill (void)
{
    uint8_t *data = malloc (LARGE);
    uint32_t crcs[LARGE / DIGEST_BLOCK];
    memset (data, 5, LARGE);
    digest_blocks (data, LARGE, crcs);
    uint32_t small_crc;
    digest_blocks (data, SMALL, &small_crc);
    storetest_open (&t);
    for (uint64_t i = 0;; i++) {
        bool large = i % (EACH + 1) == 0;
        uint64_t cookie = i << 1 | large;
        store_new_t what = {.birth = 1};
        what.true_len = what.stored_len = large ? LARGE : SMALL;
        key_of (cookie, &what.key);
        dfs_error_t err = {0};
        if (!large && store_put (t.store, &what, data, &small_crc, cookie, &err) == 0)
            continue;
        store_append_t *append =
            large ? store_begin (t.store, &what, cookie, &err) : NULL;
        if (!append || store_write (append, 0, data, LARGE, crcs, &err) < 0)
            _exit (1);
        store_seal (&append);
    }
}

/* Acknowledged chunks; the rest of the pipe is read until the child is gone. */
static uint64_t run_child (uint64_t bytes, uint64_t **acked)
{
    int fds[2];
    if (pipe (fds) < 0)
        exit (1);
    pid_t pid = fork ();
    if (pid == 0) {
        close (fds[0]);
        told = fds[1];
        fill ();
    }
    close (fds[1]);
    uint64_t n = 0, sum = 0, cookie;
    bool killed = false;
    *acked = NULL;
    while (read (fds[0], &cookie, sizeof cookie) == sizeof cookie) {
        if ((n & (n - 1)) == 0)
            *acked = realloc (*acked, (n ? 2 * n : 1) * sizeof cookie);
        (*acked)[n++] = cookie;
        sum += cookie & 1 ? LARGE : SMALL;
        if (sum >= bytes && !killed)
            killed = kill (pid, SIGKILL) == 0;
    }
    close (fds[0]);
    waitpid (pid, NULL, 0);
    return n;
}

static void drop_caches (void)
{
    sync ();
    int fd = open ("/proc/sys/vm/drop_caches", O_WRONLY);
    if (fd < 0 || write (fd, "3", 1) != 1)
        printf ("(page cache not dropped)\n");
    if (fd >= 0)
        close (fd);
}

static void open_once (const char *what, const uint64_t *acked, uint64_t n)
{
    drop_caches ();
    uint64_t from = clock_mono ();
    storetest_open (&t);
    double took = (double)(clock_mono () - from) * 1e-9;
    store_disk_t disk;
    store_disks (t.store, &disk, 1);
    uint64_t missing = 0;
    for (uint64_t i = 0; i < n; i++) {
        copykey_t key;
        store_info_t info;
        dfs_error_t err;
        key_of (acked[i], &key);
        missing += store_find (t.store, &key, &info, &err) != 1;
    }
    printf ("%-32s %8.3f s  %6.1f GiB  %8llu chunks, %llu acknowledged, %llu missing\n",
            what, took, (double)disk.used / (1024.0 * 1024 * 1024),
            (unsigned long long)disk.chunks, (unsigned long long)n,
            (unsigned long long)missing);
    fflush (stdout);
    if (missing)
        exit (1);
    store_close (&t.store);
}

int main (int argc, char **argv)
{
    uint64_t bytes = (uint64_t)(argc > 1 ? atoi (argv[1]) : 10) << 30;
    int times = argc > 2 ? atoi (argv[2]) : 3;
    storetest_quiet ();
    double load[3] = {0, 0, 0};
    for (int i = 0; i < times; i++) {
        storetest_init (&t, 1);
        t.config.changed = NULL;
        t.config.done = on_done;
        uint64_t *acked;
        uint64_t n = run_child (bytes, &acked);
        getloadavg (load, 3);
        printf ("load of the machine: %.1f\n", load[0]);
        open_once ("open after kill -9", acked, n);
        open_once ("open after a clean stop", acked, n);
        char path[512];
        snprintf (path, sizeof path, "%s/index/data.mdb", t.dirs[0]);
        unlink (path);
        open_once ("open, index made anew", acked, n);
        free (acked);
        storetest_end (&t);
    }
    return 0;
}
