/* SPDX-License-Identifier: MPL-2.0 */
/* For tests of the journal: temporary directories, copies of them, bytes of their
 * files, a hook that counts and fails I/O. One thread. */
#ifndef T_UNIT_JOURNAL_DIR_H
#define T_UNIT_JOURNAL_DIR_H

#include <stddef.h>
#include <stdint.h>

#include "common/io.h"

/* What is logged is shown nowhere. */
void log_nothing (void);

/* A new temporary directory; returned owned: dir_remove. */
char *dir_make (void);
void dir_remove (char *path);
/* Copies the files of FROM (no directories in it) over TO. */
void dir_copy (const char *from, const char *to);
/* Number of files in DIR whose name ends in SUFFIX. */
size_t dir_count (const char *dir, const char *suffix);

/* Reads or writes LEN bytes at OFFSET of segment SEQ in DIR. */
void segment_get (const char *dir, uint64_t seq, uint64_t offset, void *buf,
                  size_t len);
void segment_put (const char *dir, uint64_t seq, uint64_t offset, const void *buf,
                  size_t len);

/* Counts operations and makes some fail. Started before any thread does I/O; armed at
 * any time. */
void faults_start (void);
void faults_stop (void);
/* Counts from 0 again; the K-th operation OP from now on fails with ERRNUM (0: none).
 */
void faults_arm (enum io_op op, int64_t k, int errnum);
/* Every OP fails with ERRNUM until ERRNUM 0. */
void faults_hold (enum io_op op, int errnum);
uint64_t faults_count (enum io_op op);
/* From now on OP of at least LEN bytes on a file whose path contains PART does not come
 * to its end before faults_release (which all of them wait for), unless it is this
 * thread's. PART is borrowed. */
void faults_hang (enum io_op op, uint64_t len, const char *part);
void faults_release (void);
/* How many hang. */
unsigned faults_hanging (void);
/* As faults_hold, for files whose path contains PART. */
void faults_hold_file (enum io_op op, const char *part, int errnum);

#endif
