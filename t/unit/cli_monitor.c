/* SPDX-License-Identifier: MPL-2.0 */
/* The live view: what fits a screen, what is on top of it, and that nobody waits for a
 * broker that says nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli_fake.h"
#include "client/cli/look.h"
#include "client/cli/view.h"
#include "common/clock.h"
#include "common/units.h"

#include <cmocka.h> /* last: its macro fail () is not ours */

#define WORKERS 20

static dfs_worker_info_t workers[WORKERS];
static dfs_broker_info_t brokers[1];
static char *notes[] = {"one", "two", "three", "four", "five", "six"};
static char *text; /* of the last screen */

/* Workers w1 … wN that are well. */
static dfs_status_t cluster_of (size_t n)
{
    dfs_status_t s = {.workers = workers, .n_workers = n};
    s.brokers = brokers;
    s.n_brokers = 1;
    strcpy (s.cluster, "c");
    strcpy (s.health, "ok");
    strcpy (s.epoch, "1.1");
    strcpy (brokers[0].name, "b1");
    memset (workers, 0, sizeof workers);
    for (size_t i = 0; i < n; i++) {
        workers[i].id = (uint32_t)i + 1;
        snprintf (workers[i].name, sizeof workers[i].name, "w%zu", i + 1);
        strcpy (workers[i].state, "up");
        strcpy (workers[i].condition, "ok");
        workers[i].bytes_free = GIB;
    }
    return s;
}

/* Draws it; every row fits, and there are not more than the screen has. */
static void draw (view_t *view)
{
    size_t len, rows = 0;
    free (text);
    text = view_draw (view, &len);
    assert_int_equal (strlen (text), len);
    for (const char *at = text; *at; rows++) {
        size_t n = strcspn (at, "\n");
        assert_true (n <= (size_t)view->columns);
        at += n + 1;
    }
    assert_true (rows <= (size_t)view->rows);
}

/* The screen has a row that begins with START. */
static bool has_row (const char *start)
{
    for (const char *at = text; *at; at += strcspn (at, "\n") + 1)
        if (strncmp (at, start, strlen (start)) == 0)
            return true;
    return false;
}

static void long_names_differ (void **state)
{
    (void)state;
    dfs_status_t s = cluster_of (3);
    strcpy (workers[0].name, "storage-01");
    strcpy (workers[1].name, "storage-02");
    view_t view = {.columns = 80, .rows = 24, .now = &s};
    draw (&view);
    assert_true (has_row ("storage-01 up") && has_row ("storage-02 up"));
    assert_non_null (strstr (text, "HEAT"));
    strcpy (workers[0].name, "storage-of-the-cellar-in-house-one-01");
    strcpy (workers[1].name, "storage-of-the-cellar-in-house-one-02");
    draw (&view);
    assert_non_null (strstr (text, "-one-01 up"));
    assert_non_null (strstr (text, "-one-02 up"));
    view.columns = 132; /* room for all of it */
    draw (&view);
    assert_true (has_row ("storage-of-the-cellar-in-house-one-01 up"));
}

static void trouble_and_heat_come_first (void **state)
{
    (void)state;
    dfs_status_t s = cluster_of (WORKERS);
    strcpy (workers[WORKERS - 1].state, "dead");
    strcpy (workers[WORKERS - 2].condition, "read-only");
    workers[WORKERS - 3].disk_permille = 900;
    view_t view = {.columns = 80, .rows = 15, .now = &s};
    draw (&view);
    assert_true (has_row ("w20      dead") && has_row ("w19      read-only"));
    assert_true (has_row ("w18      up"));
    assert_true (view.page > 0 && view.page < WORKERS);
    char rest[64];
    snprintf (rest, sizeof rest, "... 0 workers above, %zu below", WORKERS - view.page);
    assert_true (has_row (rest));
    /* Every one is seen on some page. */
    bool seen[WORKERS] = {false};
    for (size_t first = 0; first < WORKERS; first += view.page) {
        view.first = first;
        draw (&view);
        for (size_t i = 0; i < WORKERS; i++) {
            char start[16];
            snprintf (start, sizeof start, "w%zu ", i + 1);
            seen[i] = seen[i] || has_row (start);
        }
    }
    for (size_t i = 0; i < WORKERS; i++)
        assert_true (seen[i]);
    view.first = 1000; /* held at the end */
    draw (&view);
    assert_int_equal (view.first, WORKERS - view.page);
}

