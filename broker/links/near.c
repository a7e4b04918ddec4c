/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/links/near.h"

#include <stddef.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

bool near_address (int fd, uint8_t out[16])
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;

    if (fd < 0 || getpeername (fd, (struct sockaddr *)&addr, &len) < 0)
        return false;
    if (addr.ss_family == AF_INET6) {
        memcpy (out, &((struct sockaddr_in6 *)&addr)->sin6_addr, 16);
        return true;
    }
    if (addr.ss_family != AF_INET)
        return false;
    memset (out, 0, 10);
    out[10] = out[11] = 0xff;
    memcpy (out + 12, &((struct sockaddr_in *)&addr)->sin_addr, 4);
    return true;
}

void near_common (char *place, const char *other)
{
    size_t end = 0, i = 0;

    for (;; i++) {
        bool stop = place[i] == '/' || place[i] == 0;
        if (stop && (other[i] == '/' || other[i] == 0))
            end = i;
        if (place[i] == 0 || place[i] != other[i])
            break;
    }
    place[end] = 0;
}
