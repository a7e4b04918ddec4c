# What ./quickstart shows.
EXTRA_DIST += etc/demo
# The commented example, every key at its default.
dfsdocdir = $(docdir)
dist_dfsdoc_DATA = etc/cluster.cfg doc/operating.md
# Clusters to begin with: dfs-cluster init DIR --from FILE.
dfsexamplesdir = $(docdir)/examples
dist_dfsexamples_DATA = etc/examples/one-host.cfg etc/examples/three-brokers.cfg etc/examples/three-hosts.cfg \
	etc/examples/two-racks.cfg
# Found by bash-completion under the name of each program.
bashcompdir = $(datadir)/bash-completion/completions
dist_bashcomp_DATA = etc/completion/dfs-client etc/completion/dfs-cluster
zshcompdir = $(datadir)/zsh/site-functions
dist_zshcomp_DATA = etc/completion/_dfs
