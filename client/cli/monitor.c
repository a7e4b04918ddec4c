/* SPDX-License-Identifier: MPL-2.0 */
/* monitor: the cluster on a full screen, drawn anew twice a second. Only plain ANSI
 * sequences; whatever ends it, the terminal is as it was. */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/units.h"
#include "verbs.h"

enum { KEY_INTERVAL = 256, KEY_COUNT };

const tool_option_t monitor_options[] = {
    {KEY_INTERVAL, "interval", "MS", "time between two looks (default: 500)"},
    {KEY_COUNT, "count", "N", "end after N looks"},
    {0, NULL, NULL, NULL},
};

#define COLUMNS_MAX 300
#define ROWS_MIN    6

typedef struct screen {
    char *text;
    size_t len;
    int columns, rows; /* of the terminal */
    int used;          /* rows */
} screen_t;

/* For the signal handler: it may only restore and go. */
static struct termios saved;
static volatile sig_atomic_t raw, ended;
static const char enter[] = "\033[?1049h\033[?25l", leave[] = "\033[?25h\033[?1049l";

static void restore (void)
{
    if (!raw)
        return;
    raw = 0;
    if (write (STDOUT_FILENO, leave, sizeof leave - 1) < 0)
        return;
    tcsetattr (STDIN_FILENO, TCSANOW, &saved);
}

/* The loop ends at once, or when the question in the air is answered; asked twice, the
 * program goes. */
static void on_signal (int sig)
{
    if (ended) {
        restore ();
        _exit (128 + sig);
    }
    ended = sig;
}

static void on_fault (int sig)
{
    restore ();
    signal (sig, SIG_DFL);
    raise (sig);
}

static void take_terminal (void)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct termios now;

    sigaction (SIGINT, &action, NULL);
    sigaction (SIGTERM, &action, NULL);
    sigaction (SIGHUP, &action, NULL);
    sigaction (SIGQUIT, &action, NULL);
    sigaction (SIGWINCH, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    if (!isatty (STDOUT_FILENO) || tcgetattr (STDIN_FILENO, &saved) < 0)
        return;
    action.sa_handler = on_fault;
    sigaction (SIGSEGV, &action, NULL);
    sigaction (SIGABRT, &action, NULL);
    now = saved;
    now.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    raw = 1;
    atexit (restore);
    tcsetattr (STDIN_FILENO, TCSANOW, &now);
    if (write (STDOUT_FILENO, enter, sizeof enter - 1) < 0)
        ended = SIGPIPE;
}

/* --- drawing --- */

static void put_line (screen_t *s, const char *fmt, ...)
    __attribute__ ((format (printf, 2, 3)));

/* One row, cut to the width: a character is what does not continue another one. */
static void put_line (screen_t *s, const char *fmt, ...)
{
    char line[4 * COLUMNS_MAX];
    va_list ap;
    int width = 0;
    size_t n = 0;

    if (s->used >= s->rows)
        return;
    va_start (ap, fmt);
    vsnprintf (line, sizeof line, fmt, ap);
    va_end (ap);
    for (; line[n]; n++) {
        if (((unsigned char)line[n] & 0xc0) != 0x80 && width++ == s->columns)
            break;
        if ((unsigned char)line[n] < 32 || line[n] == 127)
            line[n] = '?';
    }
    /* The last row has no line end: the screen must not scroll. */
    if (raw)
        s->len += (size_t)sprintf (s->text + s->len, "%s%.*s\033[K",
                                   s->used ? "\r\n" : "", (int)n, line);
    else
        s->len += (size_t)sprintf (s->text + s->len, "%.*s\n", (int)n, line);
    s->used++;
}

static void bar (char *out, size_t width, uint64_t part, uint64_t whole)
{
    size_t full = whole ? (size_t)((double)part / (double)whole * (double)width) : 0;

    for (size_t i = 0; i < width; i++)
        out[i] = i < full ? '#' : '.';
    out[width] = 0;
}

static uint64_t rate (uint64_t now, uint64_t before, uint64_t ns)
{
    return now > before && ns > 0
               ? (uint64_t)((double)(now - before) * 1e9 / (double)ns)
               : 0;
}

