/* SPDX-License-Identifier: MPL-2.0 */
/* What dfs-broker is asked for on its command line. One thread. */
#ifndef BROKER_OPTIONS_H
#define BROKER_OPTIONS_H

#include <stdbool.h>

typedef struct options {
    const char *config;
    const char *node;
    bool check;
    bool dump_config;
    bool dump;
    bool fsck;
    int level; /* enum log_level; -1: as the config says */
} options_t;

/* Ends the process when they make no sense, or only help was wanted. */
void options_parse (options_t *out, int argc, char **argv);

#endif
