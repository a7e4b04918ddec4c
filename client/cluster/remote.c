/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/cli/tool.h"
#include "common/clock.h"
#include "common/units.h"
#include "program.h"
#include "remote.h"

#define OUTPUT_MAX    (256 * 1024 * 1024)
#define SSH_NO_ANSWER 255 /* ssh's own failures */
/* A password cannot be asked for on many hosts at the same time; a host that falls
 * silent in the middle is given up after 15 s. */
#define SSH                                                                            \
    "ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5 "              \
    "-o ServerAliveCountMax=3"

extern char **environ;

char *remote_command (const char *dir, const char *args)
{
    char *own = program_directory (), *script = NULL, *command = NULL;
    char *d = tool_quoted (dir), *o = tool_quoted (own);
    if (asprintf (&script, "PATH=%s/bin:\"$PATH\":%s; exec dfs-cluster %s", d, o,
                  args) < 0)
        abort ();
    char *quoted = tool_quoted (script);
    /* Whatever the login shell is. */
    if (asprintf (&command, "exec sh -c %s", quoted) < 0)
        abort ();
    free (quoted);
    free (script);
    free (d);
    free (o);
    free (own);
    return command;
}

/* What the local shell runs. */
static char *local_script (const remote_t *r)
{
    const char *ssh = getenv ("DFS_SSH");
    char bare[256];
    if (!r->host) {
        char *copy = strdup (r->command);
        assert (copy);
        return copy;
    }
    size_t len = strlen (r->host);
    if (*r->host == '[' && len > 2 && r->host[len - 1] == ']')
        snprintf (bare, sizeof bare, "%.*s", (int)(len - 2), r->host + 1);
    else
        snprintf (bare, sizeof bare, "%s", r->host);
    char *host = tool_quoted (bare), *command = tool_quoted (r->command), *text = NULL;
    if (asprintf (&text, "%s%s exec %s -- %s %s", r->input ? r->input : "",
                  r->input ? " |" : "", ssh && *ssh ? ssh : SSH, host, command) < 0)
        abort ();
    free (host);
    free (command);
    return text;
}

