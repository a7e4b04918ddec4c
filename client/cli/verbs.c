/* SPDX-License-Identifier: MPL-2.0 */
/* The table of dfs-client's verbs. */
#include "verbs.h"

static const tool_option_t find_options[] = {
    {'l', "long", NULL, "mode, copies, owner, size, time and version as well"},
    {0, NULL, NULL, NULL},
};

static const tool_verb_t verbs[] = {
    {"put", "upload", "SRC… [DEST]", "store files", put_options, true, verb_put},
    {"update", NULL, "SRC DEST", "replace a file that is there", update_options, true,
     verb_update},
    {"append", NULL, "SRC DEST", "append to a file, atomically", update_options, true,
     verb_append},
    {"get", "download", "SRC… [DEST]", "fetch files", get_options, false, verb_get},
    {"cat", NULL, "PATH…", "fetch files to standard output", NULL, false, verb_cat},
    {"ls", "list", "[PATH…]", "list directories", ls_options, true, verb_ls},
    {"stat", NULL, "PATH…", "show all that is known of files", stat_options, true,
     verb_stat},
    {"find", "search", "PATTERN [DIR…]", "find names by a pattern such as '*.txt'",
     find_options, true, verb_find},
    {"du", NULL, "[PATH…]", "add up what trees hold", NULL, true, verb_du},
    {"df", NULL, "", "show how full the workers are", NULL, true, verb_df},
    {"rm", "delete", "PATH…", "remove files", rm_options, false, verb_rm},
    {"mv", NULL, "SRC… DEST", "rename", move_options, false, verb_mv},
    {"cp", NULL, "SRC… DEST", "copy within the cluster, without moving data",
     cp_options, false, verb_cp},
    {"mkdir", NULL, "PATH…", "make directories", mkdir_options, false, verb_mkdir},
    {"rmdir", NULL, "PATH…", "remove empty directories", NULL, false, verb_rmdir},
    {"status", NULL, "", "show the cluster's health", NULL, true, verb_status},
    {"analyze", NULL, "[PATH]", "show chunks, copies, distribution and deduplication",
     analyze_options, true, verb_analyze},
    {"verify", NULL, "[PATH]", "hash all copies of all chunks again", NULL, true,
     verb_verify},
    {"explain", NULL, "PATH", "show where each chunk of a file is", NULL, true,
     verb_explain},
    {"monitor", NULL, "", "watch the cluster until q or Ctrl-C", monitor_options, false,
     verb_monitor},
    {"admin", NULL,
     "drain|undrain|remove WORKER | scrub [WORKER] | repair resume | policy list | "
     "policy create|set|remove NAME | policy assign NAME PATH… | "
     "rebalance | reclaim status|resume|undo | reclaim explain PATH|CHUNK | "
     "brokers [transfer [NAME]|replace NAME]",
     "operate the cluster", admin_options, true, verb_admin},
    {0},
};

const tool_info_t client_info = {"dfs-client", "Stores files in a dfs cluster.", verbs,
                                 true};
