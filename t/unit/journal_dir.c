/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/log.h"

#include "journal_dir.h"

static void forget (enum log_level level, const char *line, void *arg)
{
    (void)level;
    (void)line;
    (void)arg;
}

void log_nothing (void)
{
    log_set_sink (forget, NULL);
}

char *dir_make (void)
{
    const char *base = getenv ("TMPDIR");
    char path[PATH_MAX];
    snprintf (path, sizeof path, "%s/dfs-journal-XXXXXX", base ? base : "/tmp");
    char *made = mkdtemp (path);
    assert (made);
    return strdup (path);
}

static int remove_one (const char *path, const struct stat *st, int flag,
                       struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove (path);
}

void dir_remove (char *path)
{
    nftw (path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    free (path);
}

static void copy_file (const char *from, const char *to)
{
    static char buf[256 * 1024];
    int in = open (from, O_RDONLY | O_CLOEXEC);
    int out = open (to, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert (in >= 0 && out >= 0);
    ssize_t n;
    while ((n = read (in, buf, sizeof buf)) > 0) {
        ssize_t written = write (out, buf, (size_t)n);
        assert (written == n);
    }
    close (in);
    close (out);
}

void dir_copy (const char *from, const char *to)
{
    char a[PATH_MAX], b[PATH_MAX];
    struct dirent *e;
    DIR *d = opendir (to);
    assert (d);
    while ((e = readdir (d))) {
        snprintf (b, sizeof b, "%s/%s", to, e->d_name);
        if (e->d_name[0] != '.')
            unlink (b);
    }
    closedir (d);
    d = opendir (from);
    assert (d);
    while ((e = readdir (d))) {
        snprintf (a, sizeof a, "%s/%s", from, e->d_name);
        snprintf (b, sizeof b, "%s/%s", to, e->d_name);
        if (e->d_name[0] != '.')
            copy_file (a, b);
    }
    closedir (d);
}

size_t dir_count (const char *dir, const char *suffix)
{
    size_t n = 0;
    DIR *d = opendir (dir);
    assert (d);
    struct dirent *e;
    while ((e = readdir (d))) {
        size_t len = strlen (e->d_name), tail = strlen (suffix);
        n += len >= tail && strcmp (e->d_name + len - tail, suffix) == 0;
    }
    closedir (d);
    return n;
}

static int open_segment (const char *dir, uint64_t seq)
{
    char path[PATH_MAX];
    snprintf (path, sizeof path, "%s/%016" PRIx64 ".wal", dir, seq);
    int fd = open (path, O_RDWR | O_CLOEXEC);
    assert (fd >= 0);
    return fd;
}

void segment_get (const char *dir, uint64_t seq, uint64_t offset, void *buf, size_t len)
{
    int fd = open_segment (dir, seq);
    ssize_t n = pread (fd, buf, len, (off_t)offset);
    assert (n == (ssize_t)len);
    close (fd);
}

void segment_put (const char *dir, uint64_t seq, uint64_t offset, const void *buf,
                  size_t len)
{
    int fd = open_segment (dir, seq);
    ssize_t n = pwrite (fd, buf, len, (off_t)offset);
    assert (n == (ssize_t)len);
    close (fd);
}

static struct {
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t over;
    const char *part; /* NULL: nothing hangs */
    int op;
    uint64_t len;
    pthread_t spared;
    unsigned n;
    const char *held_part; /* NULL: of any file */
} hangs = {.lock = PTHREAD_MUTEX_INITIALIZER, .over = PTHREAD_COND_INITIALIZER};

static bool is_of (int fd, const char *path, const char *part)
{
    char link[64], name[PATH_MAX];
    if (path)
        return strstr (path, part) != NULL;
    snprintf (link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink (link, name, sizeof name - 1);
    if (n < 0)
        return false;
    name[n] = 0;
    return strstr (name, part) != NULL;
}

static void hang (enum io_op op, int fd, const char *path, uint64_t len)
{
    pthread_mutex_lock (&hangs.lock);
    if (hangs.part && (int)op == hangs.op && len >= hangs.len &&
        !pthread_equal (pthread_self (), hangs.spared) &&
        is_of (fd, path, hangs.part)) {
        hangs.n++;
        while (hangs.part)
            pthread_cond_wait (&hangs.over, &hangs.lock);
        hangs.n--;
    }
    pthread_mutex_unlock (&hangs.lock);
}

static bool is_held (int fd, const char *path)
{
    pthread_mutex_lock (&hangs.lock);
    bool held = !hangs.held_part || is_of (fd, path, hangs.held_part);
    pthread_mutex_unlock (&hangs.lock);
    return held;
}

void faults_hang (enum io_op op, uint64_t len, const char *part)
{
    pthread_mutex_lock (&hangs.lock);
    hangs.op = (int)op;
    hangs.len = len;
    hangs.part = part;
    hangs.spared = pthread_self ();
    pthread_mutex_unlock (&hangs.lock);
}

void faults_release (void)
{
    pthread_mutex_lock (&hangs.lock);
    hangs.part = NULL;
    pthread_cond_broadcast (&hangs.over);
    pthread_mutex_unlock (&hangs.lock);
}

unsigned faults_hanging (void)
{
    pthread_mutex_lock (&hangs.lock);
    unsigned n = hangs.n;
    pthread_mutex_unlock (&hangs.lock);
    return n;
}

static struct {
    atomic_uint_fast64_t count[IO_SYNC_DIR + 1];
    atomic_int op;
    atomic_int_fast64_t left;
    atomic_int errnum;
    atomic_int held_op;
    atomic_int held_errnum;
} faults;

static int before (enum io_op op, int fd, const char *path, const char *path2,
                   uint64_t offset, uint64_t len, const struct iovec *iov, int iovcnt,
                   void *arg)
{
    (void)path2;
    (void)offset;
    (void)iov;
    (void)iovcnt;
    (void)arg;
    faults.count[op]++;
    hang (op, fd, path, len);
    int held = faults.held_errnum;
    if (held && (int)op == faults.held_op && is_held (fd, path))
        return held;
    if ((int)op == faults.op && faults.left > 0 && --faults.left == 0)
        return faults.errnum;
    return 0;
}

void faults_start (void)
{
    faults_arm (IO_OPEN, 0, 0);
    faults_hold (IO_OPEN, 0);
    io_set_hook (&(io_hook_t){.before = before});
}

void faults_stop (void)
{
    io_set_hook (NULL);
}

void faults_arm (enum io_op op, int64_t k, int errnum)
{
    faults.left = 0;
    for (int i = 0; i <= IO_SYNC_DIR; i++)
        faults.count[i] = 0;
    faults.op = (int)op;
    faults.errnum = errnum;
    faults.left = k;
}

void faults_hold_file (enum io_op op, const char *part, int errnum)
{
    pthread_mutex_lock (&hangs.lock);
    hangs.held_part = part;
    pthread_mutex_unlock (&hangs.lock);
    faults.held_op = (int)op;
    faults.held_errnum = errnum;
}

void faults_hold (enum io_op op, int errnum)
{
    faults_hold_file (op, NULL, errnum);
}

uint64_t faults_count (enum io_op op)
{
    return faults.count[op];
}
