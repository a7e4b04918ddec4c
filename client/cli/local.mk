# What dfs-client and dfs-cluster share, and dfs-client's verbs.
noinst_LTLIBRARIES += client/cli/libcli.la
client_cli_libcli_la_SOURCES = \
	client/cli/output.c client/cli/output.h \
	client/cli/output_status.c \
	client/cli/progress.c client/cli/progress.h \
	client/cli/table.c client/cli/table.h \
	client/cli/tool.c client/cli/tool.h
