/* SPDX-License-Identifier: MPL-2.0 */
/* Which files need chunks that have no live copy: while there are such chunks the
 * leader looks through all files, page by page on the reader's thread, and again when
 * other chunks are lost. Reactor thread. */
#ifndef BROKER_LINKS_LOST_H
#define BROKER_LINKS_LOST_H

#include "broker/state/mail.h"

#define LOST_CHUNKS 65536 /* files are looked through for the first so many */
#define LOST_PATHS  20    /* named in a status */

struct links;
typedef struct lost lost_t;

lost_t *lost_new (void);
void lost_destroy (lost_t **self_p);

/* Once a second: begins to look, or forgets what was found. */
void lost_tick (struct links *links);
/* A page. */
void lost_found (struct links *links, const mail_lost_t *mail);
/* Fills in what is known; borrowed by OUT until the next call of this module. */
void lost_put (struct links *links, Dfs__ClusterStatusReply *out);
/* JOB asks for a page of them: takes the chunks along. */
void lost_attach (struct links *links, job_t *job);

#endif
