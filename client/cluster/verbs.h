/* SPDX-License-Identifier: MPL-2.0 */
/* The verbs of dfs-cluster: each parses its own options and returns an exit status. */
#ifndef CLUSTER_VERBS_H
#define CLUSTER_VERBS_H

#include "client/cli/tool.h"

extern const tool_info_t cluster_info;
extern const tool_option_t init_options[], add_options[], remove_options[], start_options[],
    restart_options[], here_options[], mark_options[], log_options[], deploy_options[];

int verb_init (int argc, char **argv);
int verb_start (int argc, char **argv);
int verb_stop (int argc, char **argv);
int verb_restart (int argc, char **argv);
int verb_status (int argc, char **argv);
int verb_kill (int argc, char **argv);
int verb_add_worker (int argc, char **argv);
int verb_remove_worker (int argc, char **argv);
int verb_logs (int argc, char **argv);
int verb_deploy (int argc, char **argv);
int verb_mark (int argc, char **argv);
int verb_env (int argc, char **argv);

#endif
