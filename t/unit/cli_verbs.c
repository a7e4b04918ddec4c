/* SPDX-License-Identifier: MPL-2.0 */
/* The contract of dfs-client: where things go, what is said, with which exit code. Each
 * command runs in a child of its own, over a libdfs that is a directory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <jansson.h>

#include "cli_fake.h"
#include "cli_run.h"
#include "client/cli/verbs.h"

#include <cmocka.h> /* last: its macro fail () is not ours */

static char dir[256], trace_file[300], cluster[300];

static int setup (void **state)
{
    (void)state;
    snprintf (dir, sizeof dir, "%s/dfs-cli-XXXXXX",
              getenv ("TMPDIR") ? getenv ("TMPDIR") : "/tmp");
    if (!mkdtemp (dir) || chdir (dir) < 0)
        return -1;
    snprintf (cluster, sizeof cluster, "%s/cluster", dir);
    snprintf (trace_file, sizeof trace_file, "%s/trace", dir);
    fake_setup (cluster, trace_file);
    return mkdir (cluster, 0755);
}

static int teardown (void **state)
{
    (void)state;
    if (chdir ("/") < 0)
        return -1;
    shell ("chmod -R u+rwx '%s'; rm -rf '%s'", dir, dir);
    return 0;
}

/* Runs `dfs-client WORDS`. */
static int client (const char *words)
{
    unlink (trace_file);
    return run_program (&client_info, words);
}

static void assert_traced (const char *line)
{
    char trace[65536], want[1024];
    slurp (trace_file, trace, sizeof trace);
    snprintf (want, sizeof want, "%s\n", line);
    if (!strstr (trace, want))
        fail_msg ("no '%s' in:\n%s", line, trace);
}

static void assert_says (const char *line)
{
    char want[1024];
    snprintf (want, sizeof want, "%s\n", line);
    assert_string_equal (err, want);
}

static void put_names_the_destination_as_cp_does (void **state)
{
    (void)state;
    shell ("echo one >a && echo two >b && mkdir cluster/d");
    assert_int_equal (client ("put a"), 0);
    assert_traced ("put a /a create replace");
    assert_int_equal (client ("upload a /x"), 0);
    assert_traced ("put a /x create replace");
    assert_int_equal (client ("put a /d"), 0);
    assert_traced ("put a /d/a create replace");
    assert_int_equal (client ("put a b /d/"), 0);
    assert_traced ("put b /d/b create replace");
    assert_int_equal (client ("put a d//"), 0);
    assert_traced ("put a /d/a create replace");
    assert_int_equal (client ("put a b /x"), 1);
    assert_int_equal (client ("put a /none/"), 3);
    assert_says ("dfs-client: put: /none/: no such directory");
    assert_int_equal (client ("put a /x/"), 1);
    assert_int_equal (client ("put -p a /none/deep/"), 0);
    assert_traced ("put a /none/deep/a create replace parents");
}

static void put_says_what_is_wrong (void **state)
{
    (void)state;
    shell ("echo one >a && mkdir -p tree cluster/dd && echo x >cluster/there");
    assert_int_equal (client ("put nothing /x"), 3);
    assert_says ("dfs-client: put: nothing: No such file or directory");
    assert_int_equal (client ("put tree"), 1);
    assert_says ("dfs-client: put: tree: is a directory (-r stores directories)");
    assert_int_equal (client ("put -n a /there"), 4);
    assert_says ("dfs-client: put: /there: already exists");
    assert_int_equal (client ("put --if-version 3 a /there"), 4);
    assert_int_equal (client ("put --if-version 7 a /there"), 0);
    assert_int_equal (client ("update a /absent"), 3);
    assert_says ("dfs-client: update: /absent: no such file or directory");
    assert_int_equal (client ("--config /down put a"), 6);
    assert_says ("dfs-client: put: no broker answers");
    assert_int_equal (client ("put nothing a /dd"), 3);
    assert_traced ("put a /dd/a create replace");
}

static void update_and_append_ask_for_their_flags (void **state)
{
    (void)state;
    shell ("echo one >a && echo x >cluster/there");
    assert_int_equal (client ("update a /there"), 0);
    assert_traced ("put a /there replace");
    assert_int_equal (client ("append a /there"), 0);
    assert_traced ("put a /there create append");
    shell ("printf 'one\\none\\n' | cmp - cluster/there");
}

