/* SPDX-License-Identifier: MPL-2.0 */
/* What goes wrong, and how brokers that have lost their data are replaced. */
#include <stdio.h>
#include <string.h>

#include "raft_world_private.h"

static void cut_links (void)
{
    unsigned n = world.config->brokers;
    memset (world.cut, 0, sizeof world.cut);
    unsigned side = between (1, (1u << n) - 2);
    bool one_way = chance (200);
    world.count->cuts++;
    world.count->one_way += one_way;
    for (unsigned i = 1; i <= n; i++)
        for (unsigned k = 1; k <= n; k++) {
            bool a = side >> (i - 1) & 1, c = side >> (k - 1) & 1;
            world.cut[i][k] = a != c && (!one_way || a);
        }
}

/* --- lost data --- */

/* No more than one at a time, and only while there is one to take its place. */
static bool may_lose (const broker_t *b)
{
    if (!world.config->replace || world.lost || !b->member || b->lost ||
        world.fresh > world.config->brokers)
        return false;
    for (unsigned i = 1; i <= world.config->brokers; i++)
        if (has_flipped (&world.brokers[i]))
            return false;
    return true;
}

void lose (broker_t *b)
{
    world.count->lost_brokers++;
    b->lost = true;
    world.lost = (unsigned)b->id;
}

/* A record that was durable cannot be read any more; nobody knows yet. */
static void flip (broker_t *b)
{
    if (b->n < 30)
        return;
    b->log[rng_below (&world.rng, b->n - 20)].flipped = true;
    world.count->flips++;
}

static const raft_server_info_t *server_of (const raft_server_info_t *s, size_t n,
                                            uint64_t id)
{
    for (size_t i = 0; i < n; i++)
        if (s[i].id == id)
            return &s[i];
    return NULL;
}

/* One step: the fresh one joins, becomes a voter, the lost one leaves. */
void exchange (broker_t *b)
{
    raft_server_info_t s[BROKERS];
    size_t n = raft_driver_servers (b->driver, s, BROKERS);
    const raft_server_info_t *fresh = server_of (s, n, world.fresh);
    uint64_t id = world.fresh, last = raft_driver_last (b->driver);
    enum raft_member role = MEMBER_STANDBY;
    char address[32];
    if (raft_driver_changing (b->driver) || !raft_driver_leads (b->driver))
        return;
    if (fresh && fresh->role != MEMBER_VOTER) {
        role = MEMBER_VOTER;
        if (fresh->match + 100 >= last && world.now > world.held_at + 1500) {
            world.held_at = world.now;
            world.hold_until = world.now + 300;
        }
    } else if (fresh && server_of (s, n, world.lost)) {
        id = world.lost;
        role = MEMBER_GONE;
    } else if (fresh) {
        world.brokers[world.lost].member = false;
        world.brokers[world.fresh++].member = true;
        world.lost = 0;
        world.hold_until = 0;
        world.count->replaced_brokers++;
        return;
    }
    snprintf (address, sizeof address, "broker-%" PRIu64, id);
    raft_driver_change (b->driver, time_of (b), id, address, role, NULL);
}

/* --- all the rest --- */

/* A disk, a clock or a whole process; false: this world has no such faults. */
static bool more_faults (broker_t *b)
{
    const world_config_t *c = world.config;
    switch (between (0, 5)) {
    case 0:
        if (!c->disks)
            return false;
        b->full_until = world.now + between (100, 5000);
        world.count->fulls++;
        return true;
    case 1:
        if (!c->clocks)
            return false;
        b->skew += between (10, 8000);
        world.count->jumps++;
        return true;
    case 2:
        if (!c->clocks || !b->up)
            return false;
        b->paused_until = world.now + between (50, 4000);
        world.count->pauses++;
        return true;
    case 3:
        if (!may_lose (b))
            return false;
        flip (b);
        return true;
    case 4:
        if (!may_lose (b) || !b->up)
            return false;
        crash (b); /* its disk is another one */
        lose (b);
        return true;
    default:
        if (!c->disks)
            return false;
        b->hangs_until = world.now + between (100, 5000);
        world.count->stands++;
        return true;
    }
}

static void usual_fault (broker_t *b)
{
    unsigned kind = between (0, 9);
    if (kind <= 3 && b->up) {
        crash (b);
        later (between (5, 2500), RESTART, b);
    } else if (kind <= 6 && world.config->brokers > 1) {
        cut_links ();
    } else if (kind <= 8) {
        memset (world.cut, 0, sizeof world.cut);
    } else if (b->up && raft_driver_role (b->driver) == JOURNAL_LEADER) {
        world.count->transfers++;
        raft_driver_transfer (b->driver, time_of (b), 0, NULL);
    }
}

void fault (void)
{
    if (!world.faulty)
        return;
    broker_t *b = &world.brokers[between (1, world.config->brokers)];
    if (!chance (400) || !more_faults (b))
        usual_fault (b);
    later (between (50, 1200), FAULT, NULL);
}
