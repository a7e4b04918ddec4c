/* SPDX-License-Identifier: MPL-2.0 */
/* Changes of the set of brokers, one at a time, and of who leads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "raft_private.h"

static int build (const struct raft_configuration *now, uint64_t id,
                  const char *address, enum raft_member role,
                  struct raft_configuration *next)
{
    bool found = false;
    int rv = 0;
    raft_configuration_init (next);
    for (unsigned i = 0; i < now->n && rv == 0; i++) {
        const struct raft_server *s = &now->servers[i];
        found |= s->id == id;
        if (s->id != id)
            rv = raft_configuration_add (next, s->id, s->address, s->role);
        else if (role != MEMBER_GONE)
            rv = raft_configuration_add (
                next, id, s->address, role == MEMBER_VOTER ? RAFT_VOTER : RAFT_STANDBY);
    }
    if (!found && rv == 0)
        rv = raft_configuration_add (next, id, address,
                                     role == MEMBER_VOTER ? RAFT_VOTER : RAFT_STANDBY);
    return rv;
}

int raft_driver_change (raft_driver_t *self, uint64_t now, uint64_t id,
                        const char *address, enum raft_member role, dfs_error_t *err)
{
    if (self->failed.code)
        return fail (err, self->failed.code, "%s", self->failed.text);
    int rc = guard_change (&self->r, driver_term_of (self, self->r.commit_index), err);
    if (rc != DFS_OK)
        return rc;
    struct raft_configuration next;
    struct raft_buffer buf = {0};
    if (build (&self->r.configuration, id, address, role, &next) != 0)
        rc = fail (err, DFS_EINVAL, "broker %llu at %s cannot be added",
                   (unsigned long long)id, address ? address : "no address");
    if (rc == DFS_OK)
        rc = guard_members (&self->r, &next, err);
    if (rc == DFS_OK &&
        (raft_configuration_encode (&next, &buf) != 0 || buf.len > POINT_CONF_MAX))
        rc = fail (err, DFS_ETOOBIG, "too many brokers");
    if (rc == DFS_OK) {
        struct raft_entry entry = {self->r.current_term, RAFT_CHANGE, buf,
                                   raft_borrowed};
        struct raft_event event = {.time = now, .type = RAFT_SUBMIT};
        event.submit.entries = &entry;
        event.submit.n = 1;
        int rv = driver_step (self, &event, NULL);
        if (rv != 0)
            rc = fail (err, DFS_EAGAIN, "consensus: %s", raft_strerror (rv));
    }
    raft_free (buf.base);
    raft_configuration_close (&next);
    return rc;
}

int raft_driver_transfer (raft_driver_t *self, uint64_t now, uint64_t id,
                          dfs_error_t *err)
{
    if (self->failed.code)
        return fail (err, self->failed.code, "%s", self->failed.text);
    struct raft_event event = {.time = now, .type = RAFT_TRANSFER};
    event.transfer.server_id = id;
    int rv = driver_step (self, &event, NULL);
    if (rv != 0)
        return fail (err, rv == RAFT_NOTLEADER ? DFS_ENOTLEADER : DFS_EUNAVAIL,
                     "consensus: %s", raft_strerror (rv));
    return DFS_OK;
}

size_t raft_driver_servers (const raft_driver_t *self, raft_server_info_t *out,
                            size_t max)
{
    const struct raft_configuration *c = &self->r.configuration;
    size_t n = c->n < max ? c->n : max;
    for (size_t i = 0; i < n; i++) {
        const struct raft_server *s = &c->servers[i];
        raft_index match = 0;
        if (self->role != JOURNAL_LEADER ||
            raft_match_index (&self->r, s->id, &match) != 0)
            match = 0;
        out[i] = (raft_server_info_t){.id = s->id,
                                      .role = s->role == RAFT_VOTER ? MEMBER_VOTER
                                                                    : MEMBER_STANDBY,
                                      .match = match};
        snprintf (out[i].address, sizeof out[i].address, "%s", s->address);
    }
    return n;
}

uint64_t raft_driver_changing (const raft_driver_t *self)
{
    return self->r.configuration_uncommitted_index;
}

bool raft_driver_names (const uint8_t *entry, size_t len, uint64_t id)
{
    struct raft_configuration conf;
    struct raft_buffer buf = {(void *)(uintptr_t)entry, len};
    bool found = false;
    if (len > POINT_CONF_MAX || guard_configuration (&buf, &conf, NULL))
        return false;
    for (unsigned i = 0; i < conf.n; i++)
        found |= conf.servers[i].id == id;
    raft_configuration_close (&conf);
    return found;
}
