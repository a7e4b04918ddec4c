# The commented example, every key at its default.
dfsdocdir = $(docdir)
dist_dfsdoc_DATA = etc/cluster.cfg
