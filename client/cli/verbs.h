/* SPDX-License-Identifier: MPL-2.0 */
/* The verbs of dfs-client: each parses its own options and returns an exit status. */
#ifndef CLI_VERBS_H
#define CLI_VERBS_H

#include "tool.h"

extern const tool_info_t client_info;
extern const tool_option_t put_options[], update_options[], get_options[], ls_options[],
    stat_options[], rm_options[], move_options[], cp_options[], mkdir_options[],
    analyze_options[], admin_options[], monitor_options[];

int verb_put (int argc, char **argv);
int verb_update (int argc, char **argv);
int verb_append (int argc, char **argv);
int verb_get (int argc, char **argv);
int verb_cat (int argc, char **argv);
int verb_ls (int argc, char **argv);
int verb_stat (int argc, char **argv);
int verb_find (int argc, char **argv);
int verb_du (int argc, char **argv);
int verb_df (int argc, char **argv);
int verb_rm (int argc, char **argv);
int verb_mv (int argc, char **argv);
int verb_cp (int argc, char **argv);
int verb_mkdir (int argc, char **argv);
int verb_rmdir (int argc, char **argv);
int verb_status (int argc, char **argv);
int verb_analyze (int argc, char **argv);
int verb_verify (int argc, char **argv);
int verb_explain (int argc, char **argv);
int verb_monitor (int argc, char **argv);
int verb_admin (int argc, char **argv);
/* Ends the program with a message when there is no answer. Clear *STATUS. */
dfs_t *status_need (dfs_status_t *status);
/* Status of the broker that leads, or of any when none does; NULL when nobody answers.
 * Clear *STATUS. */
dfs_t *status_ask (dfs_status_t *status, dfs_error_t *err);
/* Bytes of files that still fit, in the default number of copies on different workers
 * that take them. */
uint64_t df_room (const dfs_status_t *status);
/* admin brokers: list, transfer [NAME], replace NAME. */
int admin_brokers (char **operands, int n);

/* The policy with REPLICAS copies that is named so ("copies-3"), made if need be; ends
 * the program with a message when there can be none. */
uint32_t admin_policy_of (dfs_t *dfs, uint32_t replicas);

#endif
