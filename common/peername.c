/* SPDX-License-Identifier: MPL-2.0 */
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "peername.h"

void peername_text (int fd, char *out, size_t cap)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    char buf[INET6_ADDRSTRLEN], port[8];
    snprintf (out, cap, "-");
    if (getpeername (fd, (struct sockaddr *)&addr, &len) < 0 ||
        getnameinfo ((struct sockaddr *)&addr, len, buf, sizeof buf, port, sizeof port,
                     NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return;
    /* IPv4 at a socket for both kinds is written as at one of its own. */
    const char *host = strncmp (buf, "::ffff:", 7) == 0 ? buf + 7 : buf;
    if (strchr (host, ':'))
        snprintf (out, cap, "[%s]:%s", host, port);
    else
        snprintf (out, cap, "%s:%s", host, port);
}
