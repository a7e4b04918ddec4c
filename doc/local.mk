# Sources, programs and tests of this part are listed here.
dist_man_MANS += doc/man/dfs-client.1 doc/man/dfs-cluster.1 doc/man/cluster.cfg.5
