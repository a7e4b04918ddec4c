/* SPDX-License-Identifier: MPL-2.0 */
/* dfs-client: what users run. */
#include "verbs.h"

int main (int argc, char **argv)
{
    return tool_main (&client_info, argc, argv);
}
