/* SPDX-License-Identifier: MPL-2.0 */
/* The copier makes missing copies, worker to worker: of chunks that an upload waits
 * for, of chunks that lost copies. Fewest live copies first, then oldest; many at once
 * over the whole cluster, bounded per worker; tried elsewhere when it fails. */
#ifndef BROKER_CORE_COPIER_H
#define BROKER_CORE_COPIER_H

#include "broker/core/chunks.h"

typedef struct copier copier_t;

enum copy_why {
    COPY_REPAIR, /* the chunk has references, and too few live copies */
    COPY_MOVE, /* it has enough, but some are to leave, or all are too near together */
    COPY_URGENT, /* somebody waits for it */
};

copier_t *copier_new (void);
void copier_destroy (copier_t **self_p);

/* CHUNK shall have WANT copies. */
void copier_want (core_t *core, chunk_t *chunk, uint32_t want, enum copy_why why);
/* CHUNK has WANT copies that stand too near together: it shall get one more, which
 * shares at most COMMON components of its location with any of them; none if there is
 * no such place. */
void copier_spread (core_t *core, chunk_t *chunk, uint32_t want, uint32_t common);
/* All policies together ask for WANT copies of CHUNK: what was wanted for another
 * reason is forgotten, except by uploads. */
void copier_settle (core_t *core, chunk_t *chunk, uint32_t want);
/* As copier_want, for a copy on TARGET and nowhere else; balance_copied tells the end.
 */
void copier_move (core_t *core, chunk_t *chunk, uint32_t want, uint32_t target);
/* No file refers to CHUNK any more: nothing is made for them. May free it. */
void copier_unwanted (core_t *core, chunk_t *chunk);
/* WORKER reported a change of CHUNK. */
void copier_chunk_changed (core_t *core, chunk_t *chunk, uint32_t worker);
/* WORKER refused to take CHUNK. */
void copier_refused (core_t *core, chunk_t *chunk, uint32_t worker);
/* True when the order was one of ours. */
bool copier_result (core_t *core, const event_order_t *event);
void copier_timer (core_t *core, uint64_t order);
void copier_wake_timer (core_t *core);
void copier_worker_changed (core_t *core, worker_t *worker);
/* Starts what can be started; at the end of each step. */
void copier_pump (core_t *core);
/* Only chunks with one live copy until UNTIL (0: no hold). */
void copier_hold (core_t *core, uint64_t until);

/* Enough to do: only chunks with one copy are taken on. Those that nothing can be done
 * for now do not count; many of them are forgotten, and found again by a later pass. */
bool copier_full (const core_t *core);
/* Enough of those, too: whoever looks for more waits. */
bool copier_overfull (const core_t *core);
/* Chunks short of copies that something can be done for now. */
size_t copier_busy (const core_t *core);
/* Jobs that only move copies. */
size_t copier_moves (const core_t *core);
/* Nothing that can be done is left to do. */
bool copier_quiet (const core_t *core);
/* Copies made so far. */
uint64_t copier_made (const core_t *core);
/* Copies made so far because others stood too near together. */
uint64_t copier_spreads (const core_t *core);
void copier_status (const core_t *core, core_status_t *out);

#endif
