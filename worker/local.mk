include worker/store/local.mk
include worker/daemon.mk
