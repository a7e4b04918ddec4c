include broker/core/local.mk
include broker/journal/local.mk
include broker/namespace/local.mk
include broker/daemon.mk
