/* SPDX-License-Identifier: MPL-2.0 */
/* What the core wants clients to hear: grants, durable chunks, who sends what. */
#include <string.h>

#include "broker/links/links_private.h"
#include "msgs/check.h"
#include "msgs/grant.h"

static Dfs__PlacedItem *one_placed (links_t *self, const core_placed_t *p)
{
    Dfs__PlacedItem *item = links_need (self, sizeof *item);

    dfs__placed_item__init (item);
    item->key = links_need (self, sizeof *item->key);
    check_put_copykey (&p->key, item->key);
    item->index = p->index;
    item->has_copies = true;
    item->copies = p->copies;
    if (p->code < 0) {
        item->has_code = true;
        item->code = p->code;
        item->text = links_text (self, dfs_error_text (p->code));
    } else if (p->have) {
        item->has_have = item->have = true;
    } else {
        grant_t grant = p->grant;
        grant.key_id = GRANT_KEY_ID;
        item->has_grant = true;
        item->grant.data = links_need (self, GRANT_LEN_MAX);
        item->grant.len = grant_pack (&grant, self->config.grant_key, item->grant.data);
        item->n_targets = grant.n_targets;
        item->targets = arena_dup (self->scratch, grant.targets, sizeof grant.targets);
        item->has_credit = true;
        item->credit = p->credit;
    }
    return item;
}

void act_placed (links_t *self, const action_t *action)
{
    const action_placed_t *a = &action->u.placed;
    session_t *session = clients_get (self->clients, a->session);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Placed placed = DFS__PLACED__INIT;

    if (!session)
        return;
    placed.upload = a->upload;
    placed.items = links_need (self, a->n * sizeof *placed.items);
    for (size_t i = 0; i < a->n; i++)
        placed.items[placed.n_items++] = one_placed (self, &a->items[i]);
    placed.workers = links_need (self, a->n_workers * sizeof *placed.workers);
    for (size_t i = 0; i < a->n_workers; i++)
        placed.workers[placed.n_workers++] = links_worker (self, &a->workers[i]);
    env.has_seq = true;
    env.seq = a->seq;
    env.body_case = DFS__ENVELOPE__BODY_PLACED;
    env.placed = &placed;
    front_send (self, session, &env);
}

void act_durable (links_t *self, const action_t *action)
{
    const action_durable_t *a = &action->u.durable;
    session_t *session = clients_get (self->clients, a->session);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Durable durable = DFS__DURABLE__INIT;

    if (!session)
        return;
    durable.items = links_need (self, a->n * sizeof *durable.items);
    for (size_t i = 0; i < a->n; i++) {
        const core_durable_t *d = &a->items[i];
        Dfs__DurableItem *item = links_need (self, sizeof *item);

        dfs__durable_item__init (item);
        item->upload = d->upload;
        item->key = links_need (self, sizeof *item->key);
        check_put_copykey (&d->key, item->key);
        item->copies = d->copies;
        if (d->code < 0) {
            item->has_code = true;
            item->code = d->code;
            item->text = links_text (self, dfs_error_text (d->code));
        }
        durable.items[durable.n_items++] = item;
    }
    env.body_case = DFS__ENVELOPE__BODY_DURABLE;
    env.durable = &durable;
    front_send (self, session, &env);
}

void act_fetching (links_t *self, const action_t *action)
{
    const action_fetching_t *a = &action->u.fetching;
    session_t *session = clients_get (self->clients, a->session);
    Dfs__Envelope env = DFS__ENVELOPE__INIT;
    Dfs__Fetching fetching = DFS__FETCHING__INIT;
    Dfs__Status status = DFS__STATUS__INIT;

    if (!session)
        return;
    fetching.pieces = links_need (self, a->n * sizeof *fetching.pieces);
    for (size_t i = 0; i < a->n; i++) {
        const core_fetching_t *f = &a->pieces[i];
        Dfs__FetchingPiece *piece = links_need (self, sizeof *piece);

        dfs__fetching_piece__init (piece);
        piece->piece = f->piece;
        piece->worker = f->worker;
        if (f->code < 0) {
            piece->has_code = true;
            piece->code = f->code;
            piece->text = links_text (self, dfs_error_text (f->code));
        }
        fetching.pieces[fetching.n_pieces++] = piece;
    }
    env.has_seq = a->seq != 0;
    env.seq = a->seq;
    if (a->code < 0) {
        status.code = a->code;
        status.text = links_text (self, dfs_error_text (a->code));
        env.status = &status;
    } else {
        env.body_case = DFS__ENVELOPE__BODY_FETCHING;
        env.fetching = &fetching;
    }
    front_send (self, session, &env);
}
