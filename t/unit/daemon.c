/* SPDX-License-Identifier: MPL-2.0 */
/* What systemd hears of a daemon: the run itself in another thread, a socket of ours as
 * systemd's, a pipe as its signals. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/daemon.h"
#include "common/log.h"
#include "common/units.h"

#define PERIOD (200 * MS) /* of the watchdog */

typedef struct rig {
    char dir[64];
    int systemd; /* what is told comes here */
    int signals[2];
    int fatal[2];
    pthread_t thread;
    int started, stopped, reloaded;
    int rc;
    dfs_error_t err;
} rig_t;

static int start_one (void *ctx, dfs_error_t *err)
{
    (void)err;
    ((rig_t *)ctx)->started++;
    return DFS_OK;
}

static void stop_one (void *ctx)
{
    ((rig_t *)ctx)->stopped++;
}

static void reload (void *ctx)
{
    ((rig_t *)ctx)->reloaded++;
}

static const daemon_module_t modules[] = {{"one", start_one, stop_one},
                                          {NULL, NULL, NULL}};

static void *run (void *arg)
{
    rig_t *rig = arg;

    rig->rc = daemon_run (modules, rig, rig->signals[0], rig->fatal[0], NULL, NULL,
                          reload, &rig->err);
    return NULL;
}

/* What it says next, or "" after MS of silence. */
static const char *hear (rig_t *rig, int ms)
{
    static char text[64];
    struct pollfd item = {.fd = rig->systemd, .events = POLLIN};

    text[0] = 0;
    if (poll (&item, 1, ms) > 0) {
        ssize_t n = recv (rig->systemd, text, sizeof text - 1, 0);
        assert_true (n > 0);
        text[n] = 0;
    }
    return text;
}

static void send_signal (rig_t *rig, uint32_t number)
{
    struct signalfd_siginfo info = {.ssi_signo = number};
    assert_int_equal (write (rig->signals[1], &info, sizeof info), sizeof info);
}

static int setup (void **state)
{
    static rig_t rig;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char usec[32];

    memset (&rig, 0, sizeof rig);
    strcpy (rig.dir, "/tmp/dfs-daemon-XXXXXX");
    assert_non_null (mkdtemp (rig.dir));
    snprintf (address.sun_path, sizeof address.sun_path, "%s/notify", rig.dir);
    rig.systemd = socket (AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal (bind (rig.systemd, (struct sockaddr *)&address, sizeof address),
                      0);
    setenv ("NOTIFY_SOCKET", address.sun_path, 1);
    snprintf (usec, sizeof usec, "%llu", (unsigned long long)(PERIOD / 1000));
    setenv ("WATCHDOG_USEC", usec, 1);
    assert_int_equal (pipe2 (rig.signals, O_NONBLOCK | O_CLOEXEC), 0);
    assert_int_equal (pipe2 (rig.fatal, O_NONBLOCK | O_CLOEXEC), 0);
    assert_int_equal (pthread_create (&rig.thread, NULL, run, &rig), 0);
    assert_string_equal (hear (&rig, 30000), "READY=1");
    *state = &rig;
    return 0;
}

/* Ends it and gives all back; what systemd was told last. */
static int teardown (void **state)
{
    rig_t *rig = *state;
    char path[100];

    snprintf (path, sizeof path, "%s/notify", rig->dir);
    close (rig->systemd);
    unlink (path);
    rmdir (rig->dir);
    for (int i = 0; i < 2; i++) {
        close (rig->signals[i]);
        close (rig->fatal[i]);
    }
    unsetenv ("NOTIFY_SOCKET");
    unsetenv ("WATCHDOG_USEC");
    return 0;
}

static void expect_end (rig_t *rig, int rc)
{
    const char *said;

    do
        said = hear (rig, 30000);
    while (strcmp (said, "WATCHDOG=1") == 0);
    assert_string_equal (said, "STOPPING=1");
    pthread_join (rig->thread, NULL);
    assert_int_equal (rig->rc, rc);
    assert_int_equal (rig->started, 1);
    assert_int_equal (rig->stopped, 1);
}

static void test_signals (void **state)
{
    rig_t *rig = *state;

    send_signal (rig, SIGHUP);
    send_signal (rig, SIGTERM);
    expect_end (rig, DFS_OK);
    assert_int_equal (rig->reloaded, 1);
}

static void test_failure (void **state)
{
    rig_t *rig = *state;

    assert_int_equal (write (rig->fatal[1], "x", 1), 1);
    expect_end (rig, DFS_EINTERNAL);
}

/* Fed from the start; once somebody gives signs of life, only while they come. */
static void test_watchdog (void **state)
{
    rig_t *rig = *state;

    assert_string_equal (hear (rig, 30000), "WATCHDOG=1");
    daemon_beat ();
    /* what was on its way when the beats ended may still come, but it ends */
    unsigned fed = 0;
    while (fed < 100 && strcmp (hear (rig, 10 * PERIOD / MS), "WATCHDOG=1") == 0)
        fed++;
    assert_in_range (fed, 1, 99);
    daemon_beat ();
    assert_string_equal (hear (rig, 30000), "WATCHDOG=1");
    send_signal (rig, SIGTERM);
    expect_end (rig, DFS_OK);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown (test_signals, setup, teardown),
        cmocka_unit_test_setup_teardown (test_failure, setup, teardown),
        cmocka_unit_test_setup_teardown (test_watchdog, setup, teardown),
    };

    log_setup ("test", LOG_ERROR);
    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("daemon", tests, NULL, NULL);
}
