/* SPDX-License-Identifier: MPL-2.0 */
/* A handle of libdfs and a broker that goes, forgets or learns. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/lib/presence.h"
#include "lib_world.h"

/* A broker remembers the results of so many numbers: none runs further ahead of one
 * whose answer got lost. */
static void test_put_window (void **state)
{
    world_t *world = *state;
    enum { N = 6000 };
    dfs_put_item_t *items = calloc (N, sizeof *items);
    char (*names)[64] = calloc (N, sizeof *names);
    const char *source = path_in (world, "src");
    dfs_error_t err;

    write_file (source, "same", 4);
    for (unsigned i = 0; i < N; i++) {
        snprintf (names[i], sizeof names[i], "/w/s%u", i);
        items[i] = (dfs_put_item_t){
            .source = source, .fd = -1, .dest = names[i], .mode = 0600, .mtime_ns = 7};
    }
    world->fake->knobs.hold = 3;
    assert_int_equal (dfs_put (world->dfs, items, N, NULL, &err), 0);
    assert_int_equal (world->fake->knobs.hold, 0);
    assert_true (world->fake->counts.ahead > 1000 && world->fake->counts.ahead < 4096);
    free (items);
    free (names);
}

/* A session that was idle for too long is not gone on with, and nobody notices. The
 * fake refuses every change until another session was asked for. */
static void test_put_expired (void **state)
{
    world_t *world = *state;
    fake_t *fake = world->fake;

    put_and_compare (world, 300000);
    uint64_t session = fake->session;
    fake->knobs.expire = 1;
    put_and_compare (world, 300001);
    assert_int_equal (fake->knobs.expire, 0);
    assert_int_equal (fake->session, session + 1);
    /* the broker was away as well, whether the handle has heard of it or not */
    fake->knobs.expire = 1;
    fake_restart_now (fake);
    put_and_compare (world, 300002);
    assert_int_equal (fake->knobs.expire, 0);
    assert_int_equal (fake->session, session + 2);
}

/* The directory got a policy after this handle was opened. */
static void test_put_policy (void **state)
{
    world_t *world = *state;
    uint8_t *data = bytes_of (600000, 5);
    dfs_error_t err;
    dfs_put_item_t items[2] = {{.source = path_in (world, "src"), .dest = "/small"},
                               {.dest = "/long"}};

    items[0].fd = items[1].fd = -1;
    items[0].mode = items[1].mode = UINT32_MAX;
    items[0].mtime_ns = items[1].mtime_ns = UINT64_MAX;
    items[1].source = items[0].source;
    write_file (items[0].source, data, 600000);
    world->fake->knobs.policy = 4;
    assert_int_equal (dfs_put (world->dfs, items, 2, NULL, &err), 0);
    assert_stored (world, "/small", data, 600000);
    assert_int_equal (items[0].copies, 1);
    assert_int_equal (items[1].wanted, 3);
    unsigned places = world->fake->counts.places;
    assert_true (places >= 2);
    /* now it looks first, and fails to nothing */
    unsigned changes = world->fake->counts.changes;
    items[0].dest = "/other";
    assert_int_equal (dfs_put (world->dfs, items, 1, NULL, &err), 0);
    assert_int_equal (world->fake->counts.changes, changes + 1);
    free (data);
}

static void test_put_exactly_once (void **state)
{
    world_t *world = *state;
    fake_counts_t *counts = &world->fake->counts;
    unsigned hellos = counts->hellos;

    world->fake->knobs.busy = 2;
    world->fake->knobs.drop_answers = 3;
    put_and_compare (world, 3 * 262144);
    assert_int_equal (counts->applied, 1);
    assert_int_equal (world->fake->knobs.drop_answers, 0);
    /* its session was resumed each time */
    assert_true (counts->resumed >= 3);
    assert_int_equal (counts->hellos - hellos, counts->resumed);
}

static void *restart_now_and_then (void *arg)
{
    world_t *world = arg;
    for (int i = 0; i < 5; i++) {
        usleep (60000);
        fake_restart (world->fake);
    }
    return NULL;
}

static void test_put_get_restarts (void **state)
{
    world_t *world = *state;
    pthread_t thread;
    size_t len = 40 * 1024 * 1024;
    uint8_t *data = bytes_of (len, 12);
    dfs_put_item_t item;
    dfs_get_item_t got;

    write_file (path_in (world, "src"), data, len);
    pthread_create (&thread, NULL, restart_now_and_then, world);
    assert_int_equal (put_one (world, path_in (world, "src"), "/f", &item), 0);
    pthread_join (thread, NULL);
    assert_stored (world, "/f", data, len);
    pthread_create (&thread, NULL, restart_now_and_then, world);
    assert_int_equal (get_one (world, "/f", path_in (world, "out"), &got), 0);
    pthread_join (thread, NULL);
    assert_file (path_in (world, "out"), data, len);
    free (data);
}

