# The daemon around the store: links to brokers, flows of chunk bytes, main.
noinst_LTLIBRARIES += worker/libworker.la
worker_libworker_la_SOURCES = \
	worker/context.c worker/context.h \
	worker/worker.c worker/worker.h \
	worker/flow/admit.c worker/flow/admit.h \
	worker/flow/assemble.c worker/flow/assemble.h \
	worker/flow/forward.c worker/flow/forward.h \
	worker/flow/ingest.c worker/flow/ingest.h \
	worker/flow/orders.c worker/flow/orders.h \
	worker/flow/send.c worker/flow/send.h \
	worker/flow/session.c worker/flow/session.h \
	worker/flow/settle.c worker/flow/settle.h \
	worker/flow/streams.c worker/flow/streams.h \
	worker/flow/target.c worker/flow/target.h \
	worker/flow/window.c worker/flow/window.h \
	worker/links/access.c worker/links/access.h \
	worker/links/actor.c worker/links/actor.h \
	worker/links/broker_link.c worker/links/broker_link.h \
	worker/links/directory.c worker/links/directory.h \
	worker/links/epoch.c worker/links/epoch.h \
	worker/links/jobs.c worker/links/jobs.h \
	worker/links/link_changes.c worker/links/link_handlers.c \
	worker/links/link_peer.c worker/links/link_private.h \
	worker/links/link_send.c \
	worker/links/notes.c worker/links/notes.h \
	worker/links/pulse.c worker/links/pulse.h \
	worker/links/sequence.c worker/links/sequence.h
worker_libworker_la_LIBADD = msgs/libmsgs.la

bin_PROGRAMS += worker/dfs-worker
worker_dfs_worker_SOURCES = worker/main.c worker/offline.c worker/offline.h
worker_dfs_worker_LDADD = worker/libworker.la worker/store/libstore.la msgs/libmsgs.la \
	common/libcommon.la $(ZMQ_LIBS) $(CZMQ_LIBS)

dist_man_MANS += doc/man/dfs-worker.8

worker_tests = t/unit/worker_fake.c t/unit/worker_fake.h

UNIT_TESTS += t/unit/worker_parts
t_unit_worker_parts_SOURCES = t/unit/worker_parts.c $(worker_tests)
t_unit_worker_parts_LDADD = worker/libworker.la msgs/libmsgs.la common/libcommon.la \
	$(ZMQ_LIBS) $(CZMQ_LIBS) $(CMOCKA_LIBS)
worker_rig = t/unit/worker_rig.c t/unit/worker_rig.h t/unit/worker_rig_broker.c \
	t/unit/worker_rig_client.c t/unit/worker_rig_private.h $(worker_tests)
worker_rig_libs = worker/libworker.la msgs/libmsgs.la common/libcommon.la \
	$(ZMQ_LIBS) $(CZMQ_LIBS) $(CMOCKA_LIBS)
UNIT_TESTS += t/unit/worker_ingest t/unit/worker_chain t/unit/worker_streams \
	t/unit/worker_broker t/unit/worker_refused
t_unit_worker_ingest_SOURCES = t/unit/worker_ingest.c $(worker_rig)
t_unit_worker_ingest_LDADD = $(worker_rig_libs)
t_unit_worker_chain_SOURCES = t/unit/worker_chain.c $(worker_rig)
t_unit_worker_chain_LDADD = $(worker_rig_libs)
t_unit_worker_streams_SOURCES = t/unit/worker_streams.c $(worker_rig)
t_unit_worker_streams_LDADD = $(worker_rig_libs)
t_unit_worker_broker_SOURCES = t/unit/worker_broker.c $(worker_rig)
t_unit_worker_broker_LDADD = $(worker_rig_libs)
t_unit_worker_refused_SOURCES = t/unit/worker_refused.c $(worker_rig)
t_unit_worker_refused_LDADD = $(worker_rig_libs)

# Not run by itself: prints figures (t/bench).
check_PROGRAMS += t/bench/worker_bench
t_bench_worker_bench_SOURCES = t/bench/worker_bench.c $(worker_rig)
t_bench_worker_bench_LDADD = $(worker_rig_libs)
