/* SPDX-License-Identifier: MPL-2.0 */
/* Who is who: workers and users by name and number, policies. Each message of a client
 * asks, so none of it depends on how many there are. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "broker/links/roster_private.h"

/* --- order; the second kind compares what is looked for with an item --- */

static int order_numbers (uint32_t a, uint32_t b)
{
    return a < b ? -1 : a > b;
}

static int member_ids (const void *a, const void *b)
{
    return order_numbers ((*(const Dfs__Member *const *)a)->id,
                          (*(const Dfs__Member *const *)b)->id);
}

static int member_names (const void *a, const void *b)
{
    return strcmp ((*(const Dfs__Member *const *)a)->name,
                   (*(const Dfs__Member *const *)b)->name);
}

static int user_ids (const void *a, const void *b)
{
    return order_numbers ((*(const Dfs__User *const *)a)->id,
                          (*(const Dfs__User *const *)b)->id);
}

static int user_names (const void *a, const void *b)
{
    return strcmp ((*(const Dfs__User *const *)a)->name,
                   (*(const Dfs__User *const *)b)->name);
}

static int member_has_id (const void *id, const void *item)
{
    return order_numbers (*(const uint32_t *)id,
                          (*(const Dfs__Member *const *)item)->id);
}

static int member_has_name (const void *name, const void *item)
{
    return strcmp (name, (*(const Dfs__Member *const *)item)->name);
}

static int user_has_id (const void *id, const void *item)
{
    return order_numbers (*(const uint32_t *)id, (*(const Dfs__User *const *)item)->id);
}

static int user_has_name (const void *name, const void *item)
{
    return strcmp (name, (*(const Dfs__User *const *)item)->name);
}

/* --- tables --- */

static void make (sorted_t *self, size_t most)
{
    free (self->items);
    self->items = calloc (most + 1, sizeof *self->items);
    assert (self->items);
    self->n = 0;
}

static void sort (sorted_t *self, int (*order) (const void *, const void *))
{
    qsort (self->items, self->n, sizeof *self->items, order);
}

static const void *search (const sorted_t *self, const void *key,
                           int (*compare) (const void *, const void *))
{
    const void *const *found =
        self->n > 0 ? bsearch (key, self->items, self->n, sizeof *self->items, compare)
                    : NULL;

    return found ? *found : NULL;
}

void roster_index (roster_t *self)
{
    const mail_directory_t *d = self->directory;

    make (&self->workers_by_id, d->n_members);
    make (&self->workers_by_name, d->n_members);
    make (&self->removed_by_name, d->n_members);
    make (&self->users_by_id, d->n_users);
    make (&self->users_by_name, d->n_users);
    for (size_t i = 0; i < d->n_members; i++) {
        const Dfs__Member *m = d->members[i];

        if (m->role != DFS__MEMBER_ROLE__MEMBER_WORKER)
            continue;
        if (m->has_removed && m->removed) {
            self->removed_by_name.items[self->removed_by_name.n++] = m;
            continue;
        }
        self->workers_by_id.items[self->workers_by_id.n++] = m;
        self->workers_by_name.items[self->workers_by_name.n++] = m;
    }
    for (size_t i = 0; i < d->n_users; i++) {
        self->users_by_id.items[self->users_by_id.n++] = d->users[i];
        self->users_by_name.items[self->users_by_name.n++] = d->users[i];
    }
    sort (&self->workers_by_id, member_ids);
    sort (&self->workers_by_name, member_names);
    sort (&self->removed_by_name, member_names);
    sort (&self->users_by_id, user_ids);
    sort (&self->users_by_name, user_names);
}

void roster_unindex (roster_t *self)
{
    free (self->workers_by_id.items);
    free (self->workers_by_name.items);
    free (self->removed_by_name.items);
    free (self->users_by_id.items);
    free (self->users_by_name.items);
}

/* --- questions --- */

const Dfs__Member *roster_worker (const roster_t *self, const char *name)
{
    return search (&self->workers_by_name, name, member_has_name);
}

bool roster_was_worker (const roster_t *self, const char *name)
{
    return search (&self->removed_by_name, name, member_has_name) != NULL;
}

const Dfs__Member *roster_worker_id (const roster_t *self, uint32_t id)
{
    return search (&self->workers_by_id, &id, member_has_id);
}

const Dfs__User *roster_user (const roster_t *self, const char *name)
{
    return search (&self->users_by_name, name, user_has_name);
}

Dfs__Policy *roster_policy (const roster_t *self)
{
    return self->directory ? self->directory->policy : NULL;
}

Dfs__Policy **roster_policies (const roster_t *self, size_t *n)
{
    *n = self->directory ? self->directory->n_policies : 0;
    return self->directory ? self->directory->policies : NULL;
}

bool roster_policies_many (const roster_t *self)
{
    return self->directory && self->directory->n_policies > 1;
}

bool roster_admin (const roster_t *self, uint32_t user)
{
    const Dfs__User *u = search (&self->users_by_id, &user, user_has_id);

    return u && u->has_admin && u->admin;
}

uint32_t roster_replicas (const roster_t *self, uint32_t policy)
{
    for (size_t i = 0; self->directory && i < self->directory->n_policies; i++)
        if (self->directory->policies[i]->id == (policy ? policy : 1))
            return self->directory->policies[i]->replicas;
    return 0;
}
