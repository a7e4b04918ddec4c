/* SPDX-License-Identifier: MPL-2.0 */
/* Clients that write down what was acknowledged to them, and one that reads it back.
 *   ledger run CONFIG DIR CLIENTS SECONDS   works in a directory
 *                                           of the name of DIR until then, or until
 *                                           there is a file DIR/stop
 *   ledger check CONFIG DIR                 every line of DIR/CLIENT is in the cluster
 *   ledger ack CONFIG                       prints the time to one acknowledged change
 * Operations are such that one done twice shows: files are made exclusively, renamed
 * away, replaced under their version, lines are appended to one file by all. */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "client/lib/dfs.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/units.h"

#define CLIENTS_MAX 64
#define LINE        32
#define BIG         300000
#define GAP_SHOWN   (300 * MS)

typedef struct client {
    const char *config;
    const char *dir;
    int number;
    uint64_t until;
    uint64_t acks;
    int errors;
    pthread_t thread;
} client_t;

static char root[128], log_path[160]; /* in the cluster */
static pthread_mutex_t ack_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t last_ack, longest_gap;
/* The youngest file that somebody made: others must see it. */
static char newest[256];

static void acked (client_t *self, FILE *ledger, const char *fmt, ...)
{
    va_list args;

    va_start (args, fmt);
    vfprintf (ledger, fmt, args);
    va_end (args);
    fflush (ledger);
    self->acks++;
    pthread_mutex_lock (&ack_lock);
    uint64_t now = clock_mono ();
    uint64_t gap = last_ack ? now - last_ack : 0;
    last_ack = now;
    if (gap > longest_gap)
        longest_gap = gap;
    if (gap > GAP_SHOWN)
        printf ("gap %llu ms\n", (unsigned long long)(gap / MS));
    pthread_mutex_unlock (&ack_lock);
}

static int wrong (client_t *self, const char *what, const char *path,
                  const dfs_error_t *err)
{
    fprintf (stderr, "client %d: %s %s: %s\n", self->number, what, path, err->text);
    self->errors++;
    return -1;
}

/* Bytes that follow from SEED. */
static void fill (uint8_t *bytes, size_t len, uint64_t seed)
{
    uint64_t x = seed * 0x9e3779b97f4a7c15ULL + 1;
    for (size_t i = 0; i < len; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        bytes[i] = (uint8_t)x;
    }
}

static uint64_t seed_of (int client, uint64_t n)
{
    return (uint64_t)client << 40 | n;
}

static size_t length_of (uint64_t n)
{
    return n % 8 == 7 ? BIG : 1 + n * 37 % 3000;
}

static int store (dfs_t *dfs, const char *path, const void *bytes, size_t len,
                  int flags, uint64_t *version, dfs_error_t *err)
{
    dfs_put_options_t options = {.flags = flags};
    dfs_put_item_t item = {.dest = path,
                           .mode = 0644,
                           .mtime_ns = UINT64_MAX,
                           .if_version = version ? *version : 0};

    item.fd = memfd_create ("ledger", 0);
    if (item.fd < 0 || write (item.fd, bytes, len) != (ssize_t)len)
        abort ();
    lseek (item.fd, 0, SEEK_SET);
    int rc = dfs_put (dfs, &item, 1, &options, err);
    if (rc < 0)
        *err = item.code < 0 ? item.error : *err;
    if (rc == 0 && version)
        *version = item.version;
    close (item.fd);
    return rc;
}

/* --- work --- */

static int make_file (client_t *self, dfs_t *dfs, FILE *ledger, uint64_t n)
{
    static _Thread_local uint8_t bytes[BIG];
    char path[256];
    dfs_error_t err = {0};

    fill (bytes, length_of (n), seed_of (self->number, n));
    snprintf (path, sizeof path, "%s/c%d/f%llu", root, self->number,
              (unsigned long long)n);
    if (store (dfs, path, bytes, length_of (n), DFS_PUT_CREATE, NULL, &err) < 0)
        return wrong (self, "create", path, &err);
    acked (self, ledger, "file %llu\n", (unsigned long long)n);
    pthread_mutex_lock (&ack_lock);
    snprintf (newest, sizeof newest, "%s", path);
    pthread_mutex_unlock (&ack_lock);
    return 0;
}

