/* SPDX-License-Identifier: MPL-2.0 */
/* What a command line program is made of: a table of verbs with their options, usage
 * made from that table, messages of one form (`PROGRAM: VERB: PATH: reason`) and exit
 * codes. State of the program's one main thread. */
#ifndef CLI_TOOL_H
#define CLI_TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/lib/dfs.h"
#include "common/error.h"

enum { TOOL_EXIT_FAILED = 1, TOOL_EXIT_USAGE = 2 };

typedef struct tool_option {
    int key;           /* a letter is a short option as well; others from 256 up */
    const char *name;  /* long option */
    const char *value; /* name of its argument in the usage; NULL: takes none */
    const char *help;
} tool_option_t;

typedef struct tool_verb {
    const char *name;
    const char *alias;            /* or NULL */
    const char *args;             /* of the usage: "SRC… [DEST]" */
    const char *help;             /* one line */
    const tool_option_t *options; /* ended by name NULL; NULL: none */
    bool json;                    /* takes --json */
    int (*run) (int argc, char **argv);
} tool_verb_t;

typedef struct tool_info {
    const char *name;
    const char *summary;
    const tool_verb_t *verbs; /* ended by name NULL */
    bool client;              /* takes --config, --user and --timeout */
} tool_info_t;

/* What the options that every verb takes were set to. */
typedef struct tool_common {
    const char *config, *user;
    uint32_t timeout_ms;
    bool json, quiet, verbose;
    bool trace; /* say where the time went */
    bool stale; /* --stale, where a verb takes it */
} tool_common_t;
extern tool_common_t tool_common;

/* The option --stale in a verb's table; tool_next keeps it to itself. */
enum { TOOL_STALE = 900 };
#define TOOL_STALE_HELP "what any broker knows will do, though it may be old"

/* Runs the program: returns its exit code. */
int tool_main (const tool_info_t *info, int argc, char **argv);

/* The next option of the running verb: its key, or -1 when only operands are left,
 * which are then argv[optind…]. --help and wrong usage end the program. */
int tool_next (int argc, char **argv, const char **value);
/* Message, the verb's usage in a line and where to read more on stderr; ends the program
 * with 2. */
void tool_usage (const char *fmt, ...)
    __attribute__ ((format (printf, 1, 2), noreturn));
/* Ends with 2 unless the number of operands is within MIN and MAX. */
void tool_operands (int argc, int min, int max);
/* Argument of an option: ends with 2 when it is none. */
uint64_t tool_size (const char *option, const char *text);
uint64_t tool_number (const char *option, const char *text, uint64_t max);

/* `PROGRAM: VERB: PATH: text` on stderr; PATH may be NULL, is escaped. */
void tool_error (const char *path, const char *fmt, ...)
    __attribute__ ((format (printf, 2, 3)));
/* As tool_error with the text of ERR; returns the exit status for it. */
int tool_fail (const char *path, const dfs_error_t *err);
/* On stdout unless -q. */
void tool_say (const char *fmt, ...) __attribute__ ((format (printf, 1, 2)));
/* Keeps the first failure: *STATUS = NEW unless it is set already. */
void tool_worst (int *status, int new_status);

/* Opens the cluster with the common options; ends the program with a message when that
 * fails. Returns owned. */
dfs_t *tool_open (void);
/* The same, with these; NULL on failure. */
dfs_t *tool_try (uint32_t timeout_ms, bool stale, dfs_error_t *err);
/* PATH without bytes that could harm a terminal or JSON. Returns owned. */
char *tool_shown (const char *path);
/* TEXT as a shell reads it, in quotes where it needs them. Returns owned. */
char *tool_quoted (const char *text);

#endif
