/* SPDX-License-Identifier: MPL-2.0 */
/* A store in memory behind worker/store/store.h, with faults on request: for tests of
 * what stands around it. Commits happen on a thread of its own, as in the real one. */
#ifndef T_UNIT_WORKER_FAKE_H
#define T_UNIT_WORKER_FAKE_H

#include "worker/store/store.h"

/* The next commit ends with CODE instead of success. */
void fake_fail_commit (store_t *self, int code);
/* The next store_begin or store_put returns CODE. */
void fake_fail_begin (store_t *self, int code);
/* Flips a bit of the stored bytes. */
void fake_damage (store_t *self, const copykey_t *key);
/* Changes before SEQ are gone. */
void fake_trim (store_t *self, uint64_t seq);
/* Makes and commits a tiny chunk, as if it came from somewhere. */
void fake_add (store_t *self, const copykey_t *key, uint64_t birth, const void *data,
               size_t len);
/* Appends begun and neither sealed nor aborted. */
size_t fake_open_appends (store_t *self);
void fake_condition (store_t *self, int condition);
/* The store opened last for NODE. */
store_t *fake_of (const char *node);

#endif
