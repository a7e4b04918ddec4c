/* SPDX-License-Identifier: MPL-2.0 */
#include "view.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/units.h"
#include "output.h"

#define COLUMNS_MAX 300
#define NAME_MIN    8
#define BAR_MIN     4
#define BAR_GOOD    6 /* a longer name takes no more of it */
#define BAR_MAX     10
#define ROW_FIXED   51 /* columns of a worker's row without name and bars */

typedef struct screen {
    char *text;
    size_t len;
    int columns, rows;
    int used; /* rows */
    bool full;
} screen_t;

/* What all rows of workers share. */
typedef struct layout {
    int name, bar;
} layout_t;

static void put_text (screen_t *s, const char *text)
{
    size_t n = strlen (text);
    memcpy (s->text + s->len, text, n + 1);
    s->len += n;
}

/* One row, cut to the width: a character is what does not continue another one. */
static void put_row (screen_t *s, bool marked, const char *fmt, va_list ap)
{
    char line[4 * COLUMNS_MAX];
    int width = 0;
    size_t n = 0;

    if (s->used >= s->rows)
        return;
    vsnprintf (line, sizeof line, fmt, ap);
    for (; line[n]; n++) {
        if (((unsigned char)line[n] & 0xc0) != 0x80 && width++ == s->columns)
            break;
        if ((unsigned char)line[n] < 32 || line[n] == 127)
            line[n] = '?';
    }
    line[n] = 0;
    /* The last row has no line end: the screen must not scroll. */
    if (s->full && s->used)
        put_text (s, "\r\n");
    if (s->full && marked)
        put_text (s, "\033[7m");
    put_text (s, line);
    if (s->full)
        put_text (s, marked ? "\033[0m\033[K" : "\033[K");
    else
        put_text (s, "\n");
    s->used++;
}

static void put_line (screen_t *s, const char *fmt, ...)
    __attribute__ ((format (printf, 2, 3)));

static void put_line (screen_t *s, const char *fmt, ...)
{
    va_list ap;
    va_start (ap, fmt);
    put_row (s, false, fmt, ap);
    va_end (ap);
}

static void put_marked (screen_t *s, const char *fmt, ...)
    __attribute__ ((format (printf, 2, 3)));

static void put_marked (screen_t *s, const char *fmt, ...)
{
    va_list ap;
    va_start (ap, fmt);
    put_row (s, true, fmt, ap);
    va_end (ap);
}

/* --- parts of a row --- */

/* A name that is too long loses its middle: what tells nodes apart is at the ends. */
static const char *fit (const char *name, int width, char *out, size_t cap)
{
    int len = (int)strlen (name), tail = width / 2;

    if (len <= width)
        return name;
    snprintf (out, cap, "%.*s~%s", width - tail - 1, name, name + len - tail);
    return out;
}

static const char *bar (char *out, int width, uint64_t part, uint64_t whole)
{
    int full = whole ? (int)((double)part / (double)whole * width + 0.5) : 0;

    for (int i = 0; i < width; i++)
        out[i] = i < full ? '#' : '.';
    out[width] = 0;
    return out;
}

static const char *speed (char *out, size_t cap, uint64_t now, uint64_t before,
                          uint64_t ns)
{
    char size[24];
    uint64_t rate = now > before && ns > 0
                        ? (uint64_t)((double)(now - before) * 1e9 / (double)ns)
                        : 0;

    snprintf (out, cap, "%s/s", units_format_size (size, sizeof size, rate));
    return out;
}

static const char *count (char *out, size_t cap, uint64_t n)
{
    if (n < 10000000)
        snprintf (out, cap, "%" PRIu64, n);
    else
        snprintf (out, cap, "%" PRIu64 "M", n / 1000000);
    return out;
}

static const char *clock_text (char *out, size_t cap, uint64_t wall_ns)
{
    time_t seconds = (time_t)(wall_ns / SEC);
    struct tm tm;

    if (!localtime_r (&seconds, &tm) || strftime (out, cap, "%H:%M:%S", &tm) == 0)
        out[0] = 0;
    return out;
}

/* --- workers --- */

static uint32_t heat (const dfs_worker_info_t *w)
{
    uint32_t most =
        w->disk_permille > w->cpu_permille ? w->disk_permille : w->cpu_permille;

    return strcmp (w->state, "dead") == 0 ? 0 : most < 1000 ? most : 1000;
}

/* 0 and up: what needs a person first. */
static int rank (const dfs_worker_info_t *w)
{
    if (strcmp (w->state, "dead") == 0)
        return 0;
    if (strcmp (w->state, "suspect") == 0)
        return 1;
    if (strcmp (w->condition, "ok") != 0 || w->trouble[0])
        return 2;
    return strcmp (w->state, "up") == 0 ? 4 : 3;
}

