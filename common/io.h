/* SPDX-License-Identifier: MPL-2.0 */
/* Files, with one place where a test can make any call fail or the machine "lose
 * power". Store and journal do all their I/O through it. In normal runs each function
 * is the system call, repeated on EINTR and short transfers. Every function returns 0
 * (or the value named) or a negative DFS_E code with text in ERR. Threads: any. */
#ifndef COMMON_IO_H
#define COMMON_IO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "error.h"

/* FLAGS and MODE as open (2), O_CLOEXEC added. Returns an fd >= 0. */
int io_open (const char *path, int flags, mode_t mode, dfs_error_t *err);
int io_close (int fd);
/* Whole transfers: pread that meets the end of the file is DFS_EIO; io_pread_some
 * returns the bytes read. */
int io_pread (int fd, void *buf, size_t len, uint64_t offset, dfs_error_t *err);
ssize_t io_pread_some (int fd, void *buf, size_t len, uint64_t offset,
                       dfs_error_t *err);
int io_pwrite (int fd, const void *buf, size_t len, uint64_t offset, dfs_error_t *err);
int io_pwritev (int fd, const struct iovec *iov, int n, uint64_t offset,
                dfs_error_t *err);
/* A write that the caller makes by other means (io_uring): the first before it, the
 * second with what it gave (bytes or -errno), which finishes a short one. */
int io_write_begins (int fd, const void *buf, size_t len, uint64_t offset,
                     dfs_error_t *err);
int io_write_ended (int fd, const void *buf, size_t len, uint64_t offset, int result,
                    dfs_error_t *err);
int io_fdatasync (int fd, dfs_error_t *err);
int io_fsync (int fd, dfs_error_t *err);
/* Starts write-back of a range (sync_file_range): a hint, its failure is not reported.
 */
void io_writeback (int fd, uint64_t offset, uint64_t len);
int io_ftruncate (int fd, uint64_t size, dfs_error_t *err);
int io_fallocate (int fd, uint64_t offset, uint64_t len, dfs_error_t *err);
/* FALLOC_FL_PUNCH_HOLE; DFS_OK where the file system cannot (space is then kept). */
int io_punch (int fd, uint64_t offset, uint64_t len, dfs_error_t *err);
int io_rename (const char *from, const char *to, dfs_error_t *err);
int io_unlink (const char *path, dfs_error_t *err);
int io_mkdir (const char *path, mode_t mode, dfs_error_t *err);
/* fsync of a directory. */
int io_sync_dir (const char *path, dfs_error_t *err);
int io_size (int fd, uint64_t *size, dfs_error_t *err);
/* Write a small file so that after a crash the old or the new content is there:
 * temporary file, fsync, rename, fsync of the directory. */
int io_replace (const char *path, const void *data, size_t len, mode_t mode,
                dfs_error_t *err);
/* Reads a whole file of at most MAX bytes; *DATA is returned owned (free), with a NUL
 * behind it. */
int io_slurp (const char *path, size_t max, void **data, size_t *len, dfs_error_t *err);
/* Takes an exclusive lock on PATH for the life of the process; DFS_EINUSE names the
 * holder's pid. Returns the fd. */
int io_lock (const char *path, dfs_error_t *err);

/* The fault hook: called before each operation above that changes something or makes it
 * durable (and before reads, op IO_PREAD). Returns 0 to go on, or an errno to fail
 * with. NULL (the default) costs one branch. Set while no other thread does I/O. */
enum io_op {
    IO_OPEN,
    IO_PREAD,
    IO_PWRITE,
    IO_FDATASYNC,
    IO_FSYNC,
    IO_FTRUNCATE,
    IO_FALLOCATE,
    IO_PUNCH,
    IO_RENAME,
    IO_UNLINK,
    IO_MKDIR,
    IO_SYNC_DIR,
};
typedef struct io_hook {
    int (*before) (enum io_op op, int fd, const char *path, const char *path2,
                   uint64_t offset, uint64_t len, const struct iovec *iov, int iovcnt,
                   void *arg);
    void (*after) (enum io_op op, int fd, const char *path, uint64_t offset,
                   uint64_t len, int result, void *arg);
    void *arg;
} io_hook_t;
void io_set_hook (const io_hook_t *hook);

/* Call first in main (): descriptors 0, 1 and 2 that were closed become ones that
 * cannot be read (0) or written, so that nothing else gets their numbers. */
void io_standard (void);

#endif