static void standard_input_and_output (void **state)
{
    (void)state;
    shell ("printf 0123456789 >ten && mkdir -p cluster/dir");
    assert_int_equal (client ("put ten"), 0);
    assert_int_equal (client ("get /ten -"), 0);
    assert_string_equal (out, "0123456789");
    assert_int_equal (client ("cat /ten /ten"), 0);
    assert_string_equal (out, "01234567890123456789");
    assert_int_equal (client ("put -"), 2);
    assert_int_equal (client ("put - /dir"), 1);
    assert_int_equal (client ("get -r /dir -"), 2);
    int fd = open ("ten", O_RDONLY), saved = dup (0);
    dup2 (fd, 0);
    assert_int_equal (client ("put - /piped"), 0);
    dup2 (saved, 0);
    close (fd);
    close (saved);
    shell ("cmp ten cluster/piped");
}

static void ranges (void **state)
{
    (void)state;
    shell ("printf 0123456789 >cluster/ten && : >cluster/empty");
    static const struct {
        const char *range, *want;
    } good[] = {{"0-0", "0"},  {"2-4", "234"}, {"5-", "56789"},
                {"-3", "789"}, {"8-99", "89"}, {"-99", "0123456789"}};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        char words[64];
        snprintf (words, sizeof words, "get --range %s /ten -", good[i].range);
        assert_int_equal (client (words), 0);
        assert_string_equal (out, good[i].want);
    }
    assert_int_equal (client ("get --range 10- /ten -"), 2);
    assert_int_equal (client ("get --range 0-1 /empty -"), 2);
    static const char *const bad[] = {"5", "-", "a-b", "4-2", "1-2-3", "-1-2", ""};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char words[64];
        snprintf (words, sizeof words, "get --range=%s /ten -", bad[i]);
        assert_int_equal (client (words), 2);
    }
}

static void get_names_the_destination_as_cp_does (void **state)
{
    (void)state;
    shell ("rm -rf got && mkdir got && echo 1 >cluster/f && echo 2 >cluster/g");
    assert_int_equal (client ("get /f got"), 0);
    assert_traced ("get /f got/f");
    assert_int_equal (client ("download /f got/new"), 0);
    assert_traced ("get /f got/new");
    assert_int_equal (client ("get /f g got/"), 0);
    assert_traced ("get /g got/g");
    assert_int_equal (client ("get /f /g got/new"), 1);
    assert_int_equal (client ("get /f nowhere/"), 3);
    assert_int_equal (client ("get /f got/new/"), 1);
    assert_says ("dfs-client: get: got/new/: not a directory");
    assert_int_equal (client ("get /f/ got"), 1);
    assert_int_equal (client ("get /absent got"), 3);
    assert_says ("dfs-client: get: /absent: no such file or directory");
    shell ("mkdir -p cluster/sub");
    assert_int_equal (client ("get /sub got"), 1);
    assert_says ("dfs-client: get: /sub: is a directory (-r gets directories)");
    assert_int_equal (client ("get /f"), 0);
    shell ("cmp f cluster/f");
}

/* Everything but contents that find can print. */
#define LISTING                                                                        \
    "cd %s && find . -printf '%%P %%y %%m %%l %%T@ ' -type f -printf '%%s' -o "        \
    "-printf '\\n' | sort >%s/listing-%s"

