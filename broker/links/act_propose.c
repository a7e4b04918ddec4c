/* SPDX-License-Identifier: MPL-2.0 */
/* Entries that the core wants: each is answered by an EVENT_PROPOSED. */
#include "broker/links/links_private.h"

static ProtobufCBinaryData packed (links_t *self, const copykey_t *key)
{
    uint8_t *at = links_need (self, COPYKEY_LEN);

    copykey_pack (key, at);
    return (ProtobufCBinaryData){.len = COPYKEY_LEN, .data = at};
}

static void condemn (links_t *self, const action_propose_t *a, Dfs__Op *op)
{
    Dfs__OpCondemn *out = links_need (self, sizeof *out);

    dfs__op_condemn__init (out);
    out->items = links_need (self, a->n * sizeof *out->items);
    for (size_t i = 0; i < a->n; i++) {
        Dfs__CondemnItem *item = links_need (self, sizeof *item);

        dfs__condemn_item__init (item);
        item->key = packed (self, &a->items[i].key);
        item->has_length = a->items[i].length > 0;
        item->length = a->items[i].length;
        out->items[out->n_items++] = item;
    }
    op->op_case = DFS__OP__OP_CONDEMN;
    op->condemn = out;
}

static Dfs__DropItem **drop_items (links_t *self, const action_propose_t *a)
{
    Dfs__DropItem **items = links_need (self, a->n * sizeof *items);

    for (size_t i = 0; i < a->n; i++) {
        Dfs__DropItem *item = items[i] = links_need (self, sizeof *item);

        dfs__drop_item__init (item);
        item->key = packed (self, &a->items[i].key);
        item->worker = a->items[i].worker;
        item->birth_limit = a->items[i].limit;
        item->keep = links_need (self, a->items[i].n_keep * sizeof *item->keep);
        for (uint32_t k = 0; k < a->items[i].n_keep; k++)
            item->keep[item->n_keep++] = a->items[i].keep[k];
    }
    return items;
}

static void drop (links_t *self, const action_propose_t *a, Dfs__Op *op)
{
    Dfs__OpDrop *out = links_need (self, sizeof *out);

    dfs__op_drop__init (out);
    out->why = a->n > 0 && a->items[0].trim ? DFS__DROP_WHY__DROP_TRIM
                                            : DFS__DROP_WHY__DROP_RECLAIM;
    out->items = drop_items (self, a);
    out->n_items = a->n;
    op->op_case = DFS__OP__OP_DROP;
    op->drop = out;
}

static void dropped (links_t *self, const action_propose_t *a, Dfs__Op *op)
{
    Dfs__OpDropped *out = links_need (self, sizeof *out);

    dfs__op_dropped__init (out);
    out->items = drop_items (self, a);
    out->n_items = a->n;
    op->op_case = DFS__OP__OP_DROPPED;
    op->dropped = out;
}

static void forget (links_t *self, const action_propose_t *a, Dfs__Op *op)
{
    Dfs__OpForget *out = links_need (self, sizeof *out);

    dfs__op_forget__init (out);
    out->keys = links_need (self, a->n * sizeof *out->keys);
    for (size_t i = 0; i < a->n; i++)
        out->keys[out->n_keys++] = packed (self, &a->items[i].key);
    op->op_case = DFS__OP__OP_FORGET;
    op->forget = out;
}

static void hold (links_t *self, const action_propose_t *a, Dfs__Op *op)
{
    Dfs__OpReclaimHold *out = links_need (self, sizeof *out);

    dfs__op_reclaim_hold__init (out);
    out->held = true;
    out->why = a->why ? links_text (self, a->why) : NULL;
    op->op_case = DFS__OP__OP_RECLAIM_HOLD;
    op->reclaim_hold = out;
}

void act_propose (links_t *self, const action_t *action)
{
    const action_propose_t *a = &action->u.propose;
    Dfs__Op op = DFS__OP__INIT;

    switch (a->what) {
    case PROPOSE_CONDEMN:
        condemn (self, a, &op);
        break;
    case PROPOSE_DROP:
        drop (self, a, &op);
        break;
    case PROPOSE_DROPPED:
        dropped (self, a, &op);
        break;
    case PROPOSE_FORGET:
        forget (self, a, &op);
        break;
    default:
        hold (self, a, &op);
    }
    pending_core (self, &op, a->token);
}
