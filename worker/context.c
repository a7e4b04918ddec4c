/* SPDX-License-Identifier: MPL-2.0 */
#include <czmq.h>

#include "worker/context.h"

/* A stream session has three sockets: the stream and the two ends of its monitor. */
enum { SOCKETS_MAX = 16384 };

void *context_open (void)
{
    zsys_handler_set (NULL);
    zsys_set_max_sockets (SOCKETS_MAX);
    /* One connection lives on one I/O thread; a second pays only where encryption and
     * disk do not already fill the machine. */
    zsys_set_io_threads (sysconf (_SC_NPROCESSORS_ONLN) >= 4 ? 2 : 1);
    return zsys_init ();
}

void context_close (void)
{
    zsys_shutdown ();
}
