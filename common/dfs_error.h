/* SPDX-License-Identifier: MPL-2.0 */
/* Error numbers and the error object, shared by every program and by users of libdfs.
 * One table: number, text and exit status of the command line. The numbers travel on
 * the wire (Status.code), so they never change meaning; new ones are added at the end.
 * Threads: plain values, owned by the caller. */
#ifndef DFS_ERROR_H
#define DFS_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

/* X (name, number, text, exit status) */
#define DFS_ERROR_TABLE(X)                                                             \
    X (DFS_OK, 0, "success", 0)                                                        \
    X (DFS_EINTERNAL, -1, "internal error", 1)                                         \
    X (DFS_EUSAGE, -2, "wrong usage", 2)                                               \
    X (DFS_ECONFIG, -3, "bad configuration", 2)                                        \
    X (DFS_ENOENT, -4, "no such file or directory", 3)                                 \
    X (DFS_EEXIST, -5, "already exists", 4)                                            \
    X (DFS_ENOTDIR, -6, "not a directory", 1)                                          \
    X (DFS_EISDIR, -7, "is a directory", 1)                                            \
    X (DFS_ENOTEMPTY, -8, "directory not empty", 4)                                    \
    X (DFS_ECONFLICT, -9, "version conflict", 4)                                       \
    X (DFS_EPERM, -10, "permission denied", 5)                                         \
    X (DFS_EQUOTA, -11, "quota exceeded", 5)                                           \
    X (DFS_EAUTH, -12, "authentication refused", 5)                                    \
    X (DFS_EUNAVAIL, -13, "unavailable", 6)                                            \
    X (DFS_ENOREPLICAS, -14, "not enough workers for the copies asked for", 6)         \
    X (DFS_ETIMEOUT, -15, "timed out", 6)                                              \
    X (DFS_EDAMAGED, -16, "data damaged", 7)                                           \
    X (DFS_ELOST, -17, "no live copy of the data", 7)                                  \
    X (DFS_ENOSPC, -18, "no space left on device", 1)                                  \
    X (DFS_EIO, -19, "input/output error", 1)                                          \
    X (DFS_EROFS, -20, "read-only", 1)                                                 \
    X (DFS_EINVAL, -21, "invalid argument", 2)                                         \
    X (DFS_ENAMETOOLONG, -22, "name too long", 2)                                      \
    X (DFS_EPROTO, -23, "protocol error", 1)                                           \
    X (DFS_EVERSION, -24, "unsupported version", 1)                                    \
    X (DFS_ECLUSTER, -25, "belongs to another cluster", 5)                             \
    X (DFS_ESTALE, -26, "stale", 6)                                                    \
    X (DFS_EINUSE, -27, "already in use", 1)                                           \
    X (DFS_ENOTMARKED, -28, "not a marked data directory", 1)                          \
    X (DFS_ETOOBIG, -29, "too large", 1)                                               \
    X (DFS_EAGAIN, -30, "busy, try again", 6)                                          \
    X (DFS_ECANCELED, -31, "canceled", 1)                                              \
    X (DFS_ENOTLEADER, -32, "not the leader", 6)                                       \
    X (DFS_ECHANGED, -33, "source changed while it was read", 1)                       \
    X (DFS_EFORK, -34, "handle used after fork", 1)                                    \
    X (DFS_ESYS, -35, "system error", 1)                                               \
    X (DFS_ENOMEM, -36, "memory budget exceeded", 1)                                   \
    X (DFS_ELOOP, -37, "too many levels of links, or a move into itself", 1)           \
    X (DFS_EMISSING, -38, "chunks must be sent again", 6)                              \
    X (DFS_EPOLICY, -39, "more copies are asked for by now", 6)                        \
    X (DFS_EEXPIRED, -40, "session has expired", 6)

enum dfs_error_code {
#define DFS_ERROR_ENUM(name, number, text, status) name = number,
    DFS_ERROR_TABLE (DFS_ERROR_ENUM)
#undef DFS_ERROR_ENUM
};

typedef struct dfs_error {
    int code;       /* DFS_OK or a negative DFS_E… */
    char text[508]; /* for a person, NUL-terminated, never ends in a newline */
} dfs_error_t;

/* Text and name of a code, and the exit status the command line gives for it; any int
 * is accepted. Returns borrowed, valid forever. */
const char *dfs_error_text (int code);
const char *dfs_error_name (int code);
int dfs_error_status (int code);

#ifdef __cplusplus
}
#endif
#endif