static void trees_come_back_as_they_went (void **state)
{
    (void)state;
    shell (
        "rm -rf t cluster/t cluster/u back listing-*; mkdir -p t/empty t/a/b/c && "
        "for i in 1 2 3 4 5 6; do echo $i >t/a/$i; done && echo x >'t/a/b/sp ace' && "
        "ln -s a/1 t/link && ln -s nowhere t/a/dangling && ln -s a t/dirlink && "
        "printf x >\"t/$(printf '\\377\\001')\" && chmod 600 t/a/1 && chmod 555 t/a/b "
        "&& touch -h -d 2001-02-03T04:05:06.789 t/a/b/c t/a/b t/a t/empty t/a/2 t");
    assert_int_equal (client ("put -r t /t"), 0);
    assert_string_equal (err, "");
    assert_int_equal (client ("get -r /t back"), 0);
    assert_string_equal (err, "");
    shell ("diff -r --no-dereference t back");
    shell (LISTING, "t", dir, "t");
    shell (LISTING, "back", dir, "back");
    shell ("diff listing-t listing-back");
    /* An existing directory takes it under its name. */
    shell ("mkdir cluster/u");
    assert_int_equal (client ("put -r t /u"), 0);
    shell ("diff -r --no-dereference t cluster/u/t");
    assert_int_equal (client ("put -r t/. /u/t"), 0);
    assert_int_equal (client ("get -r /u/t back"), 0);
    shell ("diff -r --no-dereference t back/t");
}

static void directories_are_finished_after_their_content (void **state)
{
    (void)state;
    static char trace[1 << 20];
    shell ("rm -rf many; mkdir -p many/d && cd many/d && seq 1 1500 | xargs touch");
    assert_int_equal (client ("put -r many"), 0);
    slurp (trace_file, trace, sizeof trace);
    const char *attr = strstr (trace, "setattr /many/d "), *last = NULL;
    for (const char *p = trace; (p = strstr (p, "put many/d/")); p++)
        last = p;
    assert_non_null (attr);
    assert_non_null (last);
    assert_true (attr > last);
    assert_true (strstr (trace, "setattr /many ") > last);
    shell ("test $(ls cluster/many/d | wc -l) -eq 1500");
}

static void what_cannot_be_stored_is_named (void **state)
{
    (void)state;
    shell (
        "rm -rf odd; mkdir -p odd/sub && mkfifo odd/sub/pipe && echo x >odd/sub/file");
    assert_int_equal (client ("put -r odd"), 1);
    assert_says ("dfs-client: put: odd/sub/pipe: is a fifo, which cannot be stored");
    shell ("cmp odd/sub/file cluster/odd/sub/file");
    if (geteuid () == 0)
        return; /* root reads everything */
    shell ("rm -rf odd; mkdir -p odd/shut && echo x >odd/f && chmod 0 odd/f odd/shut");
    assert_int_equal (client ("put -r odd /odd2"), 1);
    assert_non_null (strstr (err, "put: odd/f: Permission denied"));
    assert_non_null (strstr (err, "put: odd/shut: Permission denied"));
}

static void a_symlink_in_the_way_is_not_followed (void **state)
{
    (void)state;
    shell ("rm -rf dest outside; mkdir -p cluster/s/d dest outside && "
           "echo evil >cluster/s/d/f && ln -s ../outside dest/d && "
           "mkdir cluster/s/e && echo fine >cluster/s/e/f");
    assert_int_equal (client ("get -r /s/. dest"), 2);
    assert_int_equal (client ("get -r /s dest"), 0);
    shell ("ln -s ../../outside dest/s/x && rm -r dest/s/d && ln -s ../../outside "
           "dest/s/d");
    assert_int_equal (client ("get -r /s dest"), 1);
    assert_non_null (strstr (err, "get: dest/s/d: "));
    shell ("test ! -e outside/f && cmp cluster/s/e/f dest/s/e/f");
}

