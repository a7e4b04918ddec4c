/* SPDX-License-Identifier: MPL-2.0 */
/* Parts of the worker that need no socket. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <poll.h>

#include <cmocka.h>

#include "common/units.h"
#include "msgs/frame.h"
#include "worker/flow/assemble.h"
#include "worker/flow/window.h"
#include "worker/links/access.h"
#include "worker/links/directory.h"
#include "worker/links/epoch.h"
#include "worker/links/pulse.h"
#include "worker/links/sequence.h"

/* A frame of a chunk that nobody knows: NUMBER tells chunks apart. */
static void stray_frame (assemble_t *assemble, const sender_t *sender, uint32_t number)
{
    frame_t frame = {
        .kind = FRAME_DATA, .offset = DIGEST_BLOCK, .length = DIGEST_BLOCK};
    zmq_msg_t body;
    frame.true_len = frame.stored_len = FRAME_MAX;
    memcpy (frame.key.digest, &number, sizeof number);
    zmq_msg_init (&body);
    assemble_frame (assemble, &frame, sender, &body, SEC);
    zmq_msg_close (&body);
}

static size_t count_refusals (notes_t *notes)
{
    size_t n = 0;
    for (note_t *note; (note = notes_pop (notes)); n++) {
        assert_int_equal (note->kind, NOTE_REFUSED);
        note_destroy (&note);
    }
    return n;
}

/* What is refused is refused once, however many chunks without a grant somebody else
 * sends. */
static void refusals_of_one_key_leave_room (void **state)
{
    (void)state;
    notes_t *notes = notes_new ();
    assemble_config_t config = {.notes = notes};
    assemble_t *assemble = assemble_new (&config);
    sender_t hostile = {.fd = 7, .has_key = true, .key = {1}};
    sender_t other = {.fd = 8, .has_key = true, .key = {2}};
    for (uint32_t i = 0; i < 10000; i++) {
        stray_frame (assemble, &hostile, i);
        assert_int_equal (count_refusals (notes), 1);
    }
    stray_frame (assemble, &other, 1);
    stray_frame (assemble, &other, 1);
    assert_int_equal (count_refusals (notes), 1);
    /* It is forgotten with time. */
    assemble_expire (assemble, 3600 * SEC);
    stray_frame (assemble, &hostile, 1);
    stray_frame (assemble, &hostile, 1);
    assert_int_equal (count_refusals (notes), 1);
    assemble_destroy (&assemble);
    notes_destroy (&notes);
}

static bool gets_in (zap_t *zap, const keypair_t *pair)
{
    return zap_lookup (zap, sock_domain (SOCK_INGEST), pair->public_key, NULL, 0) != 0;
}

static void save_key (const char *dir, const char *name, keypair_t *pair)
{
    dfs_error_t err;
    assert_int_equal (keys_generate (pair), 0);
    assert_int_equal (keys_save (dir, "user", name, pair, &err), 0);
}

/* A keys directory whose time does not tell that there is another key. */
static void keys_that_come_late_get_in (void **state)
{
    (void)state;
    char dir[] = "/tmp/worker-keys-XXXXXX", other[] = "/tmp/worker-keys-XXXXXX";
    char command[300], half[64];
    assert_non_null (mkdtemp (dir));
    assert_non_null (mkdtemp (other));
    void *ctx = zmq_ctx_new ();
    zap_t *zap = zap_new (ctx, NULL);
    directory_t *directory = directory_new ();
    access_t *access = access_new (dir, zap, directory);
    keypair_t first, second, third;
    struct stat st;
    /* Two within one tick of the clock. */
    save_key (dir, "first", &first);
    assert_int_equal (stat (dir, &st), 0);
    access_refresh (access);
    assert_true (gets_in (zap, &first));
    save_key (dir, "second", &second);
    assert_int_equal (
        utimensat (AT_FDCWD, dir, (struct timespec[]){st.st_mtim, st.st_mtim}, 0), 0);
    access_refresh (access);
    assert_true (gets_in (zap, &second));
    /* One that is half copied, in a directory that has been quiet for long. */
    save_key (other, "third", &third);
    snprintf (half, sizeof half, "%s/user-third", dir);
    close (open (half, O_CREAT | O_WRONLY, 0644));
    assert_int_equal (
        utimensat (AT_FDCWD, dir, (struct timespec[]){{1000, 0}, {1000, 0}}, 0), 0);
    access_refresh (access);
    assert_false (gets_in (zap, &third));
    assert_true (gets_in (zap, &second));
    snprintf (command, sizeof command, "cat %s/user-third >%s", other, half);
    assert_int_equal (system (command), 0);
    access_refresh (access);
    assert_true (gets_in (zap, &third));
    access_destroy (&access);
    directory_destroy (&directory);
    zap_destroy (&zap);
    zmq_ctx_term (ctx);
    snprintf (command, sizeof command, "rm -r %s %s", dir, other);
    assert_int_equal (system (command), 0);
}

