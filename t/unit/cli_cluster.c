/* SPDX-License-Identifier: MPL-2.0 */
/* dfs-cluster over shell scripts that play the daemons: what it makes, starts, believes
 * and kills. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <jansson.h>

#include "cli_fake.h"
#include "cli_run.h"
#include "client/cluster/verbs.h"
#include "msgs/cluster.h"
#include "msgs/keys.h"
#include "msgs/mark.h"

#include <cmocka.h> /* last: its macro fail () is not ours */

static char dir[256], trace_file[300];

static int cluster (const char *words)
{
    return run_program (&cluster_info, words);
}

/* A daemon that serves, ends on SIGTERM, and has no child to leave behind. */
static const char serving[] = "echo started $4\n"
                              "printf 'pid %d\\nports 1 2 3 4 5\\n' $$ >run/$4.ready\n"
                              "trap 'rm -f run/$4.ready; exit 0' TERM\n"
                              "while :; do read -r -t 60 <>fifo; done\n";

static void daemon_is (const char *role, const char *script)
{
    char path[64];
    snprintf (path, sizeof path, "bin/dfs-%s", role);
    FILE *file = fopen (path, "w");
    assert_non_null (file);
    fprintf (file, "#!/bin/bash\n%s", script);
    fclose (file);
    assert_int_equal (chmod (path, 0755), 0);
}

static int setup (void **state)
{
    (void)state;
    char path[PATH_MAX];
    snprintf (dir, sizeof dir, "%s/dfs-run-XXXXXX",
              getenv ("TMPDIR") ? getenv ("TMPDIR") : "/tmp");
    if (!mkdtemp (dir) || chdir (dir) < 0)
        return -1;
    snprintf (trace_file, sizeof trace_file, "%s/trace", dir);
    fake_setup (dir, trace_file);
    snprintf (path, sizeof path, "%s/bin:%s", dir, getenv ("PATH"));
    setenv ("PATH", path, 1);
    return mkdir ("bin", 0755);
}

static int teardown (void **state)
{
    (void)state;
    cluster ("stop c");
    cluster ("stop slow");
    if (chdir ("/") < 0)
        return -1;
    shell ("rm -rf '%s'", dir);
    return 0;
}

static void init_makes_what_a_cluster_needs (void **state)
{
    (void)state;
    dfs_error_t why = {0};
    keypair_t pair;
    mark_t mark;
    uint8_t hmac[32];
    assert_int_equal (cluster ("init made --workers 2 --chunk-size 1MiB --name a#b"),
                      0);
    cluster_t *c = cluster_load ("made/cluster.cfg", &why);
    if (!c)
        fail_msg ("%s", why.text);
    assert_string_equal (c->name, "a#b");
    assert_int_equal (c->chunk_size, 1 << 20);
    assert_int_equal (c->replicas, 2);
    assert_int_equal (c->brokers[0].port, 9000);
    assert_int_equal (c->workers[0].port, 9010);
    assert_int_equal (c->workers[1].port, 9011);
    assert_int_equal (keys_load_secret (c->keys_dir, "broker", "b1", &pair, &why), 0);
    assert_int_equal (keys_load_secret (c->keys_dir, "worker", "w2", &pair, &why), 0);
    assert_int_equal (keys_load_secret (c->keys_dir, "user", "admin", &pair, &why), 0);
    assert_int_equal (keys_hmac_load (c->keys_dir, hmac, &why), 0);
    assert_int_equal (
        mark_expect (c->workers[1].data[0], c->id, "worker", "w2", &mark, &why), 0);
    assert_int_equal (
        mark_expect (c->brokers[0].data[0], c->id, "broker", "b1", &mark, &why), 0);
    shell ("test \"$(find made/keys -perm /077 -name '*_secret')\" = \"\" && "
           "test $(stat -c %%a made/keys) = 700");
    cluster_destroy (&c);
    assert_int_equal (cluster ("init made"), 4);
    assert_non_null (strstr (err, "made/cluster.cfg: exists already"));
}

