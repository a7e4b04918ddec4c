/* SPDX-License-Identifier: MPL-2.0 */
#include <assert.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib_fake.h"

/* What stands before a broker that is down: a proxy, a port forwarder. */
void fake_hang_up (fake_t *self)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons (self->port),
                             .sin_addr.s_addr = htonl (INADDR_LOOPBACK)};
    struct pollfd item = {.fd = socket (AF_INET, SOCK_STREAM, 0), .events = POLLIN};
    int one = 1;

    setsockopt (item.fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    while (bind (item.fd, (struct sockaddr *)&at, sizeof at) < 0)
        usleep (1000);
    int rc = listen (item.fd, 8);
    assert (rc == 0);
    while (self->knobs.hang_ups > 0 && !atomic_load (&self->stop))
        if (poll (&item, 1, 20) == 1) {
            self->knobs.hang_ups--;
            close (accept (item.fd, NULL, NULL));
        }
    close (item.fd);
}
