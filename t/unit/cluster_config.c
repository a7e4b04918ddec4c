/* SPDX-License-Identifier: MPL-2.0 */
/* cluster.cfg: what is accepted, what the values become, and the line of each error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/schema.h"
#include "common/log.h"
#include "common/units.h"
#include "common/zpl.h"
#include "msgs/cluster.h"

#include <cmocka.h> /* last: its macro fail () is not ours */

#define HEAD "cluster\n    id = 000102030405060708090a0b0c0d0eff\n"
#define B1   "brokers\n    b1\n        port = 9000\n        data = data/b1\n"
#define W1   "workers\n    w1\n        port = 9010\n        data = data/w1\n"
#define W2   "    w2\n        port = 9011\n        data = data/w2\n"

static char dir[PATH_MAX];
static char file[PATH_MAX + 32];

static int setup (void **state)
{
    (void)state;
    snprintf (dir, sizeof dir, "%s/dfs-cfg-XXXXXX",
              getenv ("TMPDIR") ? getenv ("TMPDIR") : "/tmp");
    if (!mkdtemp (dir))
        return -1;
    char *real = realpath (dir, NULL);
    snprintf (dir, sizeof dir, "%s", real);
    free (real);
    snprintf (file, sizeof file, "%s/cluster.cfg", dir);
    return 0;
}

static int teardown (void **state)
{
    (void)state;
    unlink (file);
    return rmdir (dir);
}

static cluster_t *load (const char *text, dfs_error_t *err)
{
    FILE *f = fopen (file, "w");
    assert_non_null (f);
    fputs (text, f);
    assert_int_equal (fclose (f), 0);
    return cluster_load (file, err);
}

static cluster_t *load_good (const char *text)
{
    dfs_error_t err = {0};
    cluster_t *c = load (text, &err);
    if (!c)
        fail_msg ("%s", err.text);
    return c;
}

/* The error must be "FILE:LINE: …" and hold WORDS. */
static void load_bad (const char *text, int line, const char *words)
{
    dfs_error_t err = {0};
    char want[PATH_MAX + 64];
    cluster_t *c = load (text, &err);
    assert_null (c);
    assert_int_equal (err.code, DFS_ECONFIG);
    if (line)
        snprintf (want, sizeof want, "%s:%d: ", file, line);
    else
        snprintf (want, sizeof want, "%s: ", file);
    if (strncmp (err.text, want, strlen (want)) || !strstr (err.text, words))
        fail_msg ("'%s' is not '%s…%s'", err.text, want, words);
}

static char *under (const char *name)
{
    static char buf[2 * PATH_MAX];
    snprintf (buf, sizeof buf, "%s/%s", dir, name);
    return buf;
}

static void defaults_are_filled_in (void **state)
{
    (void)state;
    cluster_t *c = load_good (HEAD B1 W1 W2);
    assert_string_equal (c->name, "dfs");
    assert_int_equal (c->id[0], 0);
    assert_int_equal (c->id[15], 0xff);
    assert_true (c->secure);
    assert_false (c->memory_durability);
    assert_int_equal (c->replicas, 2);
    assert_int_equal (c->min_replicas, 2);
    assert_int_equal (c->chunk_size, 4 * MIB);
    assert_int_equal (c->history_ns, 24 * 3600 * SEC);
    assert_int_equal (c->inline_max, 4 * KIB);
    assert_int_equal (c->inline_budget, GIB);
    assert_int_equal (c->upload_timeout_ns, 3600 * SEC);
    assert_int_equal (c->reclaim_grace_ns, 3600 * SEC);
    assert_int_equal (c->heartbeat_ns, 500 * MS);
    assert_int_equal (c->heartbeat_timeout_ns, 2500 * MS);
    assert_int_equal (c->repair_hold_ns, 600 * SEC);
    assert_int_equal (c->n_brokers, 1);
    assert_int_equal (c->n_workers, 2);
    assert_string_equal (c->dir, dir);
    assert_string_equal (c->keys_dir, under ("keys"));
    assert_string_equal (c->run_dir, under ("run"));
    assert_string_equal (c->log_dir, under ("logs"));
    const cluster_node_t *w2 = cluster_worker (c, "w2");
    assert_non_null (w2);
    assert_null (cluster_worker (c, "b1"));
    assert_non_null (cluster_broker (c, "b1"));
    assert_string_equal (w2->host, "127.0.0.1");
    assert_string_equal (w2->bind, "*");
    assert_string_equal (w2->location, "local/w2");
    assert_int_equal (w2->port, 9011);
    assert_int_equal (w2->line, 11);
    assert_int_equal (w2->n_data, 1);
    assert_string_equal (w2->data[0], under ("data/w2"));
    cluster_destroy (&c);
    assert_null (c);
}

