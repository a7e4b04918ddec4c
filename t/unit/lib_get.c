/* SPDX-License-Identifier: MPL-2.0 */
/* get and listings of libdfs against a cluster that misbehaves on purpose. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib_world.h"

static void get_and_compare (world_t *world, size_t len)
{
    uint8_t *data = store (world, "/f", len);
    dfs_get_item_t item;
    int rc = get_one (world, "/f", path_in (world, "out"), &item);
    if (rc < 0)
        print_error ("%s: %s\n", dfs_error_name (rc), item.error.text);
    assert_int_equal (rc, 0);
    assert_file (path_in (world, "out"), data, len);
    assert_int_equal (item.size, len);
    assert_tidy (world);
    free (data);
}

static void test_get_sizes (void **state)
{
    static const size_t sizes[] = {0, 1, 65536, 262144, 262145, 10 * 262144 + 17};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        get_and_compare (*state, sizes[i]);
}

static void test_get_disorder (void **state)
{
    world_t *world = *state;
    world->fake->knobs.reverse = 1;
    world->fake->knobs.twice = 1;
    world->fake->knobs.frame_size = 65536;
    get_and_compare (world, 9 * 262144 + 1);
}

static void test_get_damaged (void **state)
{
    world_t *world = *state;
    world->fake->knobs.damage = 1;
    world->fake->knobs.refuse = 2;
    get_and_compare (world, 9 * 262144 + 1);
    assert_true (world->warnings >= 3); /* a line for each bad replica that was met */
}

static void test_get_no_replica (void **state)
{
    world_t *world = *state;
    dfs_get_item_t item;
    free (store (world, "/f", 262144 * 3));
    world->fake->knobs.damage = 7;
    assert_int_equal (get_one (world, "/f", path_in (world, "out"), &item),
                      DFS_EDAMAGED);
    assert_int_equal (access (path_in (world, "out"), F_OK), -1);
    assert_tidy (world);
}

static void test_get_late (void **state)
{
    world_t *world = *state;
    world->fake->knobs.silent = 1;
    get_and_compare (world, 6 * 262144);
    assert_true (world->fake->counts.cancels > 0);
    /* Those of the silent worker were asked of another one too, once each. */
    assert_in_range (world->fake->counts.seconds, 1, 6);
}

static void test_get_stream_ends (void **state)
{
    world_t *world = *state;
    world->fake->knobs.hang_up = 3;
    get_and_compare (world, 60 * 262144);
}

static void test_get_ranges (void **state)
{
    world_t *world = *state;
    size_t len = 3 * 262144 + 100;
    uint8_t *data = store (world, "/f", len);
    static const uint64_t ranges[][2] = {
        {0, 1},        {5, 70000},      {262140, 8}, {65536, 65536}, {3 * 262144, 500},
        {99999999, 5}, {100000, 600000}};
    dfs_error_t err;

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        uint64_t at = ranges[i][0] < len ? ranges[i][0] : len;
        uint64_t n = ranges[i][1] < len - at ? ranges[i][1] : len - at;
        dfs_get_item_t item = {.source = "/f",
                               .dest = path_in (world, "out"),
                               .fd = -1,
                               .offset = ranges[i][0],
                               .length = ranges[i][1]};
        assert_int_equal (dfs_get (world->dfs, &item, 1, NULL, &err), 0);
        assert_int_equal (item.size, n);
        assert_file (item.dest, data + at, n);
    }
    dfs_file_t *file = dfs_file_open (world->dfs, "/f", &err);
    assert_non_null (file);
    assert_int_equal (dfs_file_size (file), len);
    uint8_t *buf = malloc (len + 10);
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        uint64_t at = ranges[i][0] < len ? ranges[i][0] : len;
        uint64_t n = ranges[i][1] < len - at ? ranges[i][1] : len - at;
        assert_int_equal (dfs_file_read (file, buf, ranges[i][1], ranges[i][0], &err),
                          n);
        assert_memory_equal (buf, data + at, n);
    }
    world->fake->knobs.extent_page =
        1; /* the list has to be asked for again and again */
    dfs_file_close (&file);
    file = dfs_file_open (world->dfs, "/f", &err);
    assert_int_equal (dfs_file_read (file, buf, 50, 2 * 262144 + 7, &err), 50);
    assert_memory_equal (buf, data + 2 * 262144 + 7, 50);
    assert_int_equal (dfs_file_read (file, buf, len, 3, &err), len - 3);
    assert_memory_equal (buf, data + 3, len - 3);
    dfs_file_close (&file);
    free (buf);
    free (data);
}

