/* SPDX-License-Identifier: MPL-2.0 */
#include "broker/core/credit.h"

#include <assert.h>

enum lane credit_lane (const core_t *core, uint64_t length)
{
    return length <= core->config.credit_min ? LANE_SMALL : LANE_LARGE;
}

uint64_t credit_share (const core_t *core, uint64_t length, size_t active)
{
    const core_config_t *config = &core->config;
    uint64_t share = config->ingest_window / (active > 0 ? active : 1);

    if (share > config->credit_max)
        share = config->credit_max;
    if (share < config->credit_min)
        share = config->credit_min;
    return length < share ? length : share;
}

uint64_t credit_session_cap (const core_t *core, size_t active)
{
    size_t workers;

    members_placeable (core, &workers);
    return core->config.ingest_window * (workers > 0 ? workers : 1) /
           (active > 0 ? active : 1);
}

bool credit_fits (const core_t *core, const worker_t *worker, enum lane lane,
                  uint64_t bytes)
{
    const core_config_t *config = &core->config;
    uint64_t kept = lane == LANE_REPAIR ? 0 : config->reserve_repair;

    if (lane == LANE_LARGE)
        kept += config->reserve_small;
    return worker->granted + bytes + kept <= config->ingest_window;
}

void credit_take (worker_t *worker, uint64_t bytes)
{
    worker->granted += bytes;
}

void credit_give (worker_t *worker, uint64_t bytes)
{
    assert (worker->granted >= bytes);
    worker->granted -= bytes;
}