static void names_are_changed_as_asked (void **state)
{
    (void)state;
    shell ("mkdir -p cluster/n/in && echo 1 >cluster/n/a && echo 2 >cluster/n/b");
    assert_int_equal (client ("mv /n/a /n/in"), 0);
    assert_traced ("rename /n/a /n/in/a");
    assert_int_equal (client ("mv -n /n/in/a /n/b /n"), 0);
    assert_traced ("rename /n/in/a /n/a no_replace");
    assert_int_equal (client ("mv /n/in /n/out/"), 0);
    assert_traced ("rename /n/in /n/out");
    assert_int_equal (client ("mv /n/a /n/c/"), 3);
    assert_int_equal (client ("cp /n/a /n/out"), 0);
    assert_traced ("clone /n/a /n/out/a");
    assert_int_equal (client ("cp /n /m"), 1);
    assert_int_equal (client ("cp -rn /n /m"), 0);
    assert_traced ("mkdir /m/out 755 parents");
    assert_traced ("clone /n/a /m/a no_replace");
    assert_int_equal (client ("cp -r /n /n/out/x"), 1);
    assert_int_equal (client ("rm /n/a /n/absent /n"), 3);
    assert_non_null (strstr (err, "rm: /n/absent: no such file or directory\n"));
    assert_non_null (strstr (err, "rm: /n: is a directory (-r removes directories)\n"));
    assert_traced ("unlink /n/a");
    assert_int_equal (client ("rm -f /n/absent"), 0);
    assert_int_equal (client ("delete -r /n"), 0);
    assert_traced ("unlink /n recursive");
    assert_int_equal (client ("rm -r /"), 1);
    assert_int_equal (client ("mkdir -m 700 /p/q"), 3);
    assert_int_equal (client ("mkdir -p -m 700 /p/q"), 0);
    assert_traced ("mkdir /p/q 700 parents");
    assert_int_equal (client ("mkdir /p/q"), 4);
    assert_int_equal (client ("mkdir -m 9 /z"), 2);
    assert_int_equal (client ("rmdir /p"), 4);
    assert_int_equal (client ("rmdir /p/q"), 0);
    assert_int_equal (client ("mkdir /a/../b"), 2);
}

static json_t *parse_out (void)
{
    json_error_t why;
    json_t *value = json_loads (out, JSON_DECODE_ANY, &why);
    if (!value)
        fail_msg ("%s in: %s", why.text, out);
    return value;
}

static void assert_keys (json_t *object, const char *keys)
{
    char list[512];
    snprintf (list, sizeof list, "%s", keys);
    assert_true (json_is_object (object));
    for (char *save = NULL, *key = strtok_r (list, " ", &save); key;
         key = strtok_r (NULL, " ", &save))
        if (!json_object_get (object, key))
            fail_msg ("no %s in %s", key, out);
}

static uint64_t room (uint32_t copies, const uint64_t *left, size_t n)
{
    dfs_worker_info_t workers[8] = {{0}};
    dfs_status_t status = {.workers = workers, .n_workers = n, .replicas = copies};
    for (size_t i = 0; i < n; i++) {
        strcpy (workers[i].state, "up");
        strcpy (workers[i].condition, "ok");
        workers[i].bytes_free = left[i];
    }
    strcpy (workers[n - 1].state, "draining"); /* takes nothing */
    strcpy (workers[n - 2].condition, "full");
    return df_room (&status);
}

static void room_is_for_copies_on_different_workers (void **state)
{
    (void)state;
    const uint64_t left[] = {4, 130, 4, 6, 900, 900};
    assert_int_equal (room (1, left, 6), 144);
    assert_int_equal (room (2, left, 6), 14);
    assert_int_equal (room (3, left, 6), 7);
    assert_int_equal (room (4, left, 6), 4);
    assert_int_equal (room (5, left, 6), 0);
    const uint64_t even[] = {10, 10, 10, 0, 0};
    assert_int_equal (room (2, even, 5), 15);
}

