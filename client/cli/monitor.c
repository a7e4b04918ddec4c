/* SPDX-License-Identifier: MPL-2.0 */
/* monitor: the cluster on a full screen, drawn anew twice a second. Only plain ANSI
 * sequences; whatever ends it, the terminal is as it was. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/units.h"
#include "look.h"
#include "terminal.h"
#include "verbs.h"
#include "view.h"

#define LEADER_MS 5000
#define SILENT    (1 * SEC) /* so long a question may take */
#define TURN_MS   250       /* to draw the seconds of a silence */

enum { KEY_INTERVAL = 256, KEY_COUNT };

const tool_option_t monitor_options[] = {
    {KEY_INTERVAL, "interval", "MS", "time between two looks (default: 500)"},
    {KEY_COUNT, "count", "N", "end after N looks"},
    {0, NULL, NULL, NULL},
};

typedef struct watch {
    look_t *look;
    look_news_t news;
    dfs_status_t now, old;
    uint64_t since; /* began */
    view_t view;
} watch_t;

/* The newest answer becomes NOW; false: there is no newer one. */
static bool take_news (watch_t *w)
{
    dfs_status_t status;
    uint64_t before = w->news.at;

    if (!look_take (w->look, &status, &w->news))
        return false;
    dfs_status_clear (&w->old);
    w->old = w->now;
    w->now = status;
    w->view.now = &w->now;
    w->view.old = before ? &w->old : NULL;
    w->view.between_ns = before ? w->news.at - before : 0;
    w->view.wall_ns = w->news.wall;
    return true;
}

/* -1: nobody sees it. */
static int draw (watch_t *w)
{
    const look_news_t *news = &w->news;
    uint64_t now = clock_mono ();
    size_t len;

    w->view.silent_ns = 0;
    if (news->err.code || (news->asked && now - news->asked > SILENT))
        w->view.silent_ns = now - (news->at ? news->at : w->since);
    w->view.why = news->err.text;
    terminal_size (&w->view.columns, &w->view.rows);
    char *text = view_draw (&w->view, &len);
    int rc = terminal_write (text, len);
    free (text);
    return rc;
}

static void scroll (view_t *view, enum terminal_key key)
{
    size_t step =
        key == TERMINAL_DOWN || key == TERMINAL_UP || view->page == 0 ? 1 : view->page;

    if (key == TERMINAL_DOWN || key == TERMINAL_PAGE_DOWN)
        view->first += step; /* view_draw holds it within the list */
    else if (key == TERMINAL_TOP)
        view->first = 0;
    else if (key == TERMINAL_UP || key == TERMINAL_PAGE_UP)
        view->first -= view->first < step ? view->first : step;
}

/* Not worth another try. */
static bool refused (const look_news_t *news)
{
    return news->answers == 0 && news->err.code && news->err.code != DFS_EUNAVAIL &&
           news->err.code != DFS_ETIMEOUT;
}

static int watch (watch_t *w, uint64_t count)
{
    while (!terminal_ended ()) {
        bool fresh = take_news (w);

        if (refused (&w->news) || (!w->view.full && w->news.err.code)) {
            terminal_restore ();
            return tool_fail (NULL, &w->news.err);
        }
        if ((fresh || w->view.full) && draw (w) < 0)
            return TOOL_EXIT_FAILED;
        if (count && w->news.answers + w->news.failures >= count)
            break;
        enum terminal_key key = terminal_wait (look_fd (w->look), TURN_MS);
        if (key == TERMINAL_QUIT)
            break;
        scroll (&w->view, key);
    }
    return 0;
}

int verb_monitor (int argc, char **argv)
{
    uint64_t interval = 500, count = 0;
    watch_t w = {.since = clock_mono ()};
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
    w.view.full = terminal_take ();
    uint32_t timeout = tool_common.timeout_ms;
    if (timeout == 0 && w.view.full)
        timeout = LEADER_MS;
    w.look = look_new (interval * MS, timeout);
    int status = watch (&w, count);
    terminal_restore ();
    dfs_status_clear (&w.old);
    dfs_status_clear (&w.now);
    if (!look_destroy (&w.look)) {
        fflush (stdout);
        _exit (status);
    }
    return status;
}