static void one_worker_means_one_copy (void **state)
{
    (void)state;
    cluster_t *c = load_good (HEAD B1 W1);
    assert_int_equal (c->replicas, 1);
    assert_int_equal (c->min_replicas, 1);
    cluster_destroy (&c);
}

static void every_key_is_read (void **state)
{
    (void)state;
    cluster_t *c = load_good (
        "# a comment\n\n"
        "cluster\n    name = 'a # b'   # and a comment\n"
        "    id = 00000000000000000000000000000001 # written by init\n"
        "    security = none\n    keys = /k//eys/\n"
        "policy\n    replicas = 3\n    min-replicas = 1\n    chunk-size = 64KiB\n"
        "    history = 7d\n    inline-max = 0\n    inline-budget = 1MiB\n"
        "    upload-timeout = 10s\n    reclaim-grace = 20s\n    durability = memory\n"
        "heartbeat\n    interval = 1s\n    timeout = 3s\n"
        "repair\n    hold = 1m\n    bandwidth = 10MiB\n"
        "scrub\n    rate = 1MiB\ncache\n    size = 0\nlog\n    level = debug\n" B1
        "workers\n    w1\n        host = [::1]\n        bind = ::\n        port = 0\n"
        "        data = a, /b/c/ ,d e\n        capacity = 1GiB, 2GiB, 0\n"
        "        location = dc1/rack1/host1\n        stream-ports = 20000-20099\n"
        "    w2\n        data = x,y\n        capacity = 5MiB\n"
        "    w3\n        data = z\n");
    assert_string_equal (c->name, "a # b");
    assert_false (c->secure);
    assert_string_equal (c->keys_dir, "/k/eys");
    assert_int_equal (c->replicas, 3);
    assert_int_equal (c->min_replicas, 1);
    assert_int_equal (c->chunk_size, 64 * KIB);
    assert_int_equal (c->inline_max, 0);
    assert_true (c->memory_durability);
    assert_int_equal (c->repair_bandwidth, 10 * MIB);
    assert_int_equal (c->scrub_rate, MIB);
    assert_int_equal (c->cache_size, 0);
    assert_int_equal (c->log_level, LOG_DEBUG);
    const cluster_node_t *w1 = cluster_worker (c, "w1");
    assert_string_equal (w1->host, "[::1]");
    assert_string_equal (w1->bind, "::");
    assert_int_equal (w1->n_data, 3);
    assert_string_equal (w1->data[0], under ("a"));
    assert_string_equal (w1->data[1], "/b/c");
    assert_string_equal (w1->data[2], under ("d e"));
    assert_int_equal (w1->capacity[1], 2 * GIB);
    assert_int_equal (w1->stream_lo, 20000);
    assert_int_equal (w1->stream_hi, 20099);
    const cluster_node_t *w2 = cluster_worker (c, "w2");
    assert_int_equal (w2->capacity[0], 5 * MIB);
    assert_int_equal (w2->capacity[1], 5 * MIB);
    cluster_destroy (&c);
}

static void bad_syntax_has_a_line (void **state)
{
    (void)state;
    load_bad (HEAD "\tpolicy\n" B1 W1, 3, "tab");
    load_bad (HEAD "  policy\n" B1 W1, 3, "indent");
    load_bad ("cluster\n        id = 1\n", 2, "too far");
    load_bad (HEAD "    name = \"open\n" B1 W1, 3, "closing");
    load_bad (HEAD "    name = 'a' b\n" B1 W1, 3, "behind");
    load_bad (HEAD "    name = a#b\n" B1 W1, 3, "'#'");
    load_bad (HEAD "    name demo\n" B1 W1, 3, "'='");
    load_bad (HEAD "    = demo\n" B1 W1, 3, "name");
    load_bad (HEAD "    na\x01me = demo\n" B1 W1, 3, "control");
    load_bad (HEAD "    name = x\r\n" B1 W1, 3, "carriage");
    load_bad ("", 0, "id");
}

