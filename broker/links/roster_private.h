/* SPDX-License-Identifier: MPL-2.0 */
/* Inside of the roster, shared by roster.c (what comes from the log and goes to it) and
 * roster_find.c (who is who). */
#ifndef BROKER_LINKS_ROSTER_PRIVATE_H
#define BROKER_LINKS_ROSTER_PRIVATE_H

#include "broker/links/links_private.h"

/* Members or users of the directory, in order of what they are looked up by. */
typedef struct sorted {
    const void **items;
    size_t n;
} sorted_t;

/* A request that is answered when the directory shows what it changed. */
typedef struct waiter {
    struct waiter *next;
    job_t *job; /* holds a reference */
    uint64_t index;
} waiter_t;

struct roster {
    mail_directory_t *directory; /* owned, NULL at the start */
    sorted_t workers_by_id;      /* those that are not removed... */
    sorted_t workers_by_name;
    sorted_t removed_by_name; /* ...and those that are */
    sorted_t users_by_id;
    sorted_t users_by_name;
    uint64_t term; /* for which the core was told */
    bool leads;
    uint64_t led_at;    /* monotonic: leads since then */
    uint64_t answered;  /* the youngest question that was answered */
    uint64_t asked;     /* questions for a directory so far */
    uint64_t role_at;   /* the one asked at a change of role: it has all before it */
    bool chores;        /* storage was asked and has not answered */
    uint64_t idle_from; /* session from which on it looks for idle ones */
    namespace_place_t prune_from; /* likewise, for what is to be pruned... */
    uint64_t prune_at;            /* ...not before this */
    waiter_t *waiters;
};

/* The directory is another one: whoever was found before is gone. */
void roster_index (roster_t *self);
void roster_unindex (roster_t *self);

#endif
