# What dfs-client and dfs-cluster share.
noinst_LTLIBRARIES += client/cli/libcli.la
client_cli_libcli_la_SOURCES = \
	client/cli/output.c client/cli/output.h \
	client/cli/output_status.c \
	client/cli/progress.c client/cli/progress.h \
	client/cli/table.c client/cli/table.h \
	client/cli/tool.c client/cli/tool.h \
	client/cli/trace_print.c client/cli/trace_print.h

# dfs-client's verbs.
noinst_LTLIBRARIES += client/cli/libverbs.la
client_cli_libverbs_la_SOURCES = \
	client/cli/admin.c \
	client/cli/admin_reclaim.c client/cli/admin_reclaim.h \
	client/cli/admin_brokers.c \
	client/cli/change.c client/cli/change.h \
	client/cli/contents.c client/cli/contents.h \
	client/cli/copy.c \
	client/cli/crew.c client/cli/crew.h \
	client/cli/explain.c \
	client/cli/get.c \
	client/cli/get_batch.c client/cli/get_batch.h \
	client/cli/get_tree.c client/cli/get_tree.h \
	client/cli/analyze.c \
	client/cli/health.c \
	client/cli/list.c \
	client/cli/look.c client/cli/look.h \
	client/cli/monitor.c \
	client/cli/names.c \
	client/cli/paths.c client/cli/paths.h \
	client/cli/put.c \
	client/cli/put_batch.c client/cli/put_batch.h \
	client/cli/put_tree.c client/cli/put_tree.h \
	client/cli/stat.c \
	client/cli/terminal.c client/cli/terminal.h \
	client/cli/verbs.c client/cli/verbs.h \
	client/cli/verify.c \
	client/cli/view.c client/cli/view.h \
	client/cli/walk.c client/cli/walk.h

cli_fake = t/unit/cli_fake.c t/unit/cli_fake.h t/unit/cli_fake_private.h \
	t/unit/cli_fake_admin.c t/unit/cli_fake_data.c t/unit/cli_fake_names.c
UNIT_TESTS += t/unit/cli_verbs
t_unit_cli_verbs_SOURCES = t/unit/cli_verbs.c $(cli_fake) \
	t/unit/cli_run.c t/unit/cli_run.h
t_unit_cli_verbs_LDADD = client/cli/libverbs.la client/cli/libcli.la msgs/libmsgs.la \
	$(JANSSON_LIBS) $(CMOCKA_LIBS) -lm
UNIT_TESTS += t/unit/cli_monitor
t_unit_cli_monitor_SOURCES = t/unit/cli_monitor.c $(cli_fake)
t_unit_cli_monitor_LDADD = $(t_unit_cli_verbs_LDADD)
UNIT_TESTS += t/unit/cli_output
t_unit_cli_output_SOURCES = t/unit/cli_output.c $(cli_fake)
t_unit_cli_output_LDADD = $(t_unit_cli_verbs_LDADD)

# Linked whole, so that an installation runs from anywhere (DESTDIR, another prefix).
bin_PROGRAMS += client/dfs-client
client_dfs_client_SOURCES = client/cli/main.c
client_dfs_client_LDADD = client/cli/libverbs.la client/cli/libcli.la client/libdfs-internal.la \
	msgs/libmsgs.la $(JANSSON_LIBS) -lm
