/* SPDX-License-Identifier: MPL-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/io.h"
#include "common/units.h"
#include "process.h"

#define CMDLINE_MAX (64 * 1024)
#define POLL_MS     20

void process_pause (unsigned ms)
{
    struct timespec ts = {ms / 1000, (long)(ms % 1000) * 1000000};
    nanosleep (&ts, NULL);
}

/* A file of /proc, which has no size. Returns the bytes read; BUF gets a NUL. */
static size_t read_proc (pid_t pid, const char *name, char *buf, size_t cap)
{
    char path[64];
    snprintf (path, sizeof path, "/proc/%d/%s", (int)pid, name);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    size_t len = 0;
    while (fd >= 0 && len + 1 < cap) {
        ssize_t n = read (fd, buf + len, cap - 1 - len);
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    if (fd >= 0)
        close (fd);
    buf[len] = 0;
    return len;
}

/* A zombie has ended already: nobody may ever reap it. */
static bool is_alive (pid_t pid)
{
    char stat_text[512];
    if (read_proc (pid, "stat", stat_text, sizeof stat_text) == 0)
        return false;
    const char *p = strrchr (stat_text, ')');
    return p && p[1] == ' ' && p[2] != 'Z' && p[2] != 'X';
}

static bool same_file (const char *a, const char *b)
{
    struct stat x, y;
    return stat (a, &x) == 0 && stat (b, &y) == 0 && x.st_dev == y.st_dev &&
           x.st_ino == y.st_ino;
}

/* The config file as PID sees it. */
static bool is_config (pid_t pid, const char *given, const char *ours)
{
    char path[PATH_MAX + 64];
    if (*given == '/')
        return same_file (given, ours);
    snprintf (path, sizeof path, "/proc/%d/cwd/%s", (int)pid, given);
    return same_file (path, ours);
}

static bool is_program (const char *arg, const char *role)
{
    const char *slash = strrchr (arg, '/');
    const char *base = slash ? slash + 1 : arg;
    if (strncmp (base, "lt-", 3) == 0) /* run from a build tree */
        base += 3;
    return strncmp (base, "dfs-", 4) == 0 && strcmp (base + 4, role) == 0;
}

/* Value of option NAME when ARG holds it, else when NEXT does. */
static const char *option (const char *name, const char *arg, const char *next)
{
    size_t len = strlen (name);
    if (strncmp (arg, name, len))
        return NULL;
    return arg[len] == '=' ? arg + len + 1 : arg[len] == 0 ? next : NULL;
}

bool process_is (const cluster_t *cluster, const node_t *node, pid_t pid)
{
    if (!is_alive (pid))
        return false;
    char *line = malloc (CMDLINE_MAX);
    if (!line)
        abort ();
    size_t len = read_proc (pid, "cmdline", line, CMDLINE_MAX);
    bool program = false, name = false, config = false;
    for (size_t i = 0; i < len; i += strlen (line + i) + 1) {
        const char *arg = line + i;
        size_t after = i + strlen (arg) + 1;
        const char *next = after < len ? line + after : "";
        const char *value;
        program = program || is_program (arg, node->role);
        if ((value = option ("--node", arg, next)))
            name = strcmp (value, node->config->name) == 0;
        if ((value = option ("--config", arg, next)))
            config = is_config (pid, value, cluster->path);
    }
    free (line);
    return program && name && config;
}

static pid_t remembered (const cluster_t *cluster, const node_t *node)
{
    char *path = node_path (cluster->run_dir, node->config->name, ".pid");
    void *text = NULL;
    size_t len = 0;
    long pid = 0;
    if (io_slurp (path, 64, &text, &len, NULL) == 0)
        pid = strtol (text, NULL, 10);
    free (text);
    free (path);
    return pid > 0 && pid <= INT_MAX ? (pid_t)pid : 0;
}

static bool try_pid (const cluster_t *cluster, const node_t *node, pid_t pid,
                     process_t *p)
{
    int fd = (int)syscall (SYS_pidfd_open, pid, 0);
    if (fd < 0 && errno != ENOSYS && errno != EPERM)
        return false;
    if (!process_is (cluster, node, pid)) {
        if (fd >= 0)
            close (fd);
        return false;
    }
    p->pid = pid;
    p->fd = fd;
    return true;
}

bool process_find (const cluster_t *cluster, const node_t *node, process_t *p)
{
    cluster_ready_t ready;
    pid_t pid = 0;
    memset (p, 0, sizeof *p);
    p->fd = -1;
    if (cluster_ready_read (cluster, node->config->name, &ready, NULL) == 0 &&
        try_pid (cluster, node, ready.pid, p)) {
        p->ready = true;
        return true;
    }
    pid = remembered (cluster, node);
    return pid && try_pid (cluster, node, pid, p);
}

void process_close (process_t *p)
{
    if (p->fd >= 0)
        close (p->fd);
    p->fd = -1;
}

int process_signal (const process_t *p, int number, dfs_error_t *err)
{
    long rc = p->fd >= 0 ? syscall (SYS_pidfd_send_signal, p->fd, number, NULL, 0)
                         : kill (p->pid, number);
    if (rc < 0 && errno != ESRCH)
        return fail_errno (err, "signal %d to process %d", number, (int)p->pid);
    return 0;
}

bool process_wait_gone (const cluster_t *cluster, const node_t *node,
                        const process_t *p, unsigned ms)
{
    uint64_t end = clock_mono () + ms * MS;
    for (;;) {
        uint64_t now = clock_mono ();
        int rest = now >= end ? 0 : (int)((end - now) / MS) + 1;
        struct pollfd fd = {.fd = p->fd, .events = POLLIN};
        if (p->fd < 0) {
            if (!process_is (cluster, node, p->pid))
                return true;
            process_pause (POLL_MS);
        } else if (poll (&fd, 1, rest) > 0)
            return true;
        if (clock_mono () >= end)
            return !process_is (cluster, node, p->pid);
    }
}

int process_remember (const cluster_t *cluster, const node_t *node, pid_t pid,
                      dfs_error_t *err)
{
    char *path = node_path (cluster->run_dir, node->config->name, ".pid");
    char text[32];
    int n = snprintf (text, sizeof text, "%d\n", (int)pid);
    int rc = io_replace (path, text, (size_t)n, 0644, err);
    free (path);
    return rc;
}

void process_forget (const cluster_t *cluster, const node_t *node)
{
    static const char *const suffixes[] = {".ready", ".pid", ".refused"};
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes; i++) {
        char *path = node_path (cluster->run_dir, node->config->name, suffixes[i]);
        unlink (path);
        free (path);
    }
}
