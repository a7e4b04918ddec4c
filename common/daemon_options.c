/* SPDX-License-Identifier: MPL-2.0 */
#include "daemon_options.h"

#include <stddef.h>

#include "log.h"

enum { OPT_CHECK = 1000, OPT_DUMP_CONFIG }; /* beyond the daemons' own */

static const struct argp_option option_table[] = {
    {"config", 'c', "FILE", 0, "Configuration of the cluster (cluster.cfg)", 0},
    {"node", 'n', "NAME", 0, "Which of its nodes this is", 0},
    {"check", OPT_CHECK, NULL, 0, "Check what is needed to start, and exit", 0},
    {"dump-config", OPT_DUMP_CONFIG, NULL, 0, "Print the configuration and exit", 0},
    {"verbose", 'v', NULL, 0, "Log more", 0},
    {"quiet", 'q', NULL, 0, "Log warnings and errors only", 0},
    {0},
};

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
    case ARGP_KEY_ARG:
        argp_error (state, "%s: takes no arguments", arg);
        break;
    case ARGP_KEY_END:
        if (!o->node && !o->dump_config)
            argp_error (state, "--node is missing");
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
    argp_err_exit_status = 2;
    argp_parse (&all, argc, argv, 0, NULL, inputs);
}
