/* SPDX-License-Identifier: MPL-2.0 */
#include "config.h"

#include "broker/options.h"

#include <argp.h>
#include <stddef.h>

#include "common/log.h"

const char *argp_program_version = "dfs-broker " PACKAGE_VERSION;

enum { OPT_CHECK = 256, OPT_DUMP_CONFIG, OPT_DUMP, OPT_FSCK };

static const struct argp_option option_table[] = {
    {"config", 'c', "FILE", 0, "Configuration of the cluster (cluster.cfg)", 0},
    {"node", 'n', "NAME", 0, "Which of its brokers this is", 0},
    {"check", OPT_CHECK, NULL, 0, "Check the configuration and exit", 0},
    {"dump-config", OPT_DUMP_CONFIG, NULL, 0, "Print the configuration and exit", 0},
    {"dump", OPT_DUMP, NULL, 0, "Print every record of the namespace and exit", 0},
    {"fsck", OPT_FSCK, NULL, 0, "Verify the namespace of a stopped broker and exit", 0},
    {"verbose", 'v', NULL, 0, "Log more", 0},
    {"quiet", 'q', NULL, 0, "Log warnings and errors only", 0},
    {0},
};

static error_t parse_option (int key, char *arg, struct argp_state *state)
{
    options_t *o = state->input;

    switch (key) {
    case 'c':
        o->config = arg;
        break;
    case 'n':
        o->node = arg;
        break;
    case OPT_CHECK:
        o->check = true;
        break;
    case OPT_DUMP_CONFIG:
        o->dump_config = true;
        break;
    case OPT_DUMP:
        o->dump = true;
        break;
    case OPT_FSCK:
        o->fsck = true;
        break;
    case 'v':
        o->level = LOG_DEBUG;
        break;
    case 'q':
        o->level = LOG_WARN;
        break;
    case ARGP_KEY_ARG:
        argp_error (state, "%s: takes no arguments", arg);
        break;
    case ARGP_KEY_END:
        if (!o->node)
            argp_error (state, "--node is missing");
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp argp = {
    .options = option_table,
    .parser = parse_option,
    .doc = "Serves the namespace of a dfs cluster: names, versions, where chunks are.",
};

void options_parse (options_t *out, int argc, char **argv)
{
    *out = (options_t){.level = -1};
    argp_err_exit_status = 2;
    argp_parse (&argp, argc, argv, 0, NULL, out);
}
