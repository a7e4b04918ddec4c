/* SPDX-License-Identifier: MPL-2.0 */
#include "lib_world.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/rng.h"

static void count_line (int level, const char *line, void *arg)
{
    world_t *world = arg;
    if (getenv ("LIB_VERBOSE"))
        fprintf (stderr, "# %d %s\n", level, line);
    if (level <= 1)
        world->warnings++;
}

int world_setup (void **state)
{
    world_t *world = calloc (1, sizeof *world);
    dfs_error_t err;

    world->fake = fake_new ();
    snprintf (world->dir, sizeof world->dir, "/tmp/lib-test-XXXXXX");
    assert_non_null (mkdtemp (world->dir));
    dfs_options_t options = {.config = world->fake->config,
                             .timeout_ms = 60000,
                             .log = count_line,
                             .log_arg = world};
    world->dfs = dfs_open (&options, &err);
    if (!world->dfs)
        print_error ("%s\n", err.text);
    assert_non_null (world->dfs);
    *state = world;
    return 0;
}

int world_teardown (void **state)
{
    world_t *world = *state;
    char command[128];

    dfs_close (&world->dfs);
    fake_free (&world->fake);
    snprintf (command, sizeof command, "rm -r %s", world->dir);
    int rc = system (command);
    free (world);
    return rc;
}

uint8_t *bytes_of (size_t len, uint64_t seed)
{
    uint8_t *out = malloc (len + 8);
    rng_t rng;

    rng_seed (&rng, seed);
    for (size_t i = 0; i < len; i += 8) {
        uint64_t v = rng_next (&rng);
        memcpy (out + i, &v, 8);
    }
    return out;
}

void write_file (const char *path, const void *data, size_t len)
{
    int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
    assert_true (fd >= 0);
    assert_int_equal (write (fd, data, len), (ssize_t)len);
    close (fd);
}

char *path_in (world_t *world, const char *name)
{
    static char paths[4][200];
    static int at;
    char *out = paths[at++ % 4];
    snprintf (out, 200, "%s/%s", world->dir, name);
    return out;
}

int put_one (world_t *world, const char *source, const char *dest, dfs_put_item_t *item)
{
    dfs_error_t err;
    *item = (dfs_put_item_t){.source = source,
                             .fd = -1,
                             .dest = dest,
                             .mode = UINT32_MAX,
                             .mtime_ns = UINT64_MAX};
    return dfs_put (world->dfs, item, 1, NULL, &err);
}

int get_one (world_t *world, const char *source, const char *dest, dfs_get_item_t *item)
{
    dfs_error_t err;
    *item = (dfs_get_item_t){
        .source = source, .dest = dest, .fd = -1, .length = UINT64_MAX};
    return dfs_get (world->dfs, item, 1, NULL, &err);
}

void assert_stored (world_t *world, const char *dest, const uint8_t *data, size_t len)
{
    uint64_t size;
    uint8_t *content = fake_content (world->fake, dest, &size);
    assert_non_null (content);
    assert_int_equal (size, len);
    assert_memory_equal (content, data, len);
    free (content);
}

void assert_file (const char *path, const uint8_t *data, size_t len)
{
    struct stat st;
    int fd = open (path, O_RDONLY);
    assert_true (fd >= 0);
    assert_int_equal (fstat (fd, &st), 0);
    assert_int_equal (st.st_size, len);
    uint8_t *got = malloc (len + 1);
    assert_int_equal (read (fd, got, len), (ssize_t)len);
    assert_memory_equal (got, data, len);
    free (got);
    close (fd);
}

void assert_tidy (world_t *world)
{
    char command[200];
    snprintf (command, sizeof command, "test -z \"$(find %s -name '.*.dfs-*')\"",
              world->dir);
    assert_int_equal (system (command), 0);
}

void put_and_compare (world_t *world, size_t len)
{
    uint8_t *data = bytes_of (len, 99);
    dfs_put_item_t item;

    write_file (path_in (world, "src"), data, len);
    int rc = put_one (world, path_in (world, "src"), "/f", &item);
    if (rc < 0)
        print_error ("%s: %s\n", dfs_error_name (rc), item.error.text);
    assert_int_equal (rc, 0);
    assert_stored (world, "/f", data, len);
    free (data);
}

uint8_t *store (world_t *world, const char *dest, size_t len)
{
    uint8_t *data = bytes_of (len, 1234);
    dfs_put_item_t item;
    write_file (path_in (world, "src"), data, len);
    assert_int_equal (put_one (world, path_in (world, "src"), dest, &item), 0);
    return data;
}
