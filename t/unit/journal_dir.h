/* SPDX-License-Identifier: MPL-2.0 */
/* For tests of the journal: temporary directories, copies of them, bytes of their
 * files, a hook that counts and fails I/O. One thread. */
#ifndef T_UNIT_JOURNAL_DIR_H
#define T_UNIT_JOURNAL_DIR_H

#include <stddef.h>
#include <stdint.h>

#include "common/io.h"

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

/* Counts operations, and fails the COUNTDOWN-th of kind OP with ERRNUM (and all later
 * ones of that kind, when STAYS). */
typedef struct faults {
    _Atomic uint64_t count[IO_SYNC_DIR + 1];
    enum io_op op;
    _Atomic int64_t countdown; /* 0: never */
    int errnum;
    _Atomic int stays;
    const char *only; /* of opens: paths that contain this */
} faults_t;
void faults_install (faults_t *self);
void faults_remove (void);

#endif
