/* SPDX-License-Identifier: MPL-2.0 */
/* Where clients and workers are: by what their locations and addresses have in common.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "broker/links/near.h"
#include "common/rng.h"

static void common_places (void **state)
{
    static const struct {
        const char *a, *b, *want;
    } cases[] = {{"dc1/r1/h1", "dc1/r1/h2", "dc1/r1"},
                 {"dc1/r1", "dc1/r1", "dc1/r1"},
                 {"dc1/r1", "dc1/r12", "dc1"},
                 {"dc1/r1", "dc1", "dc1"},
                 {"dc1", "dc1/r1", "dc1"},
                 {"dc1", "dc2", ""},
                 {"local/w1", "local/w2", "local"}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char place[64];
        strcpy (place, cases[i].a);
        near_common (place, cases[i].b);
        assert_string_equal (place, cases[i].want);
    }
}

/* A connection from 127.0.0.HOST; the end that has that for its peer. */
static int connected (int listener, const struct sockaddr_in *at, uint8_t host,
                      int *other)
{
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl (0x7f000000 | host)};

    *other = socket (AF_INET, SOCK_STREAM, 0);
    assert_true (*other >= 0);
    assert_int_equal (bind (*other, (struct sockaddr *)&from, sizeof from), 0);
    assert_int_equal (connect (*other, (const struct sockaddr *)at, sizeof *at), 0);
    int fd = accept (listener, NULL, NULL);
    assert_true (fd >= 0);
    return fd;
}

/* Who is at an address, after others came and went, in any order. */
static void who_is_near (void **state)
{
    enum { CONNS = 24, HOSTS = 5 };
    static conn_t conns[CONNS];
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl (INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket (AF_INET, SOCK_STREAM, 0), others[CONNS];
    idmap_t *map = idmap_new ();
    bool there[CONNS] = {false};
    conn_t nowhere = {.fd = -1};
    rng_t rng;

    (void)state;
    assert_int_equal (bind (listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal (listen (listener, CONNS), 0);
    assert_int_equal (getsockname (listener, (struct sockaddr *)&at, &len), 0);
    for (int i = 0; i < CONNS; i++)
        conns[i].fd = connected (listener, &at, (uint8_t)(1 + i % HOSTS), &others[i]);
    near_put (map, &nowhere);
    near_remove (map, &nowhere);
    rng_seed (&rng, 3);
    for (int step = 0; step < 2000; step++) {
        size_t i = rng_below (&rng, CONNS), host = rng_below (&rng, HOSTS), n = 0;
        uint8_t address[16];
        const conn_t *conn = NULL;

        /* Twice is as good as once. */
        for (uint64_t times = 1 + rng_below (&rng, 2); times > 0; times--)
            if (rng_below (&rng, 2)) {
                near_put (map, &conns[i]);
                there[i] = true;
            } else {
                near_remove (map, &conns[i]);
                there[i] = false;
            }
        assert_true (near_address (conns[host].fd, address));
        while ((conn = near_find (map, address, conn))) {
            assert_true (there[conn - conns]);
            assert_int_equal ((size_t)(conn - conns) % HOSTS, host);
            n++;
        }
        for (i = host; i < CONNS; i += HOSTS)
            n -= there[i];
        assert_int_equal (n, 0);
    }
    idmap_destroy (&map);
    for (int i = 0; i < CONNS; i++) {
        close (conns[i].fd);
        close (others[i]);
    }
    close (listener);
}

int main (void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test (common_places),
        cmocka_unit_test (who_is_near),
    };

    cmocka_set_message_output (CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name ("broker_near", tests, NULL, NULL);
}
