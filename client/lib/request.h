/* SPDX-License-Identifier: MPL-2.0 */
/* Questions to the broker that change nothing: each has a sequence number, is kept
 * until it is answered, and is asked again after a lost connection or a long silence.
 * One thread. */
#ifndef CLIENT_LIB_REQUEST_H
#define CLIENT_LIB_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/lib/conn.h"
#include "client/lib/trace.h"

typedef struct requests requests_t;

/* CODE < 0: refused (or dropped by requests_fail), ERR has the text and REPLY may be
 * NULL. REPLY is borrowed during the call. */
typedef void (request_done_f) (void *arg, int code, const Dfs__Envelope *reply,
                               const dfs_error_t *err);

/* Borrows CONN. */
requests_t *requests_new (conn_t *conn);
/* Drops what is open without calling anybody. */
void requests_destroy (requests_t **self_p);

/* Marks what is sent from now on as part of one operation, 0 none (Envelope.trace). */
void requests_set_trace (requests_t *self, uint64_t trace);
/* Where to note how long answers took, and ask brokers and workers for their part;
 * NULL: nowhere. Borrowed. */
void requests_set_hops (requests_t *self, trace_t *hops);
trace_t *requests_hops (const requests_t *self);
/* How long answers are worth something; 0: always. */
void requests_set_patience (requests_t *self, uint64_t ns);
uint64_t requests_trace (const requests_t *self);
/* Next sequence number, for messages that are sent elsewhere (changes). */
uint64_t requests_seq (requests_t *self);
/* Packs ENV (session and seq are filled in) and sends it, now or when connected. It is
 * asked again after RETRY_NS without an answer (0: a default). Returns its number, or 0
 * when it is too large for a message. */
uint64_t requests_send (requests_t *self, Dfs__Envelope *env, uint64_t retry_ns,
                        request_done_f *done, void *arg);
/* ENV was received: true when it answers a question (whose done () was called, or which
 * will be asked again). */
bool requests_answer (requests_t *self, const Dfs__Envelope *env, uint64_t now);
/* Connected again. */
void requests_resend (requests_t *self);
/* Repeats what is due. Returns when it wants to be called again. */
uint64_t requests_tick (requests_t *self, uint64_t now);
/* Forgets the questions of ARG (NULL: all), calling nobody. */
void requests_forget (requests_t *self, const void *arg);
/* Forgets all, giving each one's argument to RELEASE. */
void requests_cancel (requests_t *self, void (*release) (void *arg));
size_t requests_open (const requests_t *self);

#endif