static void test_get_to_fd_in_order (void **state)
{
    world_t *world = *state;
    size_t len = 20 * 262144 + 3;
    uint8_t *data = store (world, "/f", len);
    dfs_error_t err;
    char *path = path_in (world, "out");
    int fd = open (path, O_WRONLY | O_CREAT | O_APPEND, 0600);
    dfs_get_item_t items[2] = {
        {.source = "/f", .fd = fd, .length = UINT64_MAX},
        {.source = "/f", .fd = fd, .offset = 7, .length = 300000},
    };

    world->fake->knobs.silent = 1; /* the first of three comes last */
    assert_int_equal (dfs_get (world->dfs, items, 2, NULL, &err), 0);
    close (fd);
    uint8_t *both = malloc (len + 300000);
    memcpy (both, data, len);
    memcpy (both + len, data + 7, 300000);
    assert_file (path, both, len + 300000);
    free (both);
    free (data);
}

static void test_get_names_and_failures (void **state)
{
    world_t *world = *state;
    dfs_get_item_t item;
    struct stat st;
    char name[300] = "", path[400];
    uint8_t *data = store (world, "/f", 100);

    memset (name, 'n', 255);
    snprintf (path, sizeof path, "%s/%s", world->dir, name);
    assert_int_equal (get_one (world, "/f", path, &item), 0);
    assert_file (path, data, 100);
    /* what is there stays when the new one cannot be had */
    assert_int_equal (get_one (world, "/none", path, &item), DFS_ENOENT);
    assert_file (path, data, 100);
    assert_int_equal (get_one (world, "/f", world->dir, &item), DFS_EISDIR);
    assert_int_equal (get_one (world, "/f", path_in (world, "no/dir"), &item),
                      DFS_ENOENT);
    /* a device is written to, not replaced */
    assert_int_equal (get_one (world, "/f", "/dev/null", &item), 0);
    assert_int_equal (stat ("/dev/null", &st), 0);
    assert_true (S_ISCHR (st.st_mode));
    assert_tidy (world);
    free (data);
}

static void test_names (void **state)
{
    world_t *world = *state;
    dfs_stat_t st[3];
    int codes[3];
    dfs_error_t err;
    const char *paths[3] = {"/f", "/none", "/f"};

    free (store (world, "/f", 1000));
    assert_int_equal (dfs_stat_many (world->dfs, paths, 3, true, st, codes, &err),
                      DFS_ENOENT);
    assert_int_equal (codes[0], 0);
    assert_int_equal (codes[1], DFS_ENOENT);
    assert_int_equal (st[2].size, 1000);
    assert_int_equal (dfs_mkdir (world->dfs, "/d", 0755, false, &err), 0);
    assert_int_equal (dfs_rmdir (world->dfs, "/d", &err), DFS_ENOTEMPTY);
    assert_string_equal (err.text, dfs_error_text (DFS_ENOTEMPTY));
}

static int add_name (const char *path, const dfs_stat_t *st, void *arg)
{
    (void)st;
    strcat (arg, path);
    return 0;
}

/* A listing is of one moment, or says that it is not. */
static void test_list (void **state)
{
    static const char *const all = "f00f01f02f03f04f05f06f07f08f09f10f11";
    world_t *world = *state;
    fake_knobs_t *knobs = &world->fake->knobs;
    char got[200] = "";
    dfs_error_t err;

    assert_int_equal (dfs_list (world->dfs, "/", NULL, add_name, got, &err), 0);
    assert_string_equal (got, all);
    knobs->list_gone = 1;
    got[0] = 0;
    assert_int_equal (dfs_list (world->dfs, "/", NULL, add_name, got, &err),
                      DFS_ESTALE);
    assert_string_equal (got, "f00f01f02f03");
    knobs->list_moved = 1;
    assert_int_equal (dfs_list (world->dfs, "/", NULL, add_name, got, &err),
                      DFS_ESTALE);
    /* nothing was shown yet: it begins anew */
    knobs->list_hollow = 1;
    knobs->list_gone = 2;
    knobs->list_moved = 1;
    got[0] = 0;
    assert_int_equal (dfs_list (world->dfs, "/", NULL, add_name, got, &err), 0);
    assert_string_equal (got, all);
    knobs->list_gone = 1000;
    assert_int_equal (dfs_list (world->dfs, "/", NULL, add_name, got, &err),
                      DFS_ESTALE);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        CASE (test_get_sizes),
        CASE (test_get_disorder),
        CASE (test_get_damaged),
        CASE (test_get_no_replica),
        CASE (test_get_late),
        CASE (test_get_stream_ends),
        CASE (test_get_ranges),
        CASE (test_get_to_fd_in_order),
        CASE (test_get_names_and_failures),
        CASE (test_names),
        CASE (test_list),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("libdfs: get", tests, NULL, NULL);
}