static store_change_t change (uint64_t seq)
{
    return (store_change_t){.seq = seq, .birth = seq * 10};
}

static void recent_keeps_the_newest (void **state)
{
    (void)state;
    recent_t *recent = recent_new ();
    store_change_t out[8];
    assert_int_equal (recent_last (recent), 0);
    assert_int_equal (recent_get (recent, 1, out, 8), 0);
    for (uint64_t seq = 100; seq < 100 + 2 * SEQUENCE_RECENT; seq++) {
        store_change_t c = change (seq);
        recent_add (recent, &c, 1);
    }
    uint64_t last = 99 + 2 * SEQUENCE_RECENT;
    assert_int_equal (recent_last (recent), last);
    assert_int_equal (recent_get (recent, last - SEQUENCE_RECENT, out, 8), 0);
    assert_int_equal (recent_get (recent, last - SEQUENCE_RECENT + 1, out, 8), 8);
    assert_int_equal (out[0].birth, (last - SEQUENCE_RECENT + 1) * 10);
    assert_int_equal (recent_get (recent, last, out, 8), 1);
    assert_int_equal (recent_get (recent, last + 1, out, 8), 0);
    /* After a hole memory starts anew: what lies before it comes from the store. */
    store_change_t c = change (last + 5);
    recent_add (recent, &c, 1);
    assert_int_equal (recent_get (recent, last, out, 8), 0);
    assert_int_equal (recent_get (recent, last + 5, out, 8), 1);
    recent_destroy (&recent);
}

static void position_follows_acknowledgements (void **state)
{
    (void)state;
    position_t p = {0};
    position_start (&p, true, 41, 0);
    assert_int_equal (p.state, POSITION_FOLLOWING);
    assert_int_equal (p.next, 42);
    position_sent (&p, 10, 0);
    assert_int_equal (p.next, 52);
    assert_false (position_acked (&p, 45, SEC));
    assert_int_equal (p.next, 52);
    /* The same again: the broker misses 46. */
    uint32_t life = p.asked_as;
    assert_true (position_acked (&p, 45, SEC));
    assert_int_equal (p.next, 46);
    assert_int_not_equal (p.asked_as, life);
    position_sent (&p, 6, SEC);
    assert_false (position_acked (&p, 51, SEC));
    assert_false (position_acked (&p, 51, SEC)); /* nothing is out: nothing to repeat */
    assert_false (position_late (&p, SEC, 100 * SEC));
    position_sent (&p, 1, 200 * SEC);
    assert_false (position_late (&p, SEC, 200 * SEC));
    assert_true (position_late (&p, SEC, 202 * SEC));
    assert_int_equal (p.next, 52);
    /* What was never sent cannot be acknowledged. */
    assert_false (position_acked (&p, 9000, 202 * SEC));
    assert_int_equal (p.acked, 51);
}

static void unknown_disk_is_listed (void **state)
{
    (void)state;
    position_t p = {0};
    position_start (&p, false, 500, 0);
    assert_int_equal (p.state, POSITION_LISTING);
    assert_false (position_acked (&p, 3, 0));
    p.stands = 77;
    position_listed (&p, 0);
    assert_int_equal (p.state, POSITION_FOLLOWING);
    assert_int_equal (p.next, 78);
    uint32_t life = p.asked_as;
    position_stop (&p);
    assert_int_equal (p.state, POSITION_OFF);
    assert_int_not_equal (p.asked_as, life);
}

/* Pages of a listing go out as the broker takes them; where word of it stays away it is
 * asked, now and then. */
