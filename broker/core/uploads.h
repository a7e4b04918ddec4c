/* SPDX-License-Identifier: MPL-2.0 */
/* Uploads and the chunks they pin. A pin is one chunk of one upload on its way from
 * Place to the commit; it outlives the session's connection, until the upload times
 * out. */
#ifndef BROKER_CORE_UPLOADS_H
#define BROKER_CORE_UPLOADS_H

#include "broker/core/chunks.h"
#include "broker/core/policies.h"
#include "broker/core/sessions.h"

typedef struct uploads uploads_t;

typedef struct upload {
    uint64_t session;
    uint64_t id;
    uint32_t policy;
    uint64_t touched; /* last sign of the client */
    list_t pins;
    list_t owned; /* in its owner's list */
    list_t lru;
} upload_t;

enum pin_state {
    PIN_LOOKUP,  /* storage is asked for copies */
    PIN_PARKED,  /* waits for credit or workers */
    PIN_SENT,    /* the client has a grant */
    PIN_MENDING, /* some copies are durable, the copier makes the others */
    PIN_DURABLE,
};

typedef struct pin {
    upload_t *upload;
    chunk_t *chunk;
    list_t in_upload;
    list_t in_chunk;
    list_t queue; /* PARKED: of the session's lane; DURABLE: oldest first */
    enum pin_state state;
    uint64_t length;           /* as its client says */
    struct request *request;   /* Place that waits for its answer, NULL none */
    struct grant_given *grant; /* PIN_SENT */
    uint32_t promise;          /* copies that make it durable */
    uint64_t since;            /* when it was asked for */
    uint32_t *avoid;           /* owned */
    uint32_t n_avoid;
} pin_t;

uploads_t *uploads_new (void);
void uploads_destroy (uploads_t **self_p);

/* The upload, made if need be; marks it as touched. */
upload_t *uploads_get (core_t *core, uint64_t session, uint64_t id, uint32_t policy);
upload_t *uploads_find (const core_t *core, uint64_t session, uint64_t id);
/* Frees it when nothing is pinned. */
void uploads_unused (core_t *core, upload_t *upload);
pin_t *uploads_pin (const core_t *core, const upload_t *upload, const copykey_t *key);
/* A new pin, PIN_LOOKUP; NULL when there are too many that cannot be forgotten. */
pin_t *uploads_pin_new (core_t *core, upload_t *upload, const copykey_t *key,
                        uint64_t length);
/* Ends its grant, takes it out of every queue, frees it. */
void uploads_unpin (core_t *core, pin_t *pin);
/* Everything durable: pinned until the commit. */
void uploads_pin_durable (core_t *core, pin_t *pin);
/* Policy of a pin's upload; the default's when it has gone. */
const core_policy_t *uploads_policy (const core_t *core, const pin_t *pin);

/* --- events --- */

void uploads_committed (core_t *core, const event_committed_t *event);
void uploads_done (core_t *core, uint64_t session, uint64_t id);
void uploads_session_gone (core_t *core, session_t *session);
void uploads_timer (core_t *core);
/* The copies of CHUNK changed: looks at each of its pins. */
void uploads_chunk_changed (core_t *core, chunk_t *chunk);
/* The copier finds no further target for CHUNK: fewer copies may have to do. */
void uploads_copy_stuck (core_t *core, chunk_t *chunk);

void uploads_count (const core_t *core, uint64_t *uploads, uint64_t *pins);

#endif