static int see_newest (client_t *self, dfs_t *dfs)
{
    char path[256];
    dfs_stat_t st = {0};
    dfs_error_t err = {0};

    pthread_mutex_lock (&ack_lock);
    memcpy (path, newest, sizeof path);
    pthread_mutex_unlock (&ack_lock);
    if (path[0] && dfs_stat (dfs, path, false, &st, &err) < 0)
        return wrong (self, "does not see", path, &err);
    dfs_stat_clear (&st);
    return 0;
}

static int append_line (client_t *self, dfs_t *dfs, FILE *ledger, uint64_t n)
{
    char line[LINE + 1];
    dfs_error_t err = {0};

    snprintf (line, sizeof line, "%5d %25llu\n", self->number, (unsigned long long)n);
    if (store (dfs, log_path, line, LINE, DFS_PUT_APPEND, NULL, &err) < 0)
        return wrong (self, "append to", log_path, &err);
    acked (self, ledger, "line %llu\n", (unsigned long long)n);
    return 0;
}

static int make_and_move (client_t *self, dfs_t *dfs, FILE *ledger, uint64_t n)
{
    char from[256], to[256];
    dfs_error_t err = {0};

    snprintf (from, sizeof from, "%s/c%d/d%llu", root, self->number,
              (unsigned long long)n);
    snprintf (to, sizeof to, "%s/c%d/e%llu", root, self->number, (unsigned long long)n);
    if (dfs_mkdir (dfs, from, 0755, false, &err) < 0)
        return wrong (self, "make", from, &err);
    acked (self, ledger, "made %llu\n", (unsigned long long)n);
    if (dfs_rename (dfs, from, to, true, &err) < 0)
        return wrong (self, "rename", from, &err);
    acked (self, ledger, "moved %llu\n", (unsigned long long)n);
    return 0;
}

static int replace_own (client_t *self, dfs_t *dfs, FILE *ledger, uint64_t n,
                        uint64_t *version)
{
    char path[256], text[32];
    dfs_error_t err = {0};

    snprintf (path, sizeof path, "%s/c%d/own", root, self->number);
    int len = snprintf (text, sizeof text, "%llu", (unsigned long long)n);
    int flags = *version ? DFS_PUT_REPLACE : DFS_PUT_CREATE;
    if (store (dfs, path, text, (size_t)len, flags, version, &err) < 0)
        return wrong (self, "replace", path, &err);
    acked (self, ledger, "own %llu\n", (unsigned long long)n);
    return 0;
}

/* With LEDGER_LOG set. */
static void tell (int level, const char *line, void *arg)
{
    if (level <= LOG_INFO)
        fprintf (stderr, "%llu client %d: %s\n",
                 (unsigned long long)(clock_mono () / MS),
                 ((const client_t *)arg)->number, line);
}

static void *work (void *arg)
{
    client_t *self = arg;
    dfs_options_t options = {.config = self->config, .log_arg = self};
    dfs_error_t err = {0};
    char path[512], stop[512];
    uint64_t version = 0;

    options.log = getenv ("LEDGER_LOG") ? tell : NULL;

    snprintf (path, sizeof path, "%s/%d", self->dir, self->number);
    FILE *ledger = fopen (path, "a");
    dfs_t *dfs = dfs_open (&options, &err);
    if (!ledger || !dfs) {
        wrong (self, "open", self->config, &err);
        return NULL;
    }
    snprintf (path, sizeof path, "%s/c%d", root, self->number);
    if (dfs_mkdir (dfs, path, 0755, true, &err) < 0)
        wrong (self, "make", path, &err);
    snprintf (stop, sizeof stop, "%s/stop", self->dir);
    for (uint64_t n = 1;
         self->errors == 0 && access (stop, F_OK) != 0 && clock_mono () < self->until;
         n++) {
        if (make_file (self, dfs, ledger, n) < 0 || see_newest (self, dfs) < 0 ||
            append_line (self, dfs, ledger, n) < 0)
            break;
        if (n % 4 == 0 && make_and_move (self, dfs, ledger, n) < 0)
            break;
        if (n % 3 == 0 && replace_own (self, dfs, ledger, n, &version) < 0)
            break;
    }
    dfs_close (&dfs);
    fclose (ledger);
    return NULL;
}