static void init_refuses_what_cannot_be (void **state)
{
    (void)state;
    assert_int_equal (cluster ("init bad --workers 1 --replicas 2"), 2);
    assert_int_equal (cluster ("init bad --workers 0"), 2);
    assert_int_equal (cluster ("init bad --chunk-size 1KiB"), 2);
    assert_string_equal (
        err, "dfs-cluster: init: chunk-size: 1KiB is not within 64KiB and 64MiB\n");
    assert_int_equal (cluster ("init bad --security tls"), 2);
    assert_int_equal (cluster ("init bad --base-port 65530"), 2);
    assert_int_equal (cluster ("init"), 2);
    shell ("test ! -e bad/cluster.cfg && test ! -e bad/keys");
    assert_int_equal (cluster ("status nowhere"), 3);
    shell ("mkdir -p empty");
    assert_int_equal (cluster ("status empty"), 3);
}

static void nodes_start_and_stop (void **state)
{
    (void)state;
    assert_int_equal (cluster ("init c --workers 1"), 0);
    shell ("mkfifo c/fifo");
    daemon_is ("broker", serving);
    daemon_is ("worker", serving);
    assert_int_equal (cluster ("start c"), 0);
    assert_non_null (strstr (out, "broker b1: serving on 127.0.0.1:9000 (process "));
    assert_non_null (strstr (out, "worker w1: serving on 127.0.0.1:9010 (process "));
    assert_int_equal (cluster ("start c"), 1);
    assert_non_null (strstr (err, "every node is running already"));
    assert_int_equal (cluster ("start c w1"), 1);
    assert_non_null (strstr (err, "w1: is running already (process "));
    assert_int_equal (cluster ("status c --json"), 0);
    json_error_t why;
    json_t *v = json_loads (out, 0, &why);
    assert_non_null (v);
    const json_t *b1 = json_array_get (json_object_get (v, "nodes"), 0);
    assert_string_equal (json_string_value (json_object_get (b1, "state")), "running");
    assert_true (json_integer_value (json_object_get (b1, "pid")) > 1);
    assert_true (json_is_object (json_object_get (v, "status")));
    json_decref (v);
    assert_int_equal (cluster ("logs c"), 0);
    assert_string_equal (out, "started b1\nstarted w1\n");
    assert_int_equal (cluster ("restart c w1"), 0);
    assert_int_equal (cluster ("logs c w1 -n 1"), 0);
    assert_string_equal (out, "started w1\n");
    assert_int_equal (cluster ("stop c"), 0);
    assert_string_equal (out, "broker b1: stopped\nworker w1: stopped\n");
    assert_int_equal (cluster ("stop c"), 0);
    assert_string_equal (out, "nothing was running\n");
    assert_int_equal (cluster ("start c w9"), 2);
}

static void kill_ends_a_node_for_certain (void **state)
{
    (void)state;
    assert_int_equal (cluster ("kill c w1"), 1);
    assert_non_null (strstr (err, "w1: is not running"));
    assert_int_equal (cluster ("start c -q"), 0);
    assert_string_equal (out, "");
    assert_int_equal (cluster ("kill c w1 STOP"), 0);
    assert_int_equal (cluster ("kill c w1 SIGCONT"), 0);
    assert_int_equal (cluster ("kill c w1"), 0);
    shell ("test ! -e c/run/w1.ready");
    assert_int_equal (cluster ("kill c w1"), 1);
    assert_int_equal (cluster ("kill c b1 NONSENSE"), 2);
    assert_int_equal (cluster ("kill c b1 0"), 2);
    assert_int_equal (cluster ("start c"), 0);
    /* Only what did not run was started. */
    assert_null (strstr (out, "b1"));
    assert_non_null (strstr (out, "w1"));
    /* A node that does not listen is killed in the end, and that is said. */
    assert_int_equal (cluster ("kill c w1 STOP"), 0);
    assert_int_equal (cluster ("stop c --wait 1"), 1);
    assert_non_null (strstr (err, "w1: did not stop in time: killing process"));
}

static void a_pid_in_use_again_is_not_believed (void **state)
{
    (void)state;
    shell ("printf 'pid %d\\nports 9010\\n' >c/run/w1.ready && echo %d >c/run/w1.pid",
           (int)getpid (), (int)getpid ());
    assert_int_equal (cluster ("kill c w1"), 1);
    assert_int_equal (cluster ("stop c"), 0);
    assert_string_equal (out, "nothing was running\n");
    /* The same daemon of another cluster is not ours, either. */
    assert_int_equal (cluster ("init other --workers 1 --base-port 9100"), 0);
    shell ("mkfifo other/fifo");
    assert_int_equal (cluster ("start other -q"), 0);
    shell ("cp other/run/* c/run/");
    assert_int_equal (cluster ("kill c w1"), 1);
    assert_int_equal (cluster ("stop c"), 0);
    assert_string_equal (out, "nothing was running\n");
    assert_int_equal (cluster ("stop other"), 0);
    assert_string_equal (out, "broker b1: stopped\nworker w1: stopped\n");
}

