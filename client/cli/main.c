/* SPDX-License-Identifier: MPL-2.0 */
/* dfs-client: what users run. */
#include <malloc.h>

#include "verbs.h"

/* Frames of 1 MiB come and go: without this each one is new memory from the kernel, a
 * tenth of what a get costs. */
#define FRAMES_MMAP (32 * 1024 * 1024)
#define FRAMES_TRIM (64 * 1024 * 1024)

int main (int argc, char **argv)
{
    mallopt (M_MMAP_THRESHOLD, FRAMES_MMAP);
    mallopt (M_TRIM_THRESHOLD, FRAMES_TRIM);
    return tool_main (&client_info, argc, argv);
}