static void listing_waits_for_pages (void **state)
{
    (void)state;
    position_t p = {0};
    bool ask;
    position_start (&p, false, 0, 0);
    position_window (&p, 1);
    assert_true (position_may_list (&p, 2 * SEC, 0, &ask));
    p.page = 1;
    assert_false (position_may_list (&p, 2 * SEC, SEC, &ask));
    assert_false (ask);
    assert_false (position_may_list (&p, 2 * SEC, 2 * SEC, &ask));
    assert_true (ask);
    assert_false (position_may_list (&p, 2 * SEC, 3 * SEC, &ask));
    assert_false (ask);
    position_given (&p, 3, 3 * SEC);
    assert_true (position_may_list (&p, 2 * SEC, 3 * SEC, &ask));
    /* One that comes late takes nothing back. */
    position_given (&p, 2, 3 * SEC);
    p.page = 2;
    assert_true (position_may_list (&p, 2 * SEC, 3 * SEC, &ask));
    p.page = 3;
    assert_false (position_may_list (&p, 2 * SEC, 4 * SEC, &ask));
    /* The next listing begins as the first one. */
    position_list (&p, 5 * SEC);
    p.page = 1;
    assert_false (position_may_list (&p, 2 * SEC, 5 * SEC, &ask));
    /* A broker that does not count takes all. */
    position_start (&p, false, 0, 0);
    p.page = 1000;
    assert_true (position_may_list (&p, 2 * SEC, 90 * SEC, &ask));
}

static void window_lends_and_counts (void **state)
{
    (void)state;
    const window_class_t classes[] = {{4096, 2}, {65536, 2}, {FRAME_MAX, 1}};
    window_t *window = window_new (classes, 3);
    assert_int_equal (window_size (window), 2 * 4096 + 2 * 65536 + FRAME_MAX);
    share_t *a = share_new (window), *b = share_new (window);
    lease_t *leases[8] = {0};
    leases[0] = window_take (window, a, FRAME_MAX, FRAME_MAX);
    assert_int_equal (lease_size (leases[0]), FRAME_MAX);
    /* None of that size is left: a smaller one, but not below the floor. */
    assert_null (window_take (window, b, FRAME_MAX, FRAME_MAX));
    leases[1] = window_take (window, b, FRAME_MAX, 65536);
    assert_int_equal (lease_size (leases[1]), 65536);
    leases[2] = window_take (window, b, 65536, 65536);
    assert_null (window_take (window, b, 65536, 65536));
    leases[3] = window_take (window, b, 100, 100);
    assert_int_equal (lease_size (leases[3]), 4096);
    assert_int_equal (share_held (a), FRAME_MAX);
    assert_int_equal (share_held (b), 2 * 65536 + 4096);
    assert_int_equal (window_held (window), FRAME_MAX + 2 * 65536 + 4096);
    window_arm (window);
    struct pollfd woken = {.fd = window_fd (window), .events = POLLIN};
    assert_int_equal (poll (&woken, 1, 0), 0);
    zmq_msg_t msg;
    memset (lease_data (leases[0]), 7, FRAME_MAX);
    lease_message (&leases[0], 10, &msg);
    assert_null (leases[0]);
    assert_int_equal (zmq_msg_size (&msg), 10);
    zmq_msg_close (&msg);
    assert_int_equal (share_held (a), 0);
    assert_int_equal (share_returned (a), 1);
    assert_int_equal (poll (&woken, 1, 0), 1);
    window_calm (window); /* or a loop that has nothing left to send spins */
    assert_int_equal (poll (&woken, 1, 0), 0);
    share_close (&a);
    share_close (&b); /* while its buffers are out */
    for (int i = 1; i < 4; i++)
        lease_return (&leases[i]);
    assert_int_equal (window_held (window), 0);
    window_destroy (&window);
}