static int run (const char *config, const char *dir, int n, unsigned seconds)
{
    static client_t clients[CLIENTS_MAX];
    dfs_options_t options = {.config = config};
    dfs_error_t err = {0};
    uint64_t acks = 0;
    int errors = 0;

    dfs_t *dfs = dfs_open (&options, &err);
    if (!dfs || dfs_mkdir (dfs, root, 0755, true, &err) < 0 ||
        (store (dfs, log_path, "", 0, DFS_PUT_CREATE, NULL, &err) < 0 &&
         err.code != DFS_EEXIST)) {
        fprintf (stderr, "ledger: %s\n", err.text);
        return 1;
    }
    dfs_close (&dfs);
    setvbuf (stdout, NULL, _IOLBF, 0);
    for (int i = 0; i < n; i++) {
        clients[i] = (client_t){.config = config,
                                .dir = dir,
                                .number = i,
                                .until = clock_mono () + seconds * SEC};
        pthread_create (&clients[i].thread, NULL, work, &clients[i]);
    }
    for (int i = 0; i < n; i++) {
        pthread_join (clients[i].thread, NULL);
        acks += clients[i].acks;
        errors += clients[i].errors;
    }
    printf ("acks %llu errors %d longest_gap_ms %llu\n", (unsigned long long)acks,
            errors, (unsigned long long)(longest_gap / MS));
    return errors ? 1 : 0;
}

/* --- check --- */

static void *fetch (dfs_t *dfs, const char *path, size_t *len, dfs_error_t *err)
{
    dfs_file_t *file = dfs_file_open (dfs, path, err);
    uint8_t *bytes;

    if (!file)
        return NULL;
    *len = (size_t)dfs_file_size (file);
    bytes = malloc (*len + 1);
    for (size_t at = 0; bytes && at < *len;) {
        ssize_t n = dfs_file_read (file, bytes + at, *len - at, at, err);
        if (n <= 0) {
            free (bytes);
            bytes = NULL;
        } else
            at += (size_t)n;
    }
    dfs_file_close (&file);
    return bytes;
}

static int complain (const char *path, const char *why)
{
    fprintf (stderr, "%s: %s\n", path, why);
    return 1;
}

static int check_file (dfs_t *dfs, int client, uint64_t n)
{
    static uint8_t want[BIG];
    char path[256];
    dfs_error_t err = {0};
    size_t len = 0;

    snprintf (path, sizeof path, "%s/c%d/f%llu", root, client, (unsigned long long)n);
    uint8_t *bytes = fetch (dfs, path, &len, &err);
    if (!bytes)
        return complain (path, err.text);
    fill (want, length_of (n), seed_of (client, n));
    int bad = len != length_of (n) || memcmp (bytes, want, len) != 0;
    free (bytes);
    return bad ? complain (path, "has other bytes than were stored") : 0;
}

static int check_path (dfs_t *dfs, const char *path)
{
    dfs_stat_t st = {0};
    dfs_error_t err = {0};

    if (dfs_stat (dfs, path, false, &st, &err) < 0)
        return complain (path, err.text);
    dfs_stat_clear (&st);
    return 0;
}

typedef struct lines {
    char *text;
    size_t n;
} lines_t;

static int by_line (const void *a, const void *b)
{
    return memcmp (a, b, LINE);
}

static int check_line (const lines_t *lines, int client, uint64_t n)
{
    char line[LINE + 1];

    snprintf (line, sizeof line, "%5d %25llu\n", client, (unsigned long long)n);
    return bsearch (line, lines->text, lines->n, LINE, by_line)
               ? 0
               : complain (log_path, line);
}

static int check_own (dfs_t *dfs, int client, uint64_t least)
{
    char path[256], text[32];
    dfs_error_t err = {0};
    size_t len = 0;

    snprintf (path, sizeof path, "%s/c%d/own", root, client);
    char *bytes = fetch (dfs, path, &len, &err);
    if (!bytes)
        return complain (path, err.text);
    bytes[len] = 0;
    snprintf (text, sizeof text, "%s", bytes);
    free (bytes);
    return strtoull (text, NULL, 10) < least ? complain (path, "is an older one") : 0;
}

