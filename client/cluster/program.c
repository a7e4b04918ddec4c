/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/cli/tool.h"
#include "common/io.h"
#include "process.h"
#include "program.h"

#define TAIL_MAX (16 * 1024)

extern char **environ;

static bool is_program (const char *path)
{
    struct stat st;
    return stat (path, &st) == 0 && S_ISREG (st.st_mode) && access (path, X_OK) == 0;
}

/* Directory of this program, without libtool's .libs. */
static int own_directory (char out[PATH_MAX], dfs_error_t *err)
{
    ssize_t n = readlink ("/proc/self/exe", out, PATH_MAX - 1);
    if (n < 0)
        return fail_errno (err, "/proc/self/exe");
    out[n] = 0;
    *strrchr (out, '/') = 0;
    size_t len = strlen (out);
    if (len > 6 && strcmp (out + len - 6, "/.libs") == 0)
        out[len - 6] = 0;
    return 0;
}

char *program_directory (void)
{
    char dir[PATH_MAX];
    char *copy = strdup (own_directory (dir, NULL) == 0 ? dir : "/usr/bin");
    assert (copy);
    return copy;
}

static char *search_path (const char *name)
{
    const char *path = getenv ("PATH");
    while (path && *path) {
        size_t len = strcspn (path, ":");
        char *candidate = NULL;
        if (asprintf (&candidate, "%.*s/%s", (int)len, path, name) < 0)
            abort ();
        if (len && is_program (candidate))
            return candidate;
        free (candidate);
        path += len + (path[len] == ':');
    }
    return NULL;
}

char *program_find (const char *role, dfs_error_t *err)
{
    char dir[PATH_MAX], name[32];
    if (own_directory (dir, err) < 0)
        return NULL;
    snprintf (name, sizeof name, "dfs-%s", role);
    char *beside = NULL, *built = NULL;
    /* A build tree has client/dfs-cluster, broker/dfs-broker and worker/dfs-worker. */
    if (asprintf (&beside, "%s/%s", dir, name) < 0 ||
        asprintf (&built, "%s/../%s/%s", dir, role, name) < 0)
        abort ();
    char *found = NULL;
    if (is_program (beside)) {
        found = beside;
        beside = NULL;
    } else if (is_program (built)) {
        found = built;
        built = NULL;
    } else if (!(found = search_path (name)))
        fail (err, DFS_ENOENT, "%s is neither in %s nor on PATH", name, dir);
    free (beside);
    free (built);
    return found;
}

static int prepare (posix_spawn_file_actions_t *actions, posix_spawnattr_t *attributes,
                    const char *dir, const char *log)
{
    sigset_t none, all;
    sigemptyset (&none);
    sigfillset (&all);
    sigdelset (&all, SIGKILL);
    sigdelset (&all, SIGSTOP);
    int rc = posix_spawn_file_actions_addopen (actions, 0, "/dev/null", O_RDONLY, 0);
    if (rc == 0)
        rc = posix_spawn_file_actions_addopen (actions, 1, log,
                                               O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (rc == 0)
        rc = posix_spawn_file_actions_adddup2 (actions, 1, 2);
    /* Pipes and locks of the caller are not the daemon's to hold open. */
    if (rc == 0)
        rc = posix_spawn_file_actions_addclosefrom_np (actions, 3);
    if (rc == 0)
        rc = posix_spawn_file_actions_addchdir_np (actions, dir);
    if (rc == 0)
        rc = posix_spawnattr_setsigmask (attributes, &none);
    if (rc == 0)
        rc = posix_spawnattr_setsigdefault (attributes, &all);
    if (rc == 0)
        rc = posix_spawnattr_setflags (attributes, POSIX_SPAWN_SETSID |
                                                       POSIX_SPAWN_SETSIGMASK |
                                                       POSIX_SPAWN_SETSIGDEF);
    return rc;
}

static int spawn (const cluster_t *cluster, const node_t *node, const char *program,
                  const char *log, pid_t *pid, dfs_error_t *err)
{
    char *config = strdup (cluster->path), *name = strdup (node->config->name);
    char *file = strdup (program);
    char config_option[] = "--config", node_option[] = "--node", verbose[] = "-v";
    assert (config && name && file);
    char *argv[] = {file, config_option, config, node_option, name, NULL, NULL};
    if (tool_common.verbose)
        argv[5] = verbose;
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init (&actions);
    posix_spawnattr_init (&attributes);
    int rc = prepare (&actions, &attributes, cluster->dir, log);
    if (rc == 0)
        rc = posix_spawn (pid, program, &actions, &attributes, argv, environ);
    posix_spawn_file_actions_destroy (&actions);
    posix_spawnattr_destroy (&attributes);
    free (config);
    free (name);
    free (file);
    errno = rc;
    return rc ? fail_errno (err, "start %s (log %s)", program, log) : 0;
}

static int make_directory (const char *path, dfs_error_t *err)
{
    if (mkdir (path, 0755) < 0 && errno != EEXIST)
        return fail_errno (err, "make directory %s", path);
    return 0;
}

int program_start (const cluster_t *cluster, node_t *node, dfs_error_t *err)
{
    char *program = program_find (node->role, err);
    if (!program)
        return DFS_ENOENT;
    char *log = node_path (cluster->log_dir, node->config->name, ".log");
    int rc = make_directory (cluster->run_dir, err);
    if (rc == 0)
        rc = make_directory (cluster->log_dir, err);
    if (rc == 0) {
        struct stat st;
        node->log_start = stat (log, &st) == 0 ? st.st_size : 0;
        process_forget (cluster, node);
        rc = spawn (cluster, node, program, log, &node->child, err);
    }
    if (rc == 0)
        rc = process_remember (cluster, node, node->child, err);
    free (log);
    free (program);
    return rc;
}

/* Takes the value of err="…" out of a log line, in place. */
static char *reason (char *line)
{
    char *p = strstr (line, " err=\"");
    if (!p)
        return line;
    char *from = p + 6, *to = from, *start = from;
    while (*from && *from != '"') {
        if (*from == '\\' && (from[1] == '"' || from[1] == '\\'))
            from++;
        *to++ = *from++;
    }
    *to = 0;
    return start;
}

char *program_last_words (const cluster_t *cluster, const node_t *node)
{
    char *path = node_path (cluster->log_dir, node->config->name, ".log");
    char *text = calloc (1, TAIL_MAX + 1);
    assert (text);
    int fd = open (path, O_RDONLY | O_CLOEXEC);
    struct stat st;
    if (fd >= 0 && fstat (fd, &st) == 0) {
        off_t from = st.st_size - TAIL_MAX;
        if (from < node->log_start)
            from = node->log_start;
        ssize_t n = pread (fd, text, TAIL_MAX, from);
        text[n > 0 ? n : 0] = 0;
    }
    if (fd >= 0)
        close (fd);
    free (path);
    size_t len = strlen (text);
    while (len && text[len - 1] == '\n')
        text[--len] = 0;
    char *line = strrchr (text, '\n');
    char *words = strdup (reason (line ? line + 1 : text));
    assert (words);
    free (text);
    return words;
}
