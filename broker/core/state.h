/* SPDX-License-Identifier: MPL-2.0 */
/* What the modules of the core share: the moment, the output, and each other. Private
 * to broker/core; each module owns its part and is reached by its functions. */
#ifndef BROKER_CORE_STATE_H
#define BROKER_CORE_STATE_H

#include "broker/core/core.h"
#include "broker/core/list.h"
#include "broker/core/memory.h"
#include "broker/core/planted.h"
#include "broker/core/table.h"
#include "common/dfs_error.h"
#include "common/log.h"
#include "common/rng.h"
#include "common/timer.h"
#include "common/units.h"

/* What a deadline is about; the id says which one. */
enum core_timer {
    TIMER_WORKER,  /* worker id: silence, probes */
    TIMER_GRANT,   /* grant id */
    TIMER_RETRY,   /* parked items */
    TIMER_UPLOADS, /* oldest upload */
    TIMER_ORDER,   /* replicate order */
    TIMER_COPIER,  /* jobs that could not start */
    TIMER_VERIFY,  /* verification */
    TIMER_ANNOUNCE,
    TIMER_DROPS,
    TIMER_TRIM,
    TIMER_RECLAIM,
    TIMER_UNKNOWN,
    TIMER_BALANCE,
};

struct core {
    core_config_t config; /* without zeros */
    rng_t rng;
    timer_heap_t *timers;

    /* of this step */
    uint64_t now;
    uint64_t log_time;
    uint64_t log_index;
    bool clock_off;
    actions_t *out;

    /* epoch of this broker, for grants */
    bool leader;
    uint32_t incarnation;
    uint64_t term;

    uint64_t late_at; /* last time that a step came much too late */
    uint64_t last_id; /* of tokens, orders, grants: never used twice */

    struct domains *domains;
    struct members *members;
    struct changes *changes;
    struct policies *policies;
    struct sessions *sessions;
    struct chunks *chunks;
    struct uploads *uploads;
    struct place *place;
    struct grants *grants;
    struct commits *commits;
    struct copier *copier;
    struct scan *scan;
    struct route *route;
    struct steal *steal;
    struct verify *verify;
    struct drops *drops;
    struct trim *trim;
    struct reclaim *reclaim;
    struct unknown *unknown;
    struct balance *balance;
};

static inline uint64_t core_id (core_t *core)
{
    return ++core->last_id;
}

static inline void core_timer (core_t *core, uint64_t when, enum core_timer kind,
                               uint64_t id)
{
    timer_heap_add (core->timers, when, kind, id);
}

/* A line for the log. EVENT is static. */
void core_log (core_t *core, int level, const char *event, const char *fmt, ...)
    __attribute__ ((format (printf, 4, 5)));

#endif