/* The same worker at the last look, NULL. */
static const dfs_worker_info_t *earlier (const dfs_status_t *old, uint32_t id)
{
    for (size_t i = 0; i < old->n_workers; i++)
        if (old->workers[i].id == id)
            return &old->workers[i];
    return NULL;
}

static void draw_worker (screen_t *s, const dfs_worker_info_t *w,
                         const dfs_worker_info_t *old, uint64_t ns)
{
    char fill[11], heat[11], used[16], in[16], out[16], chunks[24];
    uint32_t busy =
        w->disk_permille > w->cpu_permille ? w->disk_permille : w->cpu_permille;
    bool there = strcmp (w->state, "dead") != 0;

    bar (fill, 10, w->bytes_used, w->bytes_used + w->bytes_free);
    bar (heat, 10, there ? (busy < 1000 ? busy : 1000) : 0, 1000);
    snprintf (chunks, sizeof chunks, "%" PRIu64, w->chunks);
    units_format_size (used, sizeof used, w->bytes_used);
    units_format_size (in, sizeof in, old ? rate (w->bytes_in, old->bytes_in, ns) : 0);
    units_format_size (out, sizeof out,
                       old ? rate (w->bytes_out, old->bytes_out, ns) : 0);
    put_line (s, "%-8.8s %-8.8s %7.7s %9.9s %s %8.8s/s %8.8s/s %s", w->name,
              w->drained                         ? "drained"
              : strcmp (w->condition, "ok") == 0 ? w->state
                                                 : w->condition,
              chunks, used, fill, in, out, heat);
}

static void draw (screen_t *s, const dfs_status_t *now, const dfs_status_t *old,
                  uint64_t ns)
{
    char a[32], b[32], c[32];
    size_t shown = now->n_workers;
    int room;

    s->len = raw ? (size_t)sprintf (s->text, "\033[H") : 0;
    s->used = 0;
    put_line (s, "dfs %s: %s   epoch %s   up %s   %" PRIu64 " sessions", now->cluster,
              now->health, now->epoch,
              units_format_duration (a, sizeof a, now->uptime_ns), now->sessions);
    put_line (s, "%" PRIu64 " files, %" PRIu64 " chunks, %s of files, %s stored",
              now->files, now->chunks,
              units_format_size (a, sizeof a, now->bytes_logical),
              units_format_size (b, sizeof b, now->bytes_stored));
    put_line (s,
              "chunks: %" PRIu64 " short of copies, %" PRIu64 " lost, %" PRIu64
              " with too many, %" PRIu64 " to move",
              now->chunks_under_replicated, now->chunks_lost, now->chunks_surplus,
              now->chunks_moving);
    put_line (s, "repair: %" PRIu64 " queued, %" PRIu64 " active, %s/s, %s to go",
              now->repair_queued, now->repair_active,
              units_format_size (a, sizeof a, now->repair_bytes_per_second),
              units_format_duration (c, sizeof c, now->repair_eta_seconds * SEC));
    if (now->reclaim_held)
        put_line (s, "reclaim: held: %s", now->reclaim_why);
    else if (now->chunks_free || now->chunks_condemned || now->copies_dropping)
        put_line (s,
                  "reclaim: %" PRIu64 " chunks unused, %" PRIu64 " condemned, %" PRIu64
                  " copies being dropped",
                  now->chunks_free, now->chunks_condemned, now->copies_dropping);
    if (now->rebalancing)
        put_line (s, "rebalance: %" PRIu64 " copies moved, fill %.1f %%, farthest %.1f",
                  now->rebalance_moved, now->fill_mean / 10.0,
                  now->fill_farthest / 10.0);
    for (size_t i = 0; i < now->n_brokers; i++)
        put_line (s, "broker %-8.8s %-8.8s %s   log %" PRIu64 "   memory %s",
                  now->brokers[i].name, now->brokers[i].role, now->brokers[i].endpoint,
                  now->brokers[i].log_index,
                  units_format_size (a, sizeof a, now->brokers[i].memory));
    put_line (s, "%s", "");
    put_line (s, "%-8s %-8s %7s %9s %-10s %10s %10s %-10s", "WORKER", "STATE", "CHUNKS",
              "USED", "FILL", "IN", "OUT", "HEAT");
    room = s->rows - s->used - (now->n_notes > 0 ? 2 : 1);
    if (room < 1)
        room = 1;
    if (shown > (size_t)room)
        shown = (size_t)room - 1;
    for (size_t i = 0; i < shown; i++)
        draw_worker (s, &now->workers[i], earlier (old, now->workers[i].id), ns);
    if (shown < now->n_workers)
        put_line (s, "... and %zu more workers", now->n_workers - shown);
    for (size_t i = 0; i < now->n_notes; i++)
        put_line (s, "note: %s", now->notes[i]);
    if (raw)
        s->len += (size_t)sprintf (s->text + s->len, "\033[J");
}