static void long_line_is_refused (void **state)
{
    (void)state;
    char text[4096];
    int n = snprintf (text, sizeof text, HEAD "    name = ");
    memset (text + n, 'x', 2000);
    strcpy (text + n + 2000, "\n" B1 W1);
    load_bad (text, 3, "longer");
}

static void unknown_and_duplicate_keys_have_a_line (void **state)
{
    (void)state;
    load_bad (HEAD "    colour = red\n" B1 W1, 3, "unknown key 'colour'");
    load_bad (HEAD "polizy\n" B1 W1, 3, "unknown section 'polizy'");
    load_bad (HEAD "policy = 3\n" B1 W1, 3, "not a value");
    load_bad (HEAD "policy\n    history = 1h\n    history = 2h\n" B1 W1, 5,
              "duplicate 'history' (the first is in line 4)");
    load_bad (HEAD B1 W1 B1, 11, "duplicate 'brokers'");
    load_bad (HEAD B1 W1 "    w1\n        data = x\n", 11, "duplicate 'w1'");
    load_bad (HEAD B1 "workers\n    b1\n        data = x\n", 8, "duplicate name 'b1'");
    load_bad (HEAD B1 W1 "        speed = 3\n", 11, "unknown key 'speed' in 'w1'");
    load_bad (HEAD "policy\n    history\n        x = 1\n" B1 W1, 5,
              "no keys of its own");
}

static void bad_values_have_a_line (void **state)
{
    (void)state;
    load_bad ("cluster\n    id = 12\n" B1 W1, 2, "32 hex");
    load_bad ("cluster\n    name = x\n" B1 W1, 1, "no 'id'");
    load_bad (HEAD "log\n    level = deb\n" B1 W1, 4,
              "'deb' is none of error|warn|info|debug");
    load_bad (HEAD "    security = tls\n" B1 W1, 3, "'tls' is none of none|curve");
    load_bad (HEAD "    name =\n" B1 W1, 3, "no value");
    load_bad (HEAD "policy\n    chunk-size = 4parsecs\n" B1 W1, 4, "chunk-size");
    load_bad (HEAD "policy\n    chunk-size = 1KiB\n" B1 W1, 4, "not within 64KiB and 64MiB");
    load_bad (HEAD "policy\n    chunk-size = 65MiB\n" B1 W1, 4,
              "not within 64KiB and 64MiB");
    load_bad (HEAD "policy\n    replicas = two\n" B1 W1, 4, "not a number");
    load_bad (HEAD "policy\n    replicas = 0\n" B1 W1, 4, "not within 1 and 8");
    load_bad (HEAD "policy\n    replicas = 99999999999999999999\n" B1 W1, 4,
              "more than");
    load_bad (HEAD "policy\n    replicas = 2\n" B1 W1, 4, "only 1 worker");
    load_bad (HEAD "policy\n    replicas = 2\n    min-replicas = 3\n" B1 W1 W2, 5,
              "more than replicas");
    load_bad (HEAD "policy\n    reclaim-grace = 1m\n" B1 W1, 4, "upload-timeout");
    load_bad (HEAD "heartbeat\n    timeout = 600ms\n" B1 W1, 4, "two intervals");
    load_bad (HEAD B1 "workers\n    w1\n        port = 70000\n        data = x\n", 9,
              "more than 65535");
    load_bad (HEAD B1 "workers\n    w1\n        data = x\n        stream-ports = 9-1\n",
              10, "port range");
    load_bad (HEAD B1 "workers\n    w1\n        data = x\n        location = /a\n", 10,
              "location");
    load_bad (HEAD B1 "workers\n    w1\n        data = x\n        host = a b\n", 10,
              "host");
    load_bad (HEAD B1 "workers\n    -w1\n        data = x\n", 8, "name");
    load_bad (HEAD B1 "workers\n    w1\n        port = 1\n", 8, "no 'data'");
    load_bad (HEAD B1 "workers\n    w1\n        data = a,,b\n", 8, "empty");
    load_bad (
        HEAD B1
        "workers\n    w1\n        data = a,b\n        capacity = 1MiB,2MiB,3MiB\n",
        8, "capacity");
    load_bad (HEAD "brokers\n    b1\n        data = a,b\n" W1, 5, "one directory");
    load_bad (HEAD B1, 0, "no workers");
    load_bad (HEAD "brokers\n" W1, 3, "no brokers");
}

