/* SPDX-License-Identifier: MPL-2.0 */
/* Structured log, one line per event: `time level event key=value …`. The same keys
 * everywhere: node, req (trace id, hex), chunk, path, peer, err.
 * Threads: any; a line is written by one write (2). */
#ifndef COMMON_LOG_H
#define COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* NODE (borrowed, copied) is printed as node=… in each line; FILE NULL means stderr.
 * A program that never calls it logs errors and warnings to stderr, as a library must
 * not: libdfs sets a sink. */
void log_setup (const char *node, enum log_level level);
void log_set_level (enum log_level level);
enum log_level log_get_level (void);
/* What takes longer is logged as slow; 0: nothing is. Any thread. */
void log_set_slow (uint64_t ns);
bool log_is_slow (uint64_t ns);

/* Where lines go instead of stderr; SINK NULL restores stderr. */
typedef void (log_sink_f) (enum log_level level, const char *line, void *arg);
void log_set_sink (log_sink_f *sink, void *arg);

/* EVENT is a word such as worker_up; FMT gives "key=value key=value". Values that may
 * hold spaces or bytes from a peer go through log_quote. */
void log_event (enum log_level level, const char *event, const char *fmt, ...)
    __attribute__ ((format (printf, 3, 4)));
#define log_error(...) log_event (LOG_ERROR, __VA_ARGS__)
#define log_warn(...)  log_event (LOG_WARN, __VA_ARGS__)
#define log_info(...)  log_event (LOG_INFO, __VA_ARGS__)
#define log_debug(...)                                                                 \
    do {                                                                               \
        if (log_get_level () >= LOG_DEBUG)                                             \
            log_event (LOG_DEBUG, __VA_ARGS__);                                        \
    } while (0)

/* Writes TEXT into BUF (CAP bytes) quoted and escaped where it needs it (spaces, ",
 * control bytes, bytes that are no UTF-8); cuts with … when too long. Returns BUF. */
const char *log_quote (char *buf, unsigned long cap, const char *text);

#endif