static int check_client (dfs_t *dfs, const lines_t *lines, FILE *ledger, int client,
                         uint64_t *checked)
{
    char what[16], path[256];
    unsigned long long n;
    uint64_t own = 0, moved = 0, made = 0;
    int bad = 0;

    while (bad < 10 && fscanf (ledger, "%15s %llu", what, &n) == 2) {
        ++*checked;
        if (strcmp (what, "file") == 0)
            bad += check_file (dfs, client, n);
        else if (strcmp (what, "line") == 0)
            bad += check_line (lines, client, n);
        else if (strcmp (what, "made") == 0)
            made = n;
        else if (strcmp (what, "own") == 0)
            own = n;
        else if (strcmp (what, "moved") == 0) {
            moved = n;
            snprintf (path, sizeof path, "%s/c%d/e%llu", root, client, n);
            bad += check_path (dfs, path);
        }
    }
    /* The last one may have been moved, or not: it has one of the names. */
    snprintf (path, sizeof path, "%s/c%d/d%llu", root, client,
              (unsigned long long)made);
    if (made > moved && check_path (dfs, path) != 0) {
        snprintf (path, sizeof path, "%s/c%d/e%llu", root, client,
                  (unsigned long long)made);
        bad += check_path (dfs, path);
    }
    if (own)
        bad += check_own (dfs, client, own);
    return bad;
}

static int check (const char *config, const char *dir)
{
    dfs_options_t options = {.config = config};
    dfs_error_t err = {0};
    lines_t lines = {0};
    uint64_t checked = 0;
    size_t len = 0;
    int bad = 0;

    dfs_t *dfs = dfs_open (&options, &err);
    if (dfs)
        lines.text = fetch (dfs, log_path, &len, &err);
    if (!lines.text) {
        fprintf (stderr, "ledger: /led/log: %s\n", err.text);
        return 1;
    }
    lines.n = len / LINE;
    if (len % LINE)
        bad += complain (log_path, "a line is torn");
    qsort (lines.text, lines.n, LINE, by_line);
    for (size_t i = 1; i < lines.n; i++)
        if (memcmp (lines.text + (i - 1) * LINE, lines.text + i * LINE, LINE) == 0)
            bad += complain (log_path, "a line is there twice");
    for (int client = 0; client < CLIENTS_MAX; client++) {
        char path[512];
        snprintf (path, sizeof path, "%s/%d", dir, client);
        FILE *ledger = fopen (path, "r");
        if (!ledger)
            break;
        bad += check_client (dfs, &lines, ledger, client, &checked);
        fclose (ledger);
    }
    free (lines.text);
    dfs_close (&dfs);
    printf ("checked %llu bad %d\n", (unsigned long long)checked, bad);
    return bad || checked == 0;
}

static int one_ack (const char *config)
{
    dfs_options_t options = {.config = config};
    dfs_error_t err = {0};
    char path[64];
    uint64_t began = clock_mono ();

    dfs_t *dfs = dfs_open (&options, &err);
    snprintf (path, sizeof path, "/ack-%llu", (unsigned long long)clock_wall ());
    if (!dfs || dfs_mkdir (dfs, path, 0755, false, &err) < 0) {
        fprintf (stderr, "ledger: %s\n", err.text);
        return dfs_error_status (err.code);
    }
    printf ("ack_ms %llu\n", (unsigned long long)((clock_mono () - began) / MS));
    dfs_close (&dfs);
    return 0;
}

int main (int argc, char **argv)
{
    if (argc >= 4) {
        const char *slash = strrchr (argv[3], '/');
        snprintf (root, sizeof root, "/%s", slash ? slash + 1 : argv[3]);
        snprintf (log_path, sizeof log_path, "%s/log", root);
    }
    if (argc == 6 && strcmp (argv[1], "run") == 0) {
        int n = atoi (argv[4]);
        return run (argv[2], argv[3], n < CLIENTS_MAX ? n : CLIENTS_MAX,
                    (unsigned)atoi (argv[5]));
    }
    if (argc == 4 && strcmp (argv[1], "check") == 0)
        return check (argv[2], argv[3]);
    if (argc == 3 && strcmp (argv[1], "ack") == 0)
        return one_ack (argv[2]);
    fprintf (stderr, "usage: ledger run CONFIG DIR CLIENTS SECONDS | check CONFIG DIR "
                     "| ack CONFIG\n");
    return 2;
}
