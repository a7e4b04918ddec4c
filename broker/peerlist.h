/* SPDX-License-Identifier: MPL-2.0 */
/* The brokers of cluster.cfg as the journal wants them: names, keys, and where each is
 * now. Threads: any, but for new, reload, get and destroy, which are one thread's. */
#ifndef BROKER_PEERLIST_H
#define BROKER_PEERLIST_H

#include "broker/journal/journal.h"

typedef struct peerlist peerlist_t;

/* Reads the file PATH. */
peerlist_t *peerlist_new (const char *path, dfs_error_t *err);
void peerlist_destroy (peerlist_t **self_p);
/* Reads it again. On failure all is as before. */
int peerlist_reload (peerlist_t *self, dfs_error_t *err);
/* All of them; names are borrowed until a reload. */
size_t peerlist_get (const peerlist_t *self, journal_broker_t out[JOURNAL_MEMBERS]);
/* Numeric address of broker NAME and its port for brokers; may wait for a name server.
 */
int peerlist_address (peerlist_t *self, const char *name, char *host, size_t cap,
                      uint16_t *port, dfs_error_t *err);

#endif