static void overlapping_ports_are_refused (void **state)
{
    (void)state;
    load_bad (HEAD B1 "workers\n    w1\n        port = 9004\n        data = x\n", 9,
              "port 9004 of 'w1' overlaps port 9000-9004 of 'b1' (line 5)");
    load_bad (HEAD B1 "workers\n    w1\n        port = 9010\n        data = x\n"
                      "        stream-ports = 9005-9010\n",
              11, "overlaps port 9010 of 'w1'");
    load_bad (HEAD "brokers\n    b1\n        data = x\n        port = 65533\n" W1, 6,
              "65535 is the last");
    /* Port 0 is the kernel's choice, and another host has ports of its own. */
    cluster_t *c = load_good (
        HEAD "brokers\n    b1\n        data = a\n    b2\n        data = b\n"
             "workers\n    w1\n        data = x\n        port = 9010\n"
             "    w2\n        data = x\n        port = 9010\n        host = other\n");
    assert_int_equal (c->n_brokers, 2);
    cluster_destroy (&c);
    load_bad (HEAD B1 W1 "    w2\n        port = 9010\n        host = localhost\n"
                         "        data = x\n",
              12, "overlaps");
}

static void directory_of_two_nodes_is_refused (void **state)
{
    (void)state;
    load_bad (HEAD B1 "workers\n    w1\n        data = data//b1/\n", 9,
              "belongs to 'b1' (line 4)");
    load_bad (HEAD B1 "workers\n    w1\n        data = a, b, a\n", 9, "twice");
}

static void dump_reads_back_the_same (void **state)
{
    (void)state;
    cluster_t *a = load_good (
        HEAD "    name = '#1'\npolicy\n    chunk-size = 1MiB\n" B1
             "workers\n    w1\n        data = a,b c\n        capacity = 1GiB,0\n"
             "        stream-ports = 100-200\n" W2);
    char *first = NULL, *second = NULL;
    size_t len;
    FILE *f = open_memstream (&first, &len);
    cluster_dump (a, f);
    fclose (f);
    cluster_t *b = load_good (first);
    assert_memory_equal (a->id, b->id, 16);
    assert_int_equal (a->workers[0].capacity[0], b->workers[0].capacity[0]);
    f = open_memstream (&second, &len);
    cluster_dump (b, f);
    fclose (f);
    assert_string_equal (first, second);
    free (first);
    free (second);
    cluster_destroy (&a);
    cluster_destroy (&b);
}

static void shipped_file_shows_the_defaults (void **state)
{
    (void)state;
    const char *srcdir = getenv ("srcdir");
    char path[PATH_MAX];
    snprintf (path, sizeof path, "%s/etc/cluster.cfg", srcdir ? srcdir : ".");
    dfs_error_t err = {0};
    cluster_t *c = cluster_load (path, &err);
    if (!c)
        fail_msg ("%s", err.text);
    cluster_t *d = load_good (HEAD B1 W1 W2);
    assert_int_equal (c->secure, d->secure);
    assert_int_equal (c->memory_durability, d->memory_durability);
    assert_int_equal (c->replicas, d->replicas);
    assert_int_equal (c->min_replicas, d->min_replicas);
    assert_int_equal (c->chunk_size, d->chunk_size);
    assert_int_equal (c->history_ns, d->history_ns);
    assert_int_equal (c->inline_max, d->inline_max);
    assert_int_equal (c->inline_budget, d->inline_budget);
    assert_int_equal (c->upload_timeout_ns, d->upload_timeout_ns);
    assert_int_equal (c->reclaim_grace_ns, d->reclaim_grace_ns);
    assert_int_equal (c->heartbeat_ns, d->heartbeat_ns);
    assert_int_equal (c->heartbeat_timeout_ns, d->heartbeat_timeout_ns);
    assert_int_equal (c->repair_hold_ns, d->repair_hold_ns);
    assert_int_equal (c->repair_bandwidth, d->repair_bandwidth);
    assert_int_equal (c->scrub_rate, d->scrub_rate);
    assert_int_equal (c->cache_size, d->cache_size);
    assert_int_equal (c->log_level, d->log_level);
    assert_int_equal (c->slow_ns, d->slow_ns);
    cluster_destroy (&c);
    cluster_destroy (&d);
}

