/* SPDX-License-Identifier: MPL-2.0 */
/* The progress bar: on stderr when that is a terminal, redrawn at most ten times a
 * second, gone at the end. Main thread. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>

#include "client/lib/dfs.h"

/* Begins; nothing is drawn with QUIET or without a terminal. WHAT is its label. */
void progress_begin (const char *what, bool quiet);
/* Sums of the batches that are done already, and the totals when they are known (0:
 * not): a tree is moved in several calls. */
void progress_base (const dfs_progress_t *done, uint64_t bytes_total,
                    uint64_t files_total);
/* From the first progress_begin on, a first SIGINT, SIGTERM or SIGHUP is not the end at
 * once: progress_update asks the library to cancel, which leaves nothing half-done. */
bool progress_interrupted (void);
/* When a signal came: ends the program by it. */
void progress_finish_signal (void);
/* A dfs_progress_f. Returns non-zero when the user interrupted. */
int progress_update (const dfs_progress_t *now, void *arg);
/* Takes the bar off the screen, so that a line can be printed; it comes back. */
void progress_clear (void);
void progress_end (void);
/* After the end, where there was a bar: what was done, how fast, and MORE. */
void progress_sum (uint64_t files, uint64_t bytes, const char *more);
/* The line, at most WIDTH columns, without what moves the cursor. For tests. */
void progress_line (char *buf, size_t cap, int width, const char *what,
                    const dfs_progress_t *now, double seconds, double rate);

#endif