static void json_has_the_keys_promised (void **state)
{
    (void)state;
    shell ("rm -rf cluster/j; mkdir -p cluster/j/d && echo x >cluster/j/damaged && "
           "echo yy >cluster/j/fine && "
           "printf x >\"cluster/j/$(printf '\\377\\\\\\nz')\"");
    assert_int_equal (client ("ls --json /j"), 0);
    json_t *v = parse_out ();
    assert_int_equal (json_array_size (v), 4);
    assert_keys (json_array_get (v, 0), "name path type size mtime version");
    assert_string_equal (
        json_string_value (json_object_get (json_array_get (v, 3), "name")),
        "\\xff\\\\\\x0az");
    json_decref (v);
    assert_int_equal (client ("ls --json /j/d"), 0);
    v = parse_out ();
    assert_int_equal (json_array_size (v), 0);
    json_decref (v);
    assert_int_equal (client ("stat --json /j/fine"), 0);
    v = parse_out ();
    assert_keys (v,
                 "name path type size mtime version chunks replicas chunk_size owner "
                 "mode sha256_tree");
    assert_int_equal (json_integer_value (json_object_get (v, "size")), 3);
    json_decref (v);
    /* What a dead worker has free nobody knows; in JSON there is what it told last. */
    assert_int_equal (client ("status"), 0);
    assert_non_null (strstr (out, "9.00 MiB"));
    assert_null (strstr (strstr (out, "w2"), "9.00 MiB"));
    assert_non_null (strstr (out, "repair: 2 queued, 0 active, 0 B/s, - to go"));
    assert_int_equal (client ("df"), 0);
    char *row = strstr (out, "w2");
    assert_non_null (row);
    row[strcspn (row, "\n")] = 0;
    assert_null (strstr (row, "12.0 MiB"));
    assert_int_equal (client ("status --json"), 0);
    v = parse_out ();
    assert_keys (v, "cluster health epoch brokers workers files chunks bytes_logical "
                    "bytes_stored chunks_under_replicated chunks_lost chunks_surplus "
                    "repair");
    assert_keys (json_object_get (v, "repair"),
                 "queued active bytes_per_second eta_seconds held held_seconds");
    assert_true (
        json_is_null (json_object_get (json_object_get (v, "repair"), "eta_seconds")));
    json_t *rule = json_array_get (json_object_get (v, "placement_unmet"), 0);
    assert_keys (rule, "level example chunks");
    assert_int_equal (json_integer_value (json_object_get (rule, "level")), 2);
    assert_int_equal (json_integer_value (json_object_get (rule, "chunks")), 20);
    assert_keys (json_array_get (json_object_get (v, "workers"), 0),
                 "name endpoint state condition location chunks bytes_used bytes_free");
    json_decref (v);
    assert_int_equal (client ("analyze --json /j"), 0);
    v = parse_out ();
    assert_keys (v,
                 "cluster totals unique replication_factor dedup_ratio workers files "
                 "unique_of_files kept_by_history chunks_surplus");
    json_t *unique = json_object_get (v, "unique_of_files");
    assert_int_equal (json_integer_value (json_object_get (unique, "chunks")), 1);
    assert_int_equal (json_integer_value (json_object_get (unique, "bytes")), 3);
    assert_int_equal (json_array_size (json_object_get (v, "files")), 3);
    assert_true (json_real_value (json_object_get (v, "dedup_ratio")) == 2.0);
    assert_true (json_real_value (json_object_get (v, "replication_factor")) == 1.0);
    json_decref (v);
    assert_int_equal (client ("explain --json /j/fine"), 0);
    v = parse_out ();
    assert_keys (json_array_get (v, 0), "index id size replicas wanted rule");
    json_decref (v);
    assert_int_equal (client ("df --json"), 0);
    v = parse_out ();
    assert_int_equal (json_integer_value (json_object_get (v, "bytes_free")), 9 << 20);
    json_decref (v);
    assert_int_equal (client ("du --json /j"), 0);
    v = parse_out ();
    assert_int_equal (
        json_integer_value (json_object_get (json_array_get (v, 0), "bytes")), 6);
    json_decref (v);
}

