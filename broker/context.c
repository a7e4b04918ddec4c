/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/context.h"

#include <czmq.h>

void *context_open (void)
{
    zsys_handler_set (NULL);
    return zsys_init ();
}

void context_close (void)
{
    zsys_shutdown ();
}