static int prepare (const remote_t *r, posix_spawn_file_actions_t *actions,
                    posix_spawnattr_t *attributes, const int out[2], const int err[2])
{
    sigset_t pipe_signal;
    sigemptyset (&pipe_signal);
    sigaddset (&pipe_signal, SIGPIPE);
    int rc = 0;
    if (!r->input)
        rc = posix_spawn_file_actions_addopen (actions, 0, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2 (actions, out[1], 1);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2 (actions, err[1], 2);
    if (rc == 0)
        rc = posix_spawn_file_actions_addclosefrom_np (actions, 3);
    if (rc == 0)
        rc = posix_spawnattr_setsigdefault (attributes, &pipe_signal);
    /* A group of its own, which a deadline ends as a whole. */
    if (rc == 0)
        rc = posix_spawnattr_setflags (attributes,
                                       POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    return rc;
}

static int start (remote_t *r)
{
    int out[2] = {-1, -1}, err[2] = {-1, -1};
    r->fds[0] = r->fds[1] = -1;
    r->pid = 0;
    r->status = SSH_NO_ANSWER;
    if (pipe2 (out, O_CLOEXEC) < 0 || pipe2 (err, O_CLOEXEC) < 0) {
        if (out[0] >= 0) {
            close (out[0]);
            close (out[1]);
        }
        return -errno;
    }
    char *text = local_script (r), sh[] = "sh", c[] = "-c";
    char *argv[] = {sh, c, text, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init (&actions);
    posix_spawnattr_init (&attributes);
    int rc = prepare (r, &actions, &attributes, out, err);
    if (rc == 0)
        rc = posix_spawn (&r->pid, "/bin/sh", &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy (&actions);
    posix_spawnattr_destroy (&attributes);
    free (text);
    close (out[1]);
    close (err[1]);
    r->fds[0] = out[0];
    r->fds[1] = err[0];
    return -rc;
}

static void append (char **text, size_t *len, const char *data, size_t n)
{
    if (n > OUTPUT_MAX - *len)
        n = OUTPUT_MAX - *len;
    *text = realloc (*text, *len + n + 1);
    assert (*text);
    memcpy (*text + *len, data, n);
    *len += n;
    (*text)[*len] = 0;
}

/* Prints the whole lines of a stream and keeps the half one. */
static void drain_lines (remote_t *r)
{
    char *end = memrchr (r->out, '\n', r->out_len);
    if (!end)
        return;
    size_t n = (size_t)(end + 1 - r->out);
    fwrite (r->out, 1, n, stdout);
    fflush (stdout);
    memmove (r->out, r->out + n, r->out_len - n + 1);
    r->out_len -= n;
}

static void reap (remote_t *r)
{
    int status;
    if (r->pid <= 0 || waitpid (r->pid, &status, 0) != r->pid)
        return;
    r->pid = 0;
    r->status = WIFEXITED (status) ? WEXITSTATUS (status) : SSH_NO_ANSWER;
    r->answered = r->status != SSH_NO_ANSWER;
}

static void receive (remote_t *r, int which)
{
    char buf[64 * 1024];
    ssize_t n = read (r->fds[which], buf, sizeof buf);
    if (n < 0 && errno == EINTR)
        return;
    if (n <= 0) {
        close (r->fds[which]);
        r->fds[which] = -1;
        if (r->fds[0] < 0 && r->fds[1] < 0)
            reap (r);
        return;
    }
    if (which)
        append (&r->err, &r->err_len, buf, (size_t)n);
    else {
        append (&r->out, &r->out_len, buf, (size_t)n);
        if (r->stream)
            drain_lines (r);
    }
}

/* Polls once; returns the number of those that still run. */
static size_t step (remote_t *all, size_t n, int wait_ms)
{
    struct pollfd *fds = calloc (2 * n, sizeof *fds);
    size_t running = 0;
    assert (fds);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < 2; k++)
            fds[2 * i + k] = (struct pollfd){.fd = all[i].fds[k], .events = POLLIN};
        running += all[i].fds[0] >= 0 || all[i].fds[1] >= 0;
    }
    if (running && poll (fds, 2 * n, wait_ms) > 0)
        for (size_t i = 0; i < 2 * n; i++)
            if (fds[i].fd >= 0 && fds[i].revents)
                receive (&all[i / 2], (int)(i % 2));
    free (fds);
    return running;
}

static void give_up (remote_t *r)
{
    bool silent = r->fds[0] >= 0 || r->fds[1] >= 0;
    for (int k = 0; k < 2; k++)
        if (r->fds[k] >= 0)
            close (r->fds[k]);
    if (silent && r->pid > 0)
        kill (-r->pid, SIGKILL);
    reap (r);
    if (silent) {
        r->answered = false;
        r->status = SSH_NO_ANSWER;
    }
}

/* The last line of TEXT. */
static const char *last_line (char *text)
{
    if (!text)
        return "";
    size_t len = strlen (text);
    while (len && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        text[--len] = 0;
    const char *line = strrchr (text, '\n');
    return line ? line + 1 : text;
}

void remote_run (remote_t *all, size_t n, unsigned timeout_ms)
{
    uint64_t end = clock_mono () + timeout_ms * MS;
    signal (SIGPIPE, SIG_IGN);
    fflush (stdout);
    for (size_t i = 0; i < n; i++) {
        int rc = start (&all[i]);
        if (rc < 0)
            tool_error (all[i].host, "ssh cannot be started: %s", strerror (-rc));
    }
    for (;;) {
        uint64_t now = clock_mono ();
        if (timeout_ms && now >= end)
            break;
        if (step (all, n, timeout_ms ? (int)((end - now) / MS) + 1 : -1) == 0)
            break;
    }
    for (size_t i = 0; i < n; i++) {
        give_up (&all[i]);
        if (all[i].answered)
            continue;
        const char *words = last_line (all[i].err);
        tool_error (all[i].host, "does not answer%s%s", *words ? ": " : "", words);
    }
}

void remote_clear (remote_t *self)
{
    free (self->command);
    free (self->input);
    free (self->out);
    free (self->err);
    memset (self, 0, sizeof *self);
}
