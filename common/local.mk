noinst_LTLIBRARIES += common/libcommon.la
common_libcommon_la_SOURCES = \
	common/arena.c common/arena.h \
	common/bytes.h \
	common/buf.c common/buf.h \
	common/clock.c common/clock.h \
	common/daemon.c common/daemon.h \
	common/daemon_options.c common/daemon_options.h \
	common/dfs_error.h \
	common/digest.c common/digest.h \
	common/error.c common/error.h \
	common/filetime.c common/filetime.h \
	common/io.c common/io.h \
	common/kv.c common/kv.h \
	common/log.c common/log.h \
	common/mailbox.c common/mailbox.h \
	common/peername.c common/peername.h \
	common/resolve.c common/resolve.h \
	common/rng.c common/rng.h \
	common/timer.c common/timer.h \
	common/units.c common/units.h \
	common/schema.c common/schema.h \
	common/zpl.c common/zpl.h
common_libcommon_la_LIBADD = $(CRYPTO_LIBS) $(LMDB_LIBS) $(ISAL_LIBS) $(PROTOBUF_C_LIBS) $(XXHASH_LIBS) $(CZMQ_LIBS)
include_HEADERS += common/dfs_error.h


UNIT_TESTS += t/unit/common t/unit/daemon
t_unit_daemon_SOURCES = t/unit/daemon.c
t_unit_daemon_LDADD = common/libcommon.la $(CMOCKA_LIBS)
t_unit_common_SOURCES = t/unit/common.c
t_unit_common_LDADD = common/libcommon.la $(CMOCKA_LIBS)
