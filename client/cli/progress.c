/* SPDX-License-Identifier: MPL-2.0 */
#include <inttypes.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/units.h"
#include "progress.h"

#define REDRAW_NS    (100 * MS)
#define WIDTH_MIN    20
#define RATE_SECONDS 2.0

static struct {
    bool on, drawn;
    bool shown; /* this run has a bar, perhaps ended */
    const char *what;
    uint64_t start_ns, drawn_ns;
    uint64_t rate_bytes; /* at drawn_ns */
    double rate;         /* smoothed, bytes a second */
    dfs_progress_t base;
    uint64_t bytes_total, files_total;
} bar;

static volatile sig_atomic_t interrupted; /* the signal */

static void on_signal (int number)
{
    interrupted = number;
}

static void catch_signals (void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    /* A second one ends the program whatever it does. */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        struct sigaction old;
        if (sigaction (numbers[i], NULL, &old) == 0 && old.sa_handler == SIG_DFL)
            sigaction (numbers[i], &action, NULL);
    }
}

bool progress_interrupted (void)
{
    return interrupted != 0;
}

void progress_finish_signal (void)
{
    if (!interrupted)
        return;
    signal (interrupted, SIG_DFL);
    raise (interrupted);
}

void progress_begin (const char *what, bool quiet)
{
    catch_signals ();
    memset (&bar, 0, sizeof bar);
    bar.on = bar.shown = !quiet && isatty (STDERR_FILENO);
    bar.what = what;
    bar.start_ns = clock_mono ();
}

void progress_base (const dfs_progress_t *done, uint64_t bytes_total,
                    uint64_t files_total)
{
    bar.base = *done;
    bar.bytes_total = bytes_total;
    bar.files_total = files_total;
}

static int columns (void)
{
    struct winsize size;
    if (ioctl (STDERR_FILENO, TIOCGWINSZ, &size) < 0 || size.ws_col < WIDTH_MIN)
        return 80;
    return size.ws_col;
}

static void format_eta (char *buf, size_t cap, uint64_t seconds)
{
    if (seconds < 60)
        snprintf (buf, cap, "%" PRIu64 "s", seconds);
    else
        units_format_duration (buf, cap, seconds * SEC);
}

void progress_line (char *buf, size_t cap, int width, const char *what,
                    const dfs_progress_t *now, double seconds, double rate)
{
    char left[96], right[192], done[32], total[32], speed[32], eta[32];
    units_format_size (done, sizeof done, now->bytes);
    units_format_size (total, sizeof total, now->bytes_total);
    units_format_size (speed, sizeof speed, rate > 0 ? (uint64_t)rate : 0);
    int n = snprintf (left, sizeof left, "%s ", what);
    if (now->files_total > 1)
        snprintf (left + n, sizeof left - (size_t)n, "%" PRIu64 "/%" PRIu64 " files ",
                  now->files, now->files_total);
    if (now->bytes_total == 0) {
        units_format_duration (eta, sizeof eta, (uint64_t)seconds * SEC);
        snprintf (right, sizeof right, "%s, %s/s, %s", done, speed, eta);
        snprintf (buf, cap, "%s%s", left, right);
        if ((size_t)width < strlen (buf))
            buf[width] = 0;
        return;
    }
    double share = (double)now->bytes / (double)now->bytes_total;
    share = share > 1 ? 1 : share;
    double rest = rate > 1 ? (double)(now->bytes_total - now->bytes) / rate : -1;
    if (now->bytes >= now->bytes_total)
        snprintf (eta, sizeof eta, "0s");
    else if (rest < 0 || rest > 360000)
        snprintf (eta, sizeof eta, "--");
    else
        format_eta (eta, sizeof eta, (uint64_t)ceil (rest));
    snprintf (right, sizeof right, " %3d%% %s of %s, %s/s, ETA %s", (int)(share * 100),
              done, total, speed, eta);
    int room = width - (int)strlen (left) - (int)strlen (right) - 2;
    if (room > 40)
        room = 40;
    if (room < 5) {
        snprintf (buf, cap, "%s%s", left, right + 1);
    } else {
        char hashes[48];
        int full = (int)(share * room);
        memset (hashes, '#', sizeof hashes);
        snprintf (buf, cap, "%s[%.*s%*s]%s", left, full, hashes, room - full, "",
                  right);
    }
    if ((size_t)width < strlen (buf))
        buf[width] = 0;
}

/* An average that forgets in a few seconds. It begins at nothing, and what it has not
 * seen yet counts for nothing: BAR.RATE is put right by the weight of what it has. */
static double measure (uint64_t bytes, uint64_t now_ns)
{
    uint64_t since = bar.drawn_ns ? bar.drawn_ns : bar.start_ns;
    double dt = (double)(now_ns - since) / 1e9;
    double db = bytes > bar.rate_bytes ? (double)(bytes - bar.rate_bytes) : 0;
    if (dt > 0)
        bar.rate += (1 - exp (-dt / RATE_SECONDS)) * (db / dt - bar.rate);
    bar.rate_bytes = bytes;
    bar.drawn_ns = now_ns;
    double seen = 1 - exp (-(double)(now_ns - bar.start_ns) / 1e9 / RATE_SECONDS);
    return seen > 0 ? bar.rate / seen : 0;
}

int progress_update (const dfs_progress_t *now, void *arg)
{
    (void)arg;
    uint64_t now_ns = clock_mono ();
    if (interrupted)
        return -1;
    if (!bar.on || (bar.drawn_ns && now_ns - bar.drawn_ns < REDRAW_NS))
        return 0;
    dfs_progress_t sum = *now;
    sum.bytes += bar.base.bytes;
    sum.files += bar.base.files;
    if (bar.files_total) {
        sum.bytes_total = bar.bytes_total;
        sum.files_total = bar.files_total;
    }
    double rate = measure (sum.bytes, now_ns);
    char line[512];
    progress_line (line, sizeof line, columns () - 1, bar.what, &sum,
                   (double)(now_ns - bar.start_ns) / 1e9, rate);
    fprintf (stderr, "\r%s\033[K", line);
    fflush (stderr);
    bar.drawn = true;
    return 0;
}

void progress_clear (void)
{
    if (!bar.drawn)
        return;
    fputs ("\r\033[K", stderr);
    fflush (stderr);
    bar.drawn = false;
}

void progress_end (void)
{
    progress_clear ();
    bar.on = false;
}

void progress_sum (uint64_t files, uint64_t bytes, const char *more)
{
    char size[32], rate[32], time[32];
    uint64_t ns = clock_mono () - bar.start_ns;
    if (!bar.shown || files == 0 || interrupted)
        return;
    double seconds = (double)ns / 1e9 + 1e-9;
    fprintf (stderr, "%" PRIu64 " file%s, %s in %s (%s/s)%s\n", files,
             files == 1 ? "" : "s", units_format_size (size, sizeof size, bytes),
             units_format_duration (time, sizeof time, ns),
             units_format_size (rate, sizeof rate, (uint64_t)((double)bytes / seconds)),
             more);
}
