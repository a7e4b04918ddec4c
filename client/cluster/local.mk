noinst_LTLIBRARIES += client/cluster/libcluster.la
client_cluster_libcluster_la_SOURCES = \
	client/cluster/workers.c \
	client/cluster/control.c \
	client/cluster/deploy.c client/cluster/deploy.h \
	client/cluster/hosts.c client/cluster/hosts.h \
	client/cluster/init.c \
	client/cluster/lifecycle.h \
	client/cluster/logs.c \
	client/cluster/node.c client/cluster/node.h \
	client/cluster/process.c client/cluster/process.h \
	client/cluster/program.c client/cluster/program.h \
	client/cluster/remote.c client/cluster/remote.h \
	client/cluster/rolling.c \
	client/cluster/seed.c client/cluster/seed.h \
	client/cluster/serving.c \
	client/cluster/start.c \
	client/cluster/status.c \
	client/cluster/stop.c \
	client/cluster/verbs.c client/cluster/verbs.h


bin_PROGRAMS += client/dfs-cluster
client_dfs_cluster_SOURCES = client/cluster/main.c
client_dfs_cluster_LDADD = client/cluster/libcluster.la client/cli/libcli.la \
	client/libdfs-internal.la msgs/libmsgs.la $(JANSSON_LIBS) -lm

UNIT_TESTS += t/unit/cli_cluster
t_unit_cli_cluster_SOURCES = t/unit/cli_cluster.c $(cli_fake) \
	t/unit/cli_run.c t/unit/cli_run.h
t_unit_cli_cluster_LDADD = client/cluster/libcluster.la client/cli/libcli.la \
	msgs/libmsgs.la $(JANSSON_LIBS) $(CMOCKA_LIBS) -lm
