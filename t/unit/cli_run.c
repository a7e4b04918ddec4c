/* SPDX-License-Identifier: MPL-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli_run.h"

#include <cmocka.h> /* last: its macro fail () is not ours */

char out[65536], err[65536];

void shell (const char *fmt, ...)
{
    char command[4096];
    va_list ap;
    va_start (ap, fmt);
    vsnprintf (command, sizeof command, fmt, ap);
    va_end (ap);
    assert_int_equal (system (command), 0);
}

void slurp (const char *path, char *buf, size_t cap)
{
    int fd = open (path, O_RDONLY);
    ssize_t n = fd < 0 ? 0 : read (fd, buf, cap - 1);
    buf[n > 0 ? n : 0] = 0;
    if (fd >= 0)
        close (fd);
}

int run_program (const tool_info_t *info, const char *words)
{
    char line[4096], *argv[64] = {NULL};
    int argc = 0, status = 0;
    snprintf (line, sizeof line, "%s %s", info->name, words);
    for (char *save = NULL, *word = strtok_r (line, " ", &save); word;
         word = strtok_r (NULL, " ", &save))
        argv[argc++] = word;
    fflush (NULL);
    pid_t pid = fork ();
    assert_true (pid >= 0);
    if (pid == 0) {
        if (!freopen ("out", "w", stdout) || !freopen ("err", "w", stderr))
            _exit (99);
        exit (tool_main (info, argc, argv));
    }
    assert_int_equal (waitpid (pid, &status, 0), pid);
    slurp ("out", out, sizeof out);
    slurp ("err", err, sizeof err);
    assert_true (WIFEXITED (status));
    return WEXITSTATUS (status);
}