static void write_ready (const char *text)
{
    char path[PATH_MAX + 64];
    snprintf (path, sizeof path, "%s/run", dir);
    assert_true (mkdir (path, 0755) == 0 || errno == EEXIST);
    snprintf (path, sizeof path, "%s/run/b1.ready", dir);
    FILE *f = fopen (path, "w");
    assert_non_null (f);
    fputs (text, f);
    fclose (f);
}

static void ready_files_give_the_ports (void **state)
{
    (void)state;
    cluster_t *c = load_good (HEAD "brokers\n    b1\n        data = x\n" W1);
    const cluster_node_t *b1 = cluster_broker (c, "b1");
    cluster_ready_t ready;
    uint16_t port = 0;
    dfs_error_t err = {0};
    assert_int_equal (cluster_broker_port (c, b1, 0, &port, &err), DFS_EUNAVAIL);
    assert_non_null (strstr (err.text, "b1 is not running"));
    write_ready ("pid 42\nports 1000 1001 1002 1003 1004\n");
    assert_int_equal (cluster_ready_read (c, "b1", &ready, &err), 0);
    assert_int_equal (ready.pid, 42);
    assert_int_equal (ready.n_ports, 5);
    assert_int_equal (cluster_broker_port (c, b1, 4, &port, &err), 0);
    assert_int_equal (port, 1004);
    static const char *const bad[] = {"",
                                      "pid 0\nports 1\n",
                                      "pid 1\nports\n",
                                      "pid 1\nports 70000\n",
                                      "pid 1\nports 1 x\n",
                                      "pid 1\nports 1 2 3 4 5 6\n",
                                      "pid 1\nports 1"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        write_ready (bad[i]);
        assert_int_equal (cluster_ready_read (c, "b1", &ready, &err), DFS_EUNAVAIL);
    }
    char path[PATH_MAX + 64];
    snprintf (path, sizeof path, "%s/run/b1.ready", dir);
    unlink (path);
    snprintf (path, sizeof path, "%s/run", dir);
    rmdir (path);
    cluster_destroy (&c);
}

static void file_is_found_where_it_is_said (void **state)
{
    (void)state;
    dfs_error_t err = {0};
    cluster_t *c = load_good (HEAD B1 W1);
    cluster_destroy (&c);
    char *found = cluster_find (file, &err);
    assert_string_equal (found, file);
    free (found);
    assert_null (cluster_find ("/nowhere/at/all.cfg", &err));
    assert_int_equal (err.code, DFS_ECONFIG);
    assert_non_null (strstr (err.text, "/nowhere/at/all.cfg"));
    setenv ("DFS_CONFIG", file, 1);
    found = cluster_find (NULL, &err);
    assert_string_equal (found, file);
    free (found);
    unsetenv ("DFS_CONFIG");
    setenv ("HOME", dir, 1);
    found = cluster_find (NULL, &err);
    if (!found)
        assert_non_null (strstr (err.text, under (".config/dfs/cluster.cfg")));
    free (found);
    assert_null (cluster_load ("/nowhere/at/all.cfg", &err));
    assert_int_equal (err.code, DFS_ENOENT);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (defaults_are_filled_in),
        cmocka_unit_test (one_worker_means_one_copy),
        cmocka_unit_test (every_key_is_read),
        cmocka_unit_test (bad_syntax_has_a_line),
        cmocka_unit_test (long_line_is_refused),
        cmocka_unit_test (unknown_and_duplicate_keys_have_a_line),
        cmocka_unit_test (bad_values_have_a_line),
        cmocka_unit_test (overlapping_ports_are_refused),
        cmocka_unit_test (directory_of_two_nodes_is_refused),
        cmocka_unit_test (dump_reads_back_the_same),
        cmocka_unit_test (shipped_file_shows_the_defaults),
        cmocka_unit_test (ready_files_give_the_ports),
        cmocka_unit_test (file_is_found_where_it_is_said),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("cluster.cfg", tests, setup, teardown);
}
