/* SPDX-License-Identifier: MPL-2.0 */
/* Announcements: who leads, under which epoch, log time, which workers are lost. Hints,
 * numbered; the core has them sent at every interval, and at once when something
 * changed. */
#include "broker/links/links_private.h"

static void announce_now (links_t *self)
{
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Announcement a = DFS__ANNOUNCEMENT__INIT;
    Dfs__Epoch epoch = DFS__EPOCH__INIT;

    if (!roster_seeded (self->roster))
        return;
    epoch.incarnation = self->incarnation;
    epoch.term = self->term;
    a.number = ++self->announced;
    a.broker = self->config.broker->name;
    a.epoch = &epoch;
    const char *leader = links_leader (self);
    a.leader = leader ? links_text (self, leader) : NULL;
    a.has_log_time_ns = a.has_log_index = a.has_directory_version = true;
    a.log_time_ns = links_log_time (self);
    a.log_index = self->log_index;
    a.directory_version = self->directory_version;
    a.lost_workers = self->lost;
    a.n_lost_workers = self->n_lost;
    env.body_case = DFS__ENVELOPE__BODY_ANNOUNCEMENT;
    env.announcement = &a;
    int rc = envelope_send (self->announce, NULL, 'A', &env);
    if (rc < 0)
        log_debug ("announce_failed", "code=%s", dfs_error_name (rc));
}

void announce_set (links_t *self, const action_announce_t *what)
{
    self->directory_version = what->directory_version;
    self->n_lost = 0;
    for (size_t i = 0; i < what->n_lost && i < LOST_MAX; i++)
        self->lost[self->n_lost++] = what->lost[i];
    announce_now (self);
}
