/* SPDX-License-Identifier: MPL-2.0 */
/* A libdfs for tests of the command line: the "cluster" is a directory of the local
 * file system, and every call that changes something leaves a line in a trace. */
#ifndef T_CLI_FAKE_H
#define T_CLI_FAKE_H

/* ROOT stands for "/"; calls are appended to TRACE. Both borrowed. */
void fake_setup (const char *root, const char *trace);
/* From now on dfs_status waits until FD can be read. */
void fake_hold (int fd);

#endif