static void verify_counts_and_judges (void **state)
{
    (void)state;
    shell ("rm -rf cluster/v; mkdir -p cluster/v/d && echo x >cluster/v/fine && "
           "echo x >cluster/v/same && echo xyz >cluster/v/d/other");
    assert_int_equal (client ("verify --json /v"), 0);
    json_t *v = parse_out ();
    assert_keys (v, "chunks replicas bytes corrupt missing repaired");
    assert_int_equal (json_integer_value (json_object_get (v, "chunks")), 2);
    assert_int_equal (json_integer_value (json_object_get (v, "replicas")), 4);
    assert_int_equal (json_integer_value (json_object_get (v, "bytes")), 6);
    json_decref (v);
    shell ("echo longer >cluster/v/damaged");
    assert_int_equal (client ("verify /v"), 7);
    assert_non_null (strstr (err, "verify: /v/damaged: chunk 0 "));
    assert_non_null (strstr (err, "worker w2: data damaged\n"));
    assert_non_null (strstr (out, "/v/damaged: chunk 0: 2 of 2 copies whole, what was "
                                  "bad is replaced\n"));
    shell ("mv cluster/v/damaged cluster/v/hopeless");
    assert_int_equal (client ("verify /v/hopeless"), 7);
    assert_non_null (strstr (out,
                             "/v/hopeless: chunk 0: 0 of 2 copies whole, nothing to "
                             "replace the others from\n"));
    assert_int_equal (client ("verify --json /v/hopeless"), 7);
    v = parse_out ();
    json_t *one = json_array_get (json_object_get (v, "damaged"), 0);
    assert_keys (one, "path index id copies whole state");
    assert_string_equal (json_string_value (json_object_get (one, "state")), "lost");
    json_decref (v);
    shell ("rm cluster/v/hopeless && echo longest >cluster/v/lonely");
    assert_int_equal (client ("verify /v"), 6);
    assert_int_equal (client ("verify /v/fine"), 0);
    assert_int_equal (client ("verify /nowhere"), 3);
    /* What is not there is said before anything is printed. */
    assert_int_equal (client ("analyze /nowhere"), 3);
    assert_string_equal (out, "");
    assert_int_equal (client ("du /nowhere"), 3);
    assert_string_equal (out, "");
    assert_int_equal (client ("mv /v/fine /v/same/"), 1);
    assert_non_null (strstr (err, "/v/same/: not a directory\n"));
}

static void text_is_for_people (void **state)
{
    (void)state;
    shell ("rm -rf cluster/w; mkdir -p cluster/w/d/e && echo x >cluster/w/f && "
           "ln -s f cluster/w/l && echo y >cluster/w/d/e/g.txt");
    assert_int_equal (client ("ls /w"), 0);
    assert_string_equal (out, "d/\nf\nl\n");
    assert_int_equal (client ("list -R /w"), 0);
    assert_string_equal (out, "d/\nd/e/\nd/e/g.txt\nf\nl\n");
    assert_int_equal (client ("ls -d /w/d"), 0);
    assert_string_equal (out, "/w/d/\n");
    assert_int_equal (client ("ls -l /w/f"), 0);
    assert_non_null (strstr (out, "-rw-r--r--  2  admin  2  "));
    assert_int_equal (client ("ls /w/nothing /w/d"), 3);
    assert_string_equal (out, "/w/d/e/\n");
    assert_int_equal (client ("find *.txt /w"), 0);
    assert_string_equal (out, "/w/d/e/g.txt\n");
    assert_int_equal (client ("find /w g*"), 0);
    assert_string_equal (out, "/w/d/e/g.txt\n");
    assert_int_equal (client ("search e /w"), 0);
    assert_string_equal (out, "/w/d/e/\n");
    assert_int_equal (client ("status"), 0);
    assert_non_null (strstr (out, "\nreads: 12 pieces, 3 asked for twice, 2 taken over "
                                  "by idle workers; caches had 25 % of 4 looked up\n"));
}

static void an_operator_is_understood (void **state)
{
    (void)state;
    assert_int_equal (client ("admin drain w1"), 0);
    assert_traced ("drain w1");
    assert_int_equal (client ("admin undrain w1"), 0);
    assert_traced ("undrain w1");
    assert_int_equal (client ("admin drain none"), 3);
    assert_int_equal (client ("admin remove w1"), 1);
    assert_non_null (strstr (err, "drain it first"));
    assert_int_equal (client ("admin repair resume"), 0);
    assert_traced ("repair resume");
    assert_int_equal (client ("admin rebalance"), 0);
    assert_traced ("rebalance");
    assert_non_null (strstr (out, "mean fill 40.0 %, the farthest (w2) is 1.2 points "
                                  "from it: nothing to do"));
    assert_int_equal (client ("df"), 0);
    assert_non_null (strstr (out, "HELD"));
    assert_non_null (strstr (out, " 1.00 MiB "));
    assert_int_equal (client ("admin policy create gold --replicas 4"), 0);
    assert_non_null (strstr (err, "4 copies, and there are 2 workers"));
    assert_traced ("policy 0 gold 4 2");
    assert_int_equal (client ("admin policy create thin --replicas 1"), 0);
    assert_traced ("policy 0 thin 1 1");
    assert_int_equal (client ("admin policy set copies-3 --replicas 1"), 0);
    assert_traced ("policy 2 copies-3 1 1");
    assert_int_equal (client ("admin policy assign default /some"), 0);
    assert_traced ("assign /some 1");
    assert_int_equal (client ("admin policy assign silver /some"), 3);
    assert_int_equal (client ("admin policy remove copies-3"), 0);
    assert_traced ("policy 2 removed");
    assert_int_equal (client ("admin policy remove default"), 2);
    assert_non_null (strstr (err, "the default policy stays"));
    assert_int_equal (client ("admin policy remove silver"), 3);
    assert_int_equal (client ("admin policy remove"), 2);
    assert_int_equal (client ("admin policy remove --json copies-3"), 0);
    json_t *v = parse_out ();
    assert_keys (v, "id name removed");
    json_decref (v);
    assert_int_equal (client ("admin policy create gold"), 2);
    assert_int_equal (client ("admin policy set default --min-replicas 3"), 2);
    assert_int_equal (client ("admin"), 2);
    assert_int_equal (client ("admin policy dance"), 2);
    assert_int_equal (client ("admin reclaim dance"), 2);
    assert_non_null (strstr (err, "unknown action 'reclaim dance'\n"));
    assert_int_equal (client ("admin reclaim"), 2);
    assert_non_null (strstr (err, "'reclaim': which action?\n"));
    assert_int_equal (client ("admin drain"), 2);
}

