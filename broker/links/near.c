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

static uint64_t hash (const uint8_t address[16])
{
    uint64_t parts[2];

    memcpy (parts, address, sizeof parts);
    return parts[0] ^ (parts[1] << 32 | parts[1] >> 32);
}

void near_put (idmap_t *map, conn_t *conn)
{
    if (conn->near_known || !near_address (conn->fd, conn->address))
        return;
    conn->near_known = true;
    conn->near_before = NULL;
    conn->near_after = idmap_get (map, hash (conn->address));
    if (conn->near_after)
        conn->near_after->near_before = conn;
    idmap_put (map, hash (conn->address), conn);
}

void near_remove (idmap_t *map, conn_t *conn)
{
    if (!conn->near_known)
        return;
    conn->near_known = false;
    if (conn->near_after)
        conn->near_after->near_before = conn->near_before;
    if (conn->near_before)
        conn->near_before->near_after = conn->near_after;
    else if (conn->near_after)
        idmap_put (map, hash (conn->address), conn->near_after);
    else
        idmap_remove (map, hash (conn->address));
}

conn_t *near_find (const idmap_t *map, const uint8_t address[16], const conn_t *after)
{
    conn_t *conn = after ? after->near_after : idmap_get (map, hash (address));

    /* Others may have the same hash. */
    while (conn && memcmp (conn->address, address, sizeof conn->address) != 0)
        conn = conn->near_after;
    return conn;
}
