/* SPDX-License-Identifier: MPL-2.0 */
/* What is to happen, in order of time. */
#include <stdlib.h>

#include "raft_world_private.h"

static bool earlier (const event_t *a, const event_t *b)
{
    return a->at < b->at || (a->at == b->at && a->order < b->order);
}

void add_event (event_t event)
{
    event.order = world.order++;
    if (world.n == world.cap) {
        world.cap = world.cap ? world.cap * 2 : 1024;
        world.heap = reallocarray (world.heap, world.cap, sizeof event);
        if (!world.heap)
            abort ();
    }
    size_t i = world.n++;
    for (; i && earlier (&event, &world.heap[(i - 1) / 2]); i = (i - 1) / 2)
        world.heap[i] = world.heap[(i - 1) / 2];
    world.heap[i] = event;
}

event_t next_event (void)
{
    event_t first = world.heap[0], last = world.heap[--world.n];
    size_t i = 0;
    for (size_t c = 1; c < world.n; i = c, c = 2 * i + 1) {
        if (c + 1 < world.n && earlier (&world.heap[c + 1], &world.heap[c]))
            c++;
        if (!earlier (&world.heap[c], &last))
            break;
        world.heap[i] = world.heap[c];
    }
    world.heap[i] = last;
    return first;
}

void later (unsigned ms, enum event_kind kind, const broker_t *b)
{
    add_event ((event_t){.at = world.now + ms,
                         .kind = kind,
                         .broker = b ? (unsigned)b->id : 0,
                         .run = b ? b->run : 0});
}
