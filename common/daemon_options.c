/* SPDX-License-Identifier: MPL-2.0 */
#include "daemon_options.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#include "log.h"

enum { EXIT_USAGE = 2 };
enum { OPT_CHECK = 1000, OPT_DUMP_CONFIG, OPT_USAGE }; /* beyond the daemons' own */

static const struct argp_option option_table[] = {
    {"config", 'c', "FILE", 0, "Configuration of the cluster (cluster.cfg)", 0},
    {"node", 'n', "NAME", 0, "Which of its nodes this is", 0},
    {"check", OPT_CHECK, NULL, 0, "Check what is needed to start, and exit", 0},
    {"dump-config", OPT_DUMP_CONFIG, NULL, 0, "Print the configuration and exit", 0},
    {"verbose", 'v', NULL, 0, "Log more", 0},
    {"quiet", 'q', NULL, 0, "Log warnings and errors only", 0},
    {"help", '?', NULL, 0, "This text", -1},
    {"usage", OPT_USAGE, NULL, 0, "The options in short", -1},
    {"version", 'V', NULL, 0, "The version", -1},
    {0},
};

/* argp would say this without the usage. */
static void usage_line (void)
{
    const char *name = program_invocation_short_name;
    fprintf (stderr, "Usage: %s [OPTION…] --node NAME\nTry '%s --help'.\n", name, name);
    exit (EXIT_USAGE);
}

static error_t parse_option (int key, char *arg, struct argp_state *state)
{
    daemon_options_t *o = state->input;
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
    case 'v':
        o->level = LOG_DEBUG;
        break;
    case 'q':
        o->level = LOG_WARN;
        break;
    case '?':
        argp_state_help (state, stdout, ARGP_HELP_STD_HELP);
        exit (0);
    case OPT_USAGE:
        argp_state_help (state, stdout, ARGP_HELP_USAGE);
        exit (0);
    case 'V':
        puts (argp_program_version);
        exit (0);
    case ARGP_KEY_ARG:
        fprintf (stderr, "%s: %s: takes no arguments\n", program_invocation_short_name,
                 arg);
        usage_line ();
        break;
    case ARGP_KEY_END:
        if (!o->node && !o->dump_config) {
            fprintf (stderr, "%s: --node is missing\n", program_invocation_short_name);
            usage_line ();
        }
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    return 0;
}

static const struct argp common_argp = {.options = option_table,
                                        .parser = parse_option};

/* Gives each of the two its input. */
static error_t hand_on (int key, char *arg, struct argp_state *state)
{
    (void)arg;
    if (key != ARGP_KEY_INIT)
        return ARGP_ERR_UNKNOWN;
    void **inputs = state->input;
    state->err_stream = NULL; /* what it adds to messages */
    state->child_inputs[0] = inputs[0];
    state->child_inputs[1] = inputs[1];
    return 0;
}

void daemon_options_parse (daemon_options_t *out, const struct argp *own, void *input,
                           int argc, char **argv)
{
    const struct argp_child children[] = {
        {&common_argp, 0, NULL, 0}, {own, 0, NULL, 0}, {0}};
    const struct argp all = {.parser = hand_on, .children = children};
    void *inputs[] = {out, input};
    *out = (daemon_options_t){.level = -1};
    if (argp_parse (&all, argc, argv, ARGP_NO_EXIT | ARGP_NO_HELP, NULL, inputs))
        usage_line ();
}
