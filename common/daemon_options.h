/* SPDX-License-Identifier: MPL-2.0 */
/* The options that every daemon has: --config, --node, --check, --dump-config,
 * --verbose, --quiet. A child of the daemon's own argp. Main thread, at its start. */
#ifndef COMMON_DAEMON_OPTIONS_H
#define COMMON_DAEMON_OPTIONS_H

#include <argp.h>
#include <stdbool.h>

typedef struct daemon_options {
    const char *config;
    const char *node; /* set, unless dump_config is */
    bool check;
    bool dump_config;
    int level; /* enum log_level; -1: as the config says */
} daemon_options_t;

/* Parses ARGV: what OWN does not know of the options, which are the daemon's alone and
 * whose input is INPUT, goes to OUT. There are no arguments. Ends the process when the
 * options make no sense, or only help was wanted. */
void daemon_options_parse (daemon_options_t *out, const struct argp *own, void *input,
                           int argc, char **argv);

#endif
