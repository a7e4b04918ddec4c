include client/lib/local.mk
include client/cli/local.mk
include client/cluster/local.mk