static void notes_are_counted (void **state)
{
    (void)state;
    dfs_status_t s = cluster_of (WORKERS);
    s.notes = notes;
    s.n_notes = sizeof notes / sizeof *notes;
    view_t view = {.columns = 80, .rows = 16, .now = &s};
    draw (&view);
    assert_true (has_row ("note: one"));
    assert_true (has_row ("note (and 3 more): three"));
    s.n_workers = 3;
    view.rows = 24;
    draw (&view);
    assert_true (has_row ("note: six") && has_row ("w3 "));
}

static void small_screens_hold (void **state)
{
    (void)state;
    dfs_status_t s = cluster_of (WORKERS);
    s.notes = notes;
    s.n_notes = sizeof notes / sizeof *notes;
    for (int rows = 1; rows < 30; rows++)
        for (int columns = 1; columns < 120; columns += 7) {
            view_t view = {.columns = columns, .rows = rows, .now = &s};
            draw (&view);
        }
}

static void unknown_is_a_dash (void **state)
{
    (void)state;
    dfs_status_t s = cluster_of (2);
    view_t view = {.columns = 80, .rows = 24, .now = &s};
    draw (&view);
    assert_true (has_row ("repair: nothing to do"));
    s.repair_queued = 5;
    s.repair_active = 2;
    draw (&view);
    assert_true (has_row ("repair: 5 queued, 2 active, 0 B/s, - to go"));
    s.repair_bytes_per_second = MIB;
    s.repair_eta_seconds = 3;
    s.repair_eta_known = true;
    draw (&view);
    assert_true (has_row ("repair: 5 queued, 2 active, 1.00 MiB/s, 3.0s to go"));
    strcpy (workers[0].state, "dead");
    workers[0].cpu_permille = workers[0].disk_permille = 1000; /* it said last */
    draw (&view);
    assert_null (strstr (text, "#"));
}

static void silence_is_said (void **state)
{
    (void)state;
    dfs_status_t s = cluster_of (2);
    view_t view = {.columns = 80, .rows = 24, .now = &s, .silent_ns = 3 * SEC};
    draw (&view);
    assert_true (has_row ("no answer for 3.0s, what follows is of "));
    assert_true (has_row ("w1 "));
    view.now = NULL;
    view.why = "b1: connection refused";
    draw (&view);
    assert_string_equal (text, "no answer for 3.0s: b1: connection refused\n");
}

/* The thread that draws goes on, and ends, while the question is not answered. */
static void nobody_waits_for_a_broker (void **state)
{
    (void)state;
    int gate[2];
    dfs_status_t status;
    look_news_t news = {0};
    assert_int_equal (pipe (gate), 0);
    look_t *look = look_new (10 * MS, 1000);
    struct pollfd item = {look_fd (look), POLLIN, 0};
    while (!look_take (look, &status, &news))
        assert_true (poll (&item, 1, 60000) >= 0);
    assert_true (news.answers > 0 && news.at > 0 && news.err.code == 0);
    dfs_status_clear (&status);
    fake_hold (gate[0]);
    uint64_t since = 0, now;
    for (now = clock_mono (); since == 0 || now - since < SEC; now = clock_mono ()) {
        if (look_take (look, &status, &news))
            dfs_status_clear (&status);
        since = news.asked; /* another one when an answer was on its way */
        poll (&item, 1, 20);
    }
    assert_false (look_destroy (&look));
    assert_null (look);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (long_names_differ),
        cmocka_unit_test (trouble_and_heat_come_first),
        cmocka_unit_test (notes_are_counted),
        cmocka_unit_test (small_screens_hold),
        cmocka_unit_test (unknown_is_a_dash),
        cmocka_unit_test (silence_is_said),
        cmocka_unit_test (nobody_waits_for_a_broker),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    int failed = cmocka_run_group_tests_name ("cli_monitor", tests, NULL, NULL);
    free (text);
    return failed;
}
