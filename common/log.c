/* SPDX-License-Identifier: MPL-2.0 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "log.h"

static struct {
    pthread_mutex_t lock;
    char node[64];
    volatile int level;
    log_sink_f *sink;
    void *arg;
} log_state = {.lock = PTHREAD_MUTEX_INITIALIZER, .level = LOG_WARN};

static atomic_uint_least64_t log_slow_ns;

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_setup (const char *node, enum log_level level)
{
    pthread_mutex_lock (&log_state.lock);
    snprintf (log_state.node, sizeof log_state.node, "%s", node ? node : "");
    pthread_mutex_unlock (&log_state.lock);
    log_state.level = (int)level;
}

void log_set_level (enum log_level level)
{
    log_state.level = (int)level;
}

enum log_level log_get_level (void)
{
    return (enum log_level)log_state.level;
}

void log_set_slow (uint64_t ns)
{
    atomic_store (&log_slow_ns, ns);
}

bool log_is_slow (uint64_t ns)
{
    uint64_t slow = atomic_load_explicit (&log_slow_ns, memory_order_relaxed);
    return slow > 0 && ns >= slow;
}

void log_set_sink (log_sink_f *sink, void *arg)
{
    pthread_mutex_lock (&log_state.lock);
    log_state.sink = sink;
    log_state.arg = arg;
    pthread_mutex_unlock (&log_state.lock);
}

void log_event (enum log_level level, const char *event, const char *fmt, ...)
{
    if ((int)level > log_state.level)
        return;
    char line[2048];
    struct timespec ts;
    struct tm tm;
    /* Before the time is taken: lines stand in the order of their times. */
    pthread_mutex_lock (&log_state.lock);
    clock_gettime (CLOCK_REALTIME, &ts);
    gmtime_r (&ts.tv_sec, &tm);
    size_t n = strftime (line, sizeof line, "%Y-%m-%dT%H:%M:%S", &tm);
    n += (size_t)snprintf (line + n, sizeof line - n, ".%03ldZ %s %s",
                           ts.tv_nsec / 1000000, level_names[level], event);
    if (log_state.node[0])
        n += (size_t)snprintf (line + n, sizeof line - n, " node=%s", log_state.node);
    if (fmt && fmt[0] && n < sizeof line - 2) {
        line[n++] = ' ';
        va_list ap;
        va_start (ap, fmt);
        int m = vsnprintf (line + n, sizeof line - n - 1, fmt, ap);
        va_end (ap);
        if (m > 0)
            n += (size_t)m < sizeof line - n - 1 ? (size_t)m : sizeof line - n - 2;
    }
    for (size_t i = 0; i < n; i++)
        if (line[i] == '\n' || line[i] == '\r')
            line[i] = ' ';
    if (log_state.sink) {
        line[n] = 0;
        log_state.sink (level, line, log_state.arg);
    } else {
        line[n++] = '\n';
        ssize_t rc = write (STDERR_FILENO, line, n);
        (void)rc; /* nowhere to report it */
    }
    pthread_mutex_unlock (&log_state.lock);
}

/* Length of the valid UTF-8 sequence at P, 0 when there is none. */
static size_t utf8_length (const unsigned char *p)
{
    if (p[0] < 0x80)
        return 1;
    size_t n = p[0] >= 0xf0 && p[0] < 0xf5 ? 4
               : p[0] >= 0xe0              ? 3
               : p[0] >= 0xc2              ? 2
                                           : 0;
    if (p[0] >= 0xf5)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

const char *log_quote (char *buf, unsigned long cap, const char *text)
{
    if (cap < 8)
        return "";
    const unsigned char *p = (const unsigned char *)(text ? text : "");
    bool plain = *p != 0;
    for (const unsigned char *q = p; *q; q++)
        if (*q <= ' ' || *q == '"' || *q == '=' || *q == '\\' || *q >= 0x7f)
            plain = false;
    if (plain && strlen (text) < cap) {
        snprintf (buf, cap, "%s", text);
        return buf;
    }
    size_t n = 0;
    buf[n++] = '"';
    while (*p && n + 8 < cap) {
        size_t len = utf8_length (p);
        if (*p == '"' || *p == '\\') {
            buf[n++] = '\\';
            buf[n++] = (char)*p++;
        } else if (*p < ' ' || *p == 0x7f || len == 0) {
            n += (size_t)snprintf (buf + n, cap - n, "\\x%02x", *p++);
        } else {
            memcpy (buf + n, p, len);
            n += len;
            p += len;
        }
    }
    if (*p && n + 5 < cap) {
        memcpy (buf + n, "...", 3);
        n += 3;
    }
    buf[n++] = '"';
    buf[n] = 0;
    return buf;
}