static void epoch_never_goes_back (void **state)
{
    (void)state;
    char dir[] = "/tmp/dfs-epoch-XXXXXX", path[64];
    assert_non_null (mkdtemp (dir));
    const char *const dirs[] = {"/nonexistent-disk", dir};
    dfs_error_t err = {0};
    epoch_t *epoch = epoch_open (dirs, 2, &err);
    assert_non_null (epoch);
    assert_int_equal (epoch_see (epoch, 1, 5, &err), DFS_OK);
    assert_int_equal (epoch_see (epoch, 1, 5, &err), DFS_OK);
    assert_int_equal (epoch_see (epoch, 1, 4, &err), DFS_ESTALE);
    assert_int_equal (epoch_see (epoch, 2, 1, &err), DFS_OK);
    assert_int_equal (epoch_see (epoch, 1, 900, &err), DFS_ESTALE);
    epoch_close (&epoch);
    epoch = epoch_open (dirs, 2, &err);
    uint32_t incarnation;
    uint64_t term;
    epoch_get (epoch, &incarnation, &term);
    assert_int_equal (incarnation, 2);
    assert_int_equal (term, 1);
    epoch_close (&epoch);
    /* Where it cannot be kept, it is not seen. */
    epoch = epoch_open (dirs, 1, &err);
    assert_true (epoch_see (epoch, 3, 1, &err) < 0);
    epoch_get (epoch, &incarnation, &term);
    assert_int_equal (incarnation, 0);
    epoch_close (&epoch);
    snprintf (path, sizeof path, "%s/epoch", dir);
    FILE *file = fopen (path, "w");
    fputs ("garbage", file);
    fclose (file);
    assert_null (epoch_open (dirs, 2, &err));
    assert_int_equal (err.code, DFS_EDAMAGED);
    unlink (path);
    rmdir (dir);
}

static void directory_keeps_addresses_and_log_time (void **state)
{
    (void)state;
    directory_t *d = directory_new ();
    member_t members[2] = {{.id = 1, .host = "h1", .port = 10},
                           {.id = 2, .host = "h2"}};
    member_t out;
    directory_set_members (d, members, 2);
    assert_true (directory_member (d, 1, &out));
    assert_int_equal (out.address[0], 0);
    directory_set_address (d, "h1", "10.0.0.1");
    members[0].port = 11;
    directory_set_members (d, members, 1);
    assert_true (directory_member (d, 1, &out));
    assert_string_equal (out.address, "10.0.0.1");
    assert_int_equal (out.port, 11);
    assert_false (directory_member (d, 2, &out));
    assert_int_equal (directory_log_time (d, 50), 0);
    directory_set_log_time (d, 1000, 50);
    assert_int_equal (directory_log_time (d, 60), 1010);
    assert_int_equal (directory_log_time (d, 40), 1000); /* a moment read earlier */
    directory_set_log_time (d, 900, 70);                 /* never back */
    assert_int_equal (directory_log_time (d, 70), 1020);
    grant_key_t keys[] = {{.id = 3}, {.id = 4}};
    uint8_t key[32];
    directory_set_keys (d, keys, 2);
    assert_true (directory_key (d, 4, key));
    directory_set_keys (d, keys, 1);
    assert_false (directory_key (d, 4, key));
    directory_destroy (&d);
}

/* CPU seconds that this process has used. */
static double cpu_used (void)
{
    return (double)clock () / CLOCKS_PER_SEC;
}

/* A worker that does nothing is cold, whatever else runs on its host. */
static void pulse_is_of_this_process (void **state)
{
    (void)state;
    const char *const dirs[] = {"/", "/tmp", "/nowhere"};
    pulse_t *pulse = pulse_new (dirs, 3);
    pulse_load_t load;
    pulse_sample (pulse, SEC, &load);
    pulse_sample (pulse, 1000 * SEC, &load); /* 999 s in which it did next to nothing */
    assert_true (load.memory > 100 * KIB);
    assert_true (load.cpu_permille < 10 && load.disk_permille <= 1000);
    /* Work of 100 ms said to be that of 1 us: as hot as can be. */
    for (double from = cpu_used (); cpu_used () < from + 0.1;)
        continue;
    pulse_sample (pulse, 1000 * SEC + MS / 1000, &load);
    assert_int_equal (load.cpu_permille, 1000);
    pulse_destroy (&pulse);
    assert_null (pulse);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (refusals_of_one_key_leave_room),
        cmocka_unit_test (keys_that_come_late_get_in),
        cmocka_unit_test (recent_keeps_the_newest),
        cmocka_unit_test (position_follows_acknowledgements),
        cmocka_unit_test (unknown_disk_is_listed),
        cmocka_unit_test (listing_waits_for_pages),
        cmocka_unit_test (window_lends_and_counts),
        cmocka_unit_test (epoch_never_goes_back),
        cmocka_unit_test (directory_keeps_addresses_and_log_time),
        cmocka_unit_test (pulse_is_of_this_process),
    };
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("worker_parts", tests, NULL, NULL);
}
