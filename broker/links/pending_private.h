/* SPDX-License-Identifier: MPL-2.0 */
/* Inside of pending, shared by pending.c (changes on their way) and results.c (what
 * their sessions are told). */
#ifndef BROKER_LINKS_PENDING_PRIVATE_H
#define BROKER_LINKS_PENDING_PRIVATE_H

#include "broker/links/links_private.h"

typedef struct change {
    uint64_t cookie;
    uint64_t session; /* 0: the broker's own */
    uint64_t request;
    uint64_t seq; /* of the envelope that asked */
    uint64_t done_below;
    uint32_t user;
    job_t *job;        /* until it is proposed: holds OP */
    const Dfs__Op *op; /* likewise; NULL afterwards */
    copykey_t *keys;   /* chunks that the entry names */
    size_t n_keys;
    uint64_t *lengths;  /* that it says they have */
    copykey_t *missing; /* of them, when the core refused */
    size_t n_missing;
    uint64_t upload;   /* staged upload that ends with it, 0: none */
    uint32_t replicas; /* that it should have */
    uint32_t copies;   /* fewest durable copies of any chunk, as the core knew */
    uint64_t token;    /* of the core, which wanted it; 0: nobody's */
    bool seed;         /* is the cluster's first */
    bool directory;    /* its asker is answered by the next directory */
    bool member;       /* changes members, users or policies */
    bool policy;       /* gives files another policy */
    job_t *asker;      /* of an admin's request that became an op of the broker's own */
    uint32_t round;    /* of what the asker wants; 0: there is only this entry */
    size_t held;       /* bytes that it keeps while the core is asked */
    size_t bytes;      /* of its entry, once proposed */
    uint64_t hash_index; /* it tells this state hash; 0: none */
    uint8_t hash[16];
} change_t;

struct pending {
    idmap_t *by_cookie;
    idmap_t *by_request; /* clients' changes */
    uint64_t last;
    size_t own;
    size_t own_members; /* of those, changes of members, users or policies */
    size_t in_flight;   /* bytes proposed and not applied */
    size_t held;        /* by changes that the core is asked about */
    /* the batch of this wake */
    uint8_t *bytes;
    size_t n_bytes;
    size_t cap_bytes;
    journal_proposal_t *batch; /* data: offsets into bytes until the flush */
    size_t n_batch;
    size_t cap_batch;
    session_t *touched; /* sessions with results to send */
};

void change_free (change_t *change);
/* CHANGE is decided: neither its cookie nor its request is in flight any more. */
void change_forget (pending_t *self, const change_t *change);
/* CHANGE needs the message no more that it came in. */
void change_let_go (links_t *links, change_t *change);
/* The admin who asked for CHANGE hears what became of it. */
void change_answer_asker (links_t *links, change_t *change, int code, const char *text,
                          uint64_t index);
/* CHANGE will not be proposed, or was dropped: tells the client and forgets it. */
void change_refuse (links_t *links, change_t *change, int code, const char *text,
                    const copykey_t *missing, size_t n);

/* Adds a result for the session of CHANGE; RESULT must live until results_send. */
void results_add (links_t *links, const change_t *change, Dfs__OpResult *result);
/* Sends what was added. */
void results_send (links_t *links);

#endif
