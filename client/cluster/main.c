/* SPDX-License-Identifier: MPL-2.0 */
/* dfs-cluster: makes, starts, stops and watches a whole cluster from one config file.
 */
#include "verbs.h"

int main (int argc, char **argv)
{
    return tool_main (&cluster_info, argc, argv);
}
