/* SPDX-License-Identifier: MPL-2.0 */
/* The table of dfs-cluster's verbs. */
#include "verbs.h"

static const tool_verb_t verbs[] = {
    {"init", NULL, "DIR",
     "make a cluster: cluster.cfg, keys and marked data directories", init_options,
     false, verb_init},
    {"start", NULL, "DIR [NODE…]", "start nodes; returns when they are serving",
     start_options, false, verb_start},
    {"stop", NULL, "DIR [NODE…]", "stop nodes", start_options, false, verb_stop},
    {"restart", NULL, "DIR [NODE…]", "stop nodes and start them again", restart_options,
     false, verb_restart},
    {"status", NULL, "DIR", "show the nodes and the cluster's health", here_options,
     true, verb_status},
    {"kill", NULL, "DIR NODE [SIGNAL]", "send a signal to a node (default: KILL)",
     here_options, false, verb_kill},
    {"add-worker", NULL, "DIR NAME", "add a worker, also to a running cluster",
     add_options, false, verb_add_worker},
    {"remove-worker", NULL, "DIR NAME", "take a drained worker out of the cluster",
     remove_options, false, verb_remove_worker},
    {"logs", NULL, "DIR [NODE…]", "show the nodes' logs", log_options, false,
     verb_logs},
    {"deploy", NULL, "DIR [HOST…]",
     "give hosts the config, their own keys and, if wanted, the programs",
     deploy_options, false, verb_deploy},
    {"mark", NULL, "DIR [NODE…]", "make and mark new data directories of nodes",
     mark_options, false, verb_mark},
    {"env", NULL, "DIR", "print what a shell evaluates to use the cluster", NULL, false,
     verb_env},
    {0},
};

const tool_info_t cluster_info = {
    "dfs-cluster",
    "Makes, starts, stops and watches a dfs cluster, on this machine and over ssh.",
    verbs, false};
