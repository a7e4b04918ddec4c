/* SPDX-License-Identifier: MPL-2.0 */
/* A ring of nodes inside other structs. The owner of the struct owns the node; a node
 * that is in no list points to itself. */
#ifndef BROKER_CORE_LIST_H
#define BROKER_CORE_LIST_H

#include <stdbool.h>
#include <stddef.h>

typedef struct list {
    struct list *next;
    struct list *prev;
} list_t;

#define LIST_OF(node, type, field)                                                     \
    ((type *)(void *)((char *)(node)-offsetof (type, field)))

static inline void list_init (list_t *node)
{
    node->next = node;
    node->prev = node;
}

static inline bool list_empty (const list_t *head)
{
    return head->next == head;
}

static inline void list_remove (list_t *node)
{
    node->prev->next = node->next;
    node->next->prev = node->prev;
    list_init (node);
}

/* At the end. NODE must be in no list. */
static inline void list_push (list_t *head, list_t *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

/* Moves all nodes of FROM to the end of TO. */
static inline void list_move_all (list_t *to, list_t *from)
{
    if (list_empty (from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    list_init (from);
}

#endif