static void draw_trouble (screen_t *s, const dfs_error_t *err)
{
    s->len = raw ? (size_t)sprintf (s->text, "\033[H") : 0;
    s->used = 0;
    put_line (s, "no answer: %s", err->text);
}

static void measure (screen_t *s)
{
    struct winsize size;

    s->columns = 80;
    s->rows = 24;
    if (ioctl (STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 &&
        size.ws_row > 0) {
        s->columns = size.ws_col < COLUMNS_MAX ? size.ws_col : COLUMNS_MAX;
        s->rows = size.ws_row;
    }
    if (s->rows < ROWS_MIN)
        s->rows = ROWS_MIN;
    s->text = realloc (s->text, (size_t)s->rows * (4 * COLUMNS_MAX + 16) + 64);
    assert (s->text);
}

static int show (const screen_t *s)
{
    size_t done = 0;

    while (done < s->len) {
        ssize_t n = write (STDOUT_FILENO, s->text + done, s->len - done);
        if (n < 0 && errno != EINTR)
            return -1;
        done += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

/* True when somebody wants to leave. */
static bool pause_for (uint64_t ms)
{
    struct pollfd in = {STDIN_FILENO, POLLIN, 0};
    uint64_t until = clock_mono () + ms * MS;

    while (!ended && clock_mono () < until) {
        char key = 0;
        uint64_t left = (until - clock_mono ()) / MS;
        if (poll (&in, raw ? 1 : 0, left < 200 ? (int)left + 1 : 200) <= 0)
            continue;
        if (read (STDIN_FILENO, &key, 1) <= 0 || key == 'q' || key == 'Q')
            return true;
    }
    return ended != 0;
}

/* --- */

static int watch (dfs_t *dfs, uint64_t interval, uint64_t count)
{
    dfs_status_t old = {0}, now;
    uint64_t seen = 0;
    screen_t screen = {0};
    int status = 0;

    for (uint64_t i = 0; !ended && (count == 0 || i < count); i++) {
        dfs_error_t err = {0};
        uint64_t at;

        if (dfs_status (dfs, &now, &err) < 0) {
            if (!raw) {
                status = tool_fail (NULL, &err);
                break;
            }
            measure (&screen);
            draw_trouble (&screen, &err);
            if (show (&screen) < 0 || pause_for (interval))
                break;
            continue;
        }
        at = clock_mono ();
        measure (&screen);
        draw (&screen, &now, &old, at - seen);
        dfs_status_clear (&old);
        old = now;
        seen = at;
        if (show (&screen) < 0) {
            status = TOOL_EXIT_FAILED;
            break;
        }
        if (i + 1 != count && pause_for (interval))
            break;
    }
    dfs_status_clear (&old);
    free (screen.text);
    return status;
}

int verb_monitor (int argc, char **argv)
{
    uint64_t interval = 500, count = 0;
    const char *value;
    int key;

    while ((key = tool_next (argc, argv, &value)) != -1)
        if (key == KEY_INTERVAL)
            interval = tool_number ("--interval", value, 3600000);
        else
            count = tool_number ("--count", value, UINT32_MAX);
    if (interval < 50)
        interval = 50;
    tool_operands (argc, 0, 0);
    dfs_t *dfs = tool_open ();
    take_terminal ();
    int status = watch (dfs, interval, count);
    restore ();
    dfs_close (&dfs);
    return status;
}