static int by_trouble (const void *a, const void *b)
{
    const dfs_worker_info_t *x = *(const dfs_worker_info_t *const *)a,
                            *y = *(const dfs_worker_info_t *const *)b;
    int diff = rank (x) - rank (y);

    return diff ? diff : x < y ? -1 : x > y;
}

static int by_heat (const void *a, const void *b)
{
    const dfs_worker_info_t *x = *(const dfs_worker_info_t *const *)a,
                            *y = *(const dfs_worker_info_t *const *)b;
    int diff = rank (x) - rank (y);

    if (diff == 0)
        diff = (int)heat (y) - (int)heat (x);
    return diff ? diff : x < y ? -1 : x > y;
}

/* The same worker at the last look, NULL. */
static const dfs_worker_info_t *earlier (const dfs_status_t *old, uint32_t id)
{
    for (size_t i = 0; old && i < old->n_workers; i++)
        if (old->workers[i].id == id)
            return &old->workers[i];
    return NULL;
}

static layout_t lay_out (const view_t *view)
{
    layout_t l = {NAME_MIN, 0};
    int most = view->columns - ROW_FIXED - 2 * BAR_GOOD;

    for (size_t i = 0; i < view->now->n_workers; i++) {
        int len = (int)strlen (view->now->workers[i].name);
        if (len > l.name)
            l.name = len;
    }
    if (l.name > most)
        l.name = most > NAME_MIN ? most : NAME_MIN;
    l.bar = (view->columns - ROW_FIXED - l.name) / 2;
    l.bar = l.bar < BAR_MIN ? BAR_MIN : l.bar > BAR_MAX ? BAR_MAX : l.bar;
    return l;
}

static void draw_worker (screen_t *s, const view_t *view, const layout_t *l,
                         const dfs_worker_info_t *w)
{
    const dfs_worker_info_t *old = earlier (view->old, w->id);
    char name[COLUMNS_MAX], full[BAR_MAX + 1], hot[BAR_MAX + 1];
    char used[24], in[24], out[24], chunks[24];
    bool there = strcmp (w->state, "dead") != 0; /* a dead one tells nothing */

    put_line (s, "%-*s %-9.9s %7s %8s %-*s %10s %10s %-*s", l->name,
              fit (w->name, l->name, name, sizeof name),
              w->drained                         ? "drained"
              : strcmp (w->condition, "ok") == 0 ? w->state
                                                 : w->condition,
              count (chunks, sizeof chunks, w->chunks),
              units_format_size (used, sizeof used, w->bytes_used), l->bar,
              there ? bar (full, l->bar, w->bytes_used, w->bytes_used + w->bytes_free)
                    : "-",
              !there ? "-"
                     : speed (in, sizeof in, w->bytes_in,
                              old ? old->bytes_in : UINT64_MAX, view->between_ns),
              !there ? "-"
                     : speed (out, sizeof out, w->bytes_out,
                              old ? old->bytes_out : UINT64_MAX, view->between_ns),
              l->bar, there ? bar (hot, l->bar, heat (w), 1000) : "-");
}

/* In ROWS rows. When they are not all seen, the busiest of those that are well come
 * first. */
static void draw_workers (screen_t *s, view_t *view, const layout_t *l, size_t rows)
{
    size_t n = view->now->n_workers, page = rows;
    const dfs_worker_info_t **order = calloc (n + 1, sizeof *order);

    assert (order);
    for (size_t i = 0; i < n; i++)
        order[i] = &view->now->workers[i];
    qsort (order, n, sizeof *order, n > rows ? by_heat : by_trouble);
    if (n > rows && rows > 1)
        page--; /* a row for those not shown */
    if (page > n)
        page = n;
    if (view->first > n - page)
        view->first = n - page;
    view->page = page;
    for (size_t i = 0; i < page; i++)
        draw_worker (s, view, l, order[view->first + i]);
    if (page < n && page < rows)
        put_line (s, "... %zu workers above, %zu below%s", view->first,
                  n - view->first - page, view->full ? " (j, k, space, b)" : "");
    free (order);
}

/* --- the rest --- */