/* A proxy that goes on accepting connections while its broker is down looks like a
 * broker with another key; but one that was there before had the right one. */
static void test_proxy (void **state)
{
    world_t *world = *state;
    unsigned restarts = world->fake->restarts;
    const char *path = "/";
    dfs_stat_t st;
    dfs_error_t err;
    int code;

    world->fake->knobs.hang_ups = 4;
    fake_restart (world->fake);
    do {
        assert_int_equal (dfs_stat_many (world->dfs, &path, 1, true, &st, &code, &err),
                          0);
        dfs_stat_clear (&st);
    } while (world->fake->restarts == restarts);
}

static void test_fork (void **state)
{
    world_t *world = *state;
    int status;
    pid_t pid = fork ();

    if (pid == 0) {
        dfs_error_t err;
        int rc = dfs_mkdir (world->dfs, "/x", 0755, false, &err);
        dfs_close (&world->dfs);
        _exit (rc == DFS_EFORK ? 0 : 1);
    }
    assert_int_equal (waitpid (pid, &status, 0), pid);
    assert_int_equal (status, 0);
}

/* cluster.cfg of one broker with that port. */
static void write_config (const char *path, int port)
{
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    fprintf (file,
             "cluster\n    name = x\n    id = 00112233445566778899aabbccddeeff\n"
             "    security = none\nbrokers\n    b1\n        host = 127.0.0.1\n"
             "        port = %d\n        data = d\nworkers\n    w1\n"
             "        host = 127.0.0.1\n        port = 0\n        data = e\n",
             port);
    fclose (file);
}

static void test_no_broker (void **state)
{
    world_t *world = *state;
    char path[100];
    dfs_error_t err;
    struct sigaction before, after;

    snprintf (path, sizeof path, "%s/cluster.cfg", world->dir);
    write_config (path, 1);
    dfs_options_t options = {.config = path, .timeout_ms = 300};
    sigaction (SIGINT, NULL, &before);
    assert_null (dfs_open (&options, &err));
    sigaction (SIGINT, NULL, &after);
    assert_int_equal (err.code, DFS_EUNAVAIL);
    assert_true (before.sa_handler == after.sa_handler);
}

/* Who does not run is not waited for, unless the caller asks for it. */
static void test_known_not_to_run (void **state)
{
    world_t *world = *state;
    char path[100], run[100], pid[120];
    dfs_error_t err;

    snprintf (path, sizeof path, "%s/cluster.cfg", world->dir);
    dfs_options_t options = {.config = path};
    write_config (path, 0);
    assert_null (dfs_open (&options, &err));
    assert_int_equal (err.code, DFS_EUNAVAIL);
    assert_int_equal (strncmp (err.text, "broker b1 is not running (", 26), 0);

    /* One that was started and is not ready yet is waited for. */
    cluster_t *cluster = cluster_load (path, &err);
    assert_non_null (cluster);
    assert_int_equal (presence_look (cluster), PRESENCE_NONE);
    snprintf (run, sizeof run, "%s/run", world->dir);
    snprintf (pid, sizeof pid, "%s/b1.pid", run);
    assert_int_equal (mkdir (run, 0755), 0);
    FILE *file = fopen (pid, "w");
    assert_non_null (file);
    fprintf (file, "%d\n", (int)getpid ());
    fclose (file);
    assert_int_equal (presence_look (cluster), PRESENCE_MAYBE);
    assert_int_equal (unlink (pid), 0);
    assert_int_equal (presence_look (cluster), PRESENCE_NONE);
    assert_int_equal (rmdir (run), 0);
    cluster_destroy (&cluster);
    write_config (path, 1); /* nobody listens there */
    cluster = cluster_load (path, &err);
    assert_non_null (cluster);
    assert_int_equal (presence_look (cluster), PRESENCE_NONE);
    cluster_destroy (&cluster);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        CASE (test_put_window),
        CASE (test_put_expired),
        CASE (test_put_policy),
        CASE (test_put_exactly_once),
        CASE (test_put_get_restarts),
        CASE (test_proxy),
        CASE (test_fork),
        CASE (test_no_broker),
        CASE (test_known_not_to_run),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("libdfs: sessions", tests, NULL, NULL);
}