static void wrong_usage_exits_2_with_the_usage (void **state)
{
    (void)state;
    static const char *const wrong[] = {"",
                                        "nosuch",
                                        "history /x",
                                        "put",
                                        "ls --nosuch",
                                        "ls -Z",
                                        "--nosuch ls",
                                        "get",
                                        "stat",
                                        "mv /a",
                                        "cat",
                                        "find",
                                        "put --if-version",
                                        "put --if-version x a /b",
                                        "put --if-version 0 a /b",
                                        "put --chunk-size 1 a",
                                        "status extra",
                                        "rm --json /x",
                                        "--timeout x ls"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        if (client (wrong[i]) != 2 || !strstr (err, "Usage: dfs-client "))
            fail_msg ("'%s': %s", wrong[i], err);
        /* What is wrong, the usage, where to read more: no list of options. */
        size_t lines = 0;
        for (const char *p = err; (p = strchr (p, '\n')); p++)
            lines++;
        if (lines != 3 || !strstr (err, "\nTry 'dfs-client ") ||
            !strstr (err, "--help'.\n"))
            fail_msg ("'%s': %s", wrong[i], err);
        assert_string_equal (out, "");
    }
    assert_int_equal (client ("mv /a"), 2);
    assert_non_null (strstr (err, "\nUsage: dfs-client mv [OPTION…] SRC… DEST\n"
                                  "Try 'dfs-client mv --help'.\n"));
    assert_int_equal (client ("--help"), 0);
    assert_non_null (strstr (out, "put, upload"));
    assert_int_equal (client ("put --help"), 0);
    assert_non_null (strstr (out, "--no-clobber"));
    assert_int_equal (client ("--version"), 0);
    assert_string_equal (out, "dfs-client 0.0.0\n");
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (put_names_the_destination_as_cp_does),
        cmocka_unit_test (put_says_what_is_wrong),
        cmocka_unit_test (update_and_append_ask_for_their_flags),
        cmocka_unit_test (standard_input_and_output),
        cmocka_unit_test (ranges),
        cmocka_unit_test (get_names_the_destination_as_cp_does),
        cmocka_unit_test (trees_come_back_as_they_went),
        cmocka_unit_test (directories_are_finished_after_their_content),
        cmocka_unit_test (what_cannot_be_stored_is_named),
        cmocka_unit_test (a_symlink_in_the_way_is_not_followed),
        cmocka_unit_test (names_are_changed_as_asked),
        cmocka_unit_test (room_is_for_copies_on_different_workers),
        cmocka_unit_test (json_has_the_keys_promised),
        cmocka_unit_test (verify_counts_and_judges),
        cmocka_unit_test (text_is_for_people),
        cmocka_unit_test (an_operator_is_understood),
        cmocka_unit_test (wrong_usage_exits_2_with_the_usage),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("dfs-client", tests, setup, teardown);
}