static void draw_head (screen_t *s, const view_t *view)
{
    const dfs_status_t *now = view->now;
    char a[32], b[32];

    put_line (s, "%s  dfs %s: %s   epoch %s   up %s   %" PRIu64 " sessions",
              clock_text (b, sizeof b, view->wall_ns), now->cluster, now->health,
              now->epoch, units_format_duration (a, sizeof a, now->uptime_ns),
              now->sessions);
    put_line (s, "%" PRIu64 " files, %" PRIu64 " chunks, %s of files, %s stored",
              now->files, now->chunks,
              units_format_size (a, sizeof a, now->bytes_logical),
              units_format_size (b, sizeof b, now->bytes_stored));
    put_line (s,
              "chunks: %" PRIu64 " short of copies, %" PRIu64 " lost, %" PRIu64
              " with too many, %" PRIu64 " to move",
              now->chunks_under_replicated, now->chunks_lost, now->chunks_surplus,
              now->chunks_moving);
}

static void draw_work (screen_t *s, const dfs_status_t *now)
{
    char a[32], b[32];

    if (now->repair_queued == 0 && now->repair_active == 0)
        put_line (s, "repair: nothing to do");
    else
        put_line (s, "repair: %" PRIu64 " queued, %" PRIu64 " active, %s/s, %s to go",
                  now->repair_queued, now->repair_active,
                  units_format_size (a, sizeof a, now->repair_bytes_per_second),
                  out_eta (now, b, sizeof b));
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
}

static void draw_brokers (screen_t *s, const view_t *view)
{
    const dfs_status_t *now = view->now;
    char name[64], memory[32];
    int width = NAME_MIN, most = view->columns / 4;

    for (size_t i = 0; i < now->n_brokers; i++) {
        int len = (int)strlen (now->brokers[i].name);
        if (len > width)
            width = len <= most ? len : most > NAME_MIN ? most : NAME_MIN;
    }
    for (size_t i = 0; i < now->n_brokers; i++)
        put_line (s, "broker %-*s %-8.8s %s   log %" PRIu64 "   memory %s", width,
                  fit (now->brokers[i].name, width, name, sizeof name),
                  now->brokers[i].role, now->brokers[i].endpoint,
                  now->brokers[i].log_index,
                  units_format_size (memory, sizeof memory, now->brokers[i].memory));
}

/* In ROWS rows; the last one says how many are not shown. */
static void draw_notes (screen_t *s, const dfs_status_t *now, size_t rows)
{
    for (size_t i = 0; i < now->n_notes && i < rows; i++)
        if (i + 1 == rows && i + 1 < now->n_notes)
            put_line (s, "note (and %zu more): %s", now->n_notes - i - 1,
                      now->notes[i]);
        else
            put_line (s, "note: %s", now->notes[i]);
}

static void draw_silence (screen_t *s, const view_t *view)
{
    char since[32], at[32];
    const char *why = view->why ? view->why : "";

    units_format_duration (since, sizeof since, view->silent_ns / SEC * SEC);
    if (view->now)
        put_marked (s, "no answer for %s, what follows is of %s%s%s", since,
                    clock_text (at, sizeof at, view->wall_ns), *why ? ": " : "", why);
    else
        put_marked (s, "no answer for %s%s%s", since, *why ? ": " : "", why);
}

char *view_draw (view_t *view, size_t *len)
{
    screen_t s = {.columns = view->columns, .rows = view->rows, .full = view->full};

    if (s.columns > COLUMNS_MAX)
        s.columns = view->columns = COLUMNS_MAX;
    s.text = malloc ((size_t)s.rows * (4 * COLUMNS_MAX + 16) + 64);
    assert (s.text);
    s.text[0] = 0;
    view->page = 0;
    if (view->full)
        put_text (&s, "\033[H");
    if (view->silent_ns > 0)
        draw_silence (&s, view);
    if (view->now) {
        layout_t l = lay_out (view);

        draw_head (&s, view);
        draw_work (&s, view->now);
        draw_brokers (&s, view);
        put_line (&s, "%s", "");
        put_line (&s, "%-*s %-9s %7s %8s %-*s %10s %10s %-*s", l.name, "WORKER",
                  "STATE", "CHUNKS", "USED", l.bar, "FILL", "IN", "OUT", l.bar, "HEAT");

        /* Notes get a third of what is left, more when workers need less. */
        size_t left = s.rows > s.used ? (size_t)(s.rows - s.used) : 0;
        size_t notes = view->now->n_notes, third = left / 3 > 0 ? left / 3 : 1;
        if (view->now->n_workers + notes > left) {
            if (view->now->n_workers + third < left)
                third = left - view->now->n_workers;
            notes = notes < third ? notes : third;
        }
        if (left > 0)
            draw_workers (&s, view, &l, left > notes ? left - notes : 1);
        draw_notes (&s, view->now, notes);
    }
    if (view->full)
        put_text (&s, "\033[J");
    *len = s.len;
    return s.text;
}
