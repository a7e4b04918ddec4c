/* SPDX-License-Identifier: MPL-2.0 */
/* What the command line prints: progress line, tables, modes and times; and the walk.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/cli/output.h"
#include "client/cli/paths.h"
#include "client/cli/progress.h"
#include "client/cli/table.h"
#include "common/units.h"

#include <cmocka.h> /* last: its macro fail () is not ours */

static void progress_line_fits_its_width (void **state)
{
    (void)state;
    char line[512];
    dfs_progress_t p = {
        .bytes = 512 * MIB, .bytes_total = GIB, .files = 3, .files_total = 12};
    for (int width = 19; width < 200; width++) {
        progress_line (line, sizeof line, width, "put", &p, 5, 100.0 * (double)MIB);
        assert_true (strlen (line) <= (size_t)width);
    }
    assert_non_null (strstr (line, "put 3/12 files ["));
    assert_non_null (strstr (line, "####################                    ]"));
    assert_non_null (strstr (line, " 50% 512 MiB of 1.00 GiB, 100 MiB/s, ETA 6s"));
}

static void progress_line_at_its_ends (void **state)
{
    (void)state;
    char line[512];
    dfs_progress_t p = {.bytes = 0, .bytes_total = 100};
    progress_line (line, sizeof line, 100, "get", &p, 0, 0);
    assert_non_null (strstr (line, "  0% 0 B of 100 B, 0 B/s, ETA --"));
    p.bytes = 200; /* a source that grew */
    progress_line (line, sizeof line, 100, "get", &p, 1, 10);
    assert_non_null (strstr (line, "100% "));
    assert_non_null (strstr (line, "ETA 0s"));
    p.bytes_total = 0; /* a pipe */
    progress_line (line, sizeof line, 100, "put", &p, 65, 10);
    assert_string_equal (line, "put 200 B, 10 B/s, 1m05s");
}

static void columns_are_aligned (void **state)
{
    (void)state;
    char *text = NULL;
    size_t len;
    FILE *file = open_memstream (&text, &len);
    table_t *table = table_new ("lrl", file);
    table_row (table, "a", "1", "x", "ü", "22", "yy", "ccc", "333", "", NULL);
    table_destroy (&table);
    fclose (file);
    assert_string_equal (text, "a      1  x\nü     22  yy\nccc  333  \n");
    free (text);
    text = NULL;
    file = open_memstream (&text, &len);
    table = table_new ("ll", file);
    for (int i = 0; i < 2000; i++) {
        table_add (table, "%d", i);
        table_add (table, "v");
    }
    table_destroy (&table);
    fclose (file);
    size_t lines = 0;
    for (const char *p = text; (p = strchr (p, '\n')); p++)
        lines++;
    assert_int_equal (lines, 2000);
    free (text);
}

/* What a terminal of COLUMNS shows of a table whose rows take 46. */
static void draw_narrow (int columns, char *out, size_t cap)
{
    int terminal = posix_openpt (O_RDWR | O_NOCTTY);
    assert_true (terminal >= 0);
    assert_int_equal (grantpt (terminal), 0);
    assert_int_equal (unlockpt (terminal), 0);
    int fd = open (ptsname (terminal), O_RDWR | O_NOCTTY);
    struct winsize size = {.ws_row = 24, .ws_col = (unsigned short)columns};
    assert_int_equal (ioctl (fd, TIOCSWINSZ, &size), 0);
    FILE *file = fdopen (fd, "w");
    assert_non_null (file);
    table_t *table = table_new ("ldmr", file);
    table_row (table, "W", "ENDPOINT", "LOCATION", "USED", "wü", "127.0.0.1:9000",
               "dc1/rack-ö/host7", "1.00 MiB", NULL);
    table_destroy (&table);
    fflush (file);
    size_t len = 0;
    for (int lines = 0; lines < 2; len++) {
        assert_true (len + 1 < cap);
        assert_int_equal (read (terminal, out + len, 1), 1);
        len -= out[len] == '\r';
        lines += out[len] == '\n';
    }
    out[len] = 0;
    fclose (file);
    close (terminal);
}

static void rows_fit_a_terminal (void **state)
{
    (void)state;
    char text[256];
    draw_narrow (46, text, sizeof text);
    assert_string_equal (text, "W   ENDPOINT        LOCATION              USED\n"
                               "wü  127.0.0.1:9000  dc1/rack-ö/host7  1.00 MiB\n");
    draw_narrow (45, text, sizeof text);
    assert_string_equal (text, "W  ENDPOINT       LOCATION             USED\n"
                               "wü 127.0.0.1:9000 dc1/rack-ö/host7 1.00 MiB\n");
    draw_narrow (42, text, sizeof text);
    assert_string_equal (text, "W  LOCATION             USED\n"
                               "wü dc1/rack-ö/host7 1.00 MiB\n");
    draw_narrow (24, text, sizeof text);
    assert_string_equal (text, "W  LOCATION         USED\n"
                               "wü dc1/r~/host7 1.00 MiB\n");
    draw_narrow (10, text, sizeof text);
    assert_string_equal (text, "W  LOCATION     USED\n"
                               "wü dc1~ost7 1.00 MiB\n");
}

static void modes_and_times (void **state)
{
    (void)state;
    char mode[11], time[64];
    dfs_stat_t st = {.type = DFS_DIRECTORY, .mode = 01777};
    assert_string_equal (out_mode (&st, mode), "drwxrwxrwt");
    st = (dfs_stat_t){.type = DFS_FILE, .mode = 06750};
    assert_string_equal (out_mode (&st, mode), "-rwsr-s---");
    st = (dfs_stat_t){.type = DFS_SYMLINK, .mode = 0};
    assert_string_equal (out_mode (&st, mode), "l---------");
    assert_string_equal (out_time_json (1000000000ULL * SEC + 5, time, sizeof time),
                         "2001-09-09T01:46:40.000000005Z");
    assert_string_equal (out_time_json (0, time, sizeof time),
                         "1970-01-01T00:00:00.000000000Z");
}

static void local_names (void **state)
{
    (void)state;
    static const struct {
        const char *operand, *name;
    } rows[] = {{"a", "a"}, {"a/b", "b"}, {"/a/b//", "b"}, {"/", ""},      {".", ""},
                {"..", ""}, {"a/..", ""}, {"a/.", ""},     {"...", "..."}, {"", ""}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *name = path_local_name (rows[i].operand);
        assert_string_equal (name, rows[i].name);
        free (name);
    }
    char *path = path_remote ("a//b/");
    assert_string_equal (path, "/a/b");
    free (path);
    path = path_join ("/", "a");
    assert_string_equal (path, "/a");
    free (path);
    path = path_join ("/a", "");
    assert_string_equal (path, "/a");
    free (path);
    assert_string_equal (path_last ("/a/b"), "b");
    assert_string_equal (path_last ("/"), "");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (progress_line_fits_its_width),
        cmocka_unit_test (progress_line_at_its_ends),
        cmocka_unit_test (columns_are_aligned),
        cmocka_unit_test (rows_fit_a_terminal),
        cmocka_unit_test (modes_and_times),
        cmocka_unit_test (local_names),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("output", tests, NULL, NULL);
}