static void a_node_that_ends_early_says_why (void **state)
{
    (void)state;
    daemon_is ("worker", "echo '2026-01-01T00:00:00.000Z error start_failed node=w1 "
                         "err=\"bind: port 9010: \\\"x\\\" in use\"'\nexit 3\n");
    assert_int_equal (cluster ("start c"), 3);
    assert_string_equal (err,
                         "dfs-cluster: start: w1: bind: port 9010: \"x\" in use\n");
    assert_int_equal (cluster ("stop c"), 0);
    daemon_is ("worker", "kill -SEGV $$\n");
    assert_int_equal (cluster ("start c"), 1);
    assert_non_null (strstr (err, "w1: killed by signal 11"));
    assert_int_equal (cluster ("stop c"), 0);
    daemon_is ("broker", "exit 1\n");
    assert_int_equal (cluster ("start c"), 1);
    assert_string_equal (err, "dfs-cluster: start: b1: ended without a word\n");
    daemon_is ("broker", serving);
    daemon_is ("worker", serving);
}

static void a_node_that_is_not_up_in_time_is_named (void **state)
{
    (void)state;
    /* The stand-in for libdfs has w2 dead. */
    assert_int_equal (cluster ("init slow --workers 2"), 0);
    shell ("mkfifo slow/fifo");
    assert_int_equal (cluster ("start slow --wait 1"), 6);
    assert_non_null (strstr (err, "w2: is not up in time: dead"));
    assert_int_equal (cluster ("stop slow"), 0);
    daemon_is ("broker", "echo recovering\nexec sleep 30\n");
    assert_int_equal (cluster ("start slow b1 --wait 1"), 6);
    assert_non_null (strstr (err, "b1: not serving in time; its log ends: recovering"));
    shell ("kill $(cat slow/run/b1.pid)");
    daemon_is ("broker", serving);
}

static void add_worker_keeps_the_text (void **state)
{
    (void)state;
    shell ("cp c/cluster.cfg before && "
           "printf '\\n# behind the workers\\nscrub\\n    rate = 1MiB # slow\\n' "
           ">>c/cluster.cfg && cp c/cluster.cfg before");
    assert_int_equal (cluster ("add-worker c w2"), 0);
    assert_non_null (strstr (out, "no broker runs here"));
    shell ("diff before c/cluster.cfg | grep -c '^<' | grep -qx 0");
    shell ("diff before c/cluster.cfg | sed -n 's/^> //p' >added && "
           "printf '    w2\\n        host = 127.0.0.1\\n        port = 9011\\n"
           "        data = data/w2\\n        location = local/w2\\n' | cmp - added");
    shell ("test -e c/data/w2/dfs-mark && test -e c/keys/worker-w2_secret");
    assert_int_equal (cluster ("add-worker c w2"), 4);
    assert_int_equal (cluster ("add-worker c b1"), 4);
    assert_int_equal (cluster ("add-worker c w3 --port 9010"), 2);
    assert_non_null (strstr (err, "overlaps"));
    assert_int_equal (cluster ("add-worker c -- -w"), 2);
    shell ("test ! -e c/keys/worker-w3 && test ! -e c/data/w3");
}

static void env_can_be_evaluated (void **state)
{
    (void)state;
    assert_int_equal (cluster ("init it's --workers 1"), 0);
    assert_int_equal (cluster ("env it's"), 0);
    shell ("eval \"$(cat out)\" && test \"$DFS_CONFIG\" -ef \"it's/cluster.cfg\"");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (init_makes_what_a_cluster_needs),
        cmocka_unit_test (init_refuses_what_cannot_be),
        cmocka_unit_test (nodes_start_and_stop),
        cmocka_unit_test (kill_ends_a_node_for_certain),
        cmocka_unit_test (a_pid_in_use_again_is_not_believed),
        cmocka_unit_test (a_node_that_ends_early_says_why),
        cmocka_unit_test (a_node_that_is_not_up_in_time_is_named),
        cmocka_unit_test (add_worker_keeps_the_text),
        cmocka_unit_test (env_can_be_evaluated),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("dfs-cluster", tests, setup, teardown);
}
