# The commented example, every key at its default.
dfsdocdir = $(docdir)
dist_dfsdoc_DATA = etc/cluster.cfg
# Found by bash-completion under the name of each program.
bashcompdir = $(datadir)/bash-completion/completions
dist_bashcomp_DATA = etc/completion/dfs-client etc/completion/dfs-cluster
