# The daemon around the core: sockets, threads, handlers, main.
noinst_LTLIBRARIES += broker/libbroker.la
broker_libbroker_la_SOURCES = \
	broker/links/act.c \
	broker/links/act_clients.c \
	broker/links/act_propose.c \
	broker/links/agree.c broker/links/agree.h \
	broker/links/announce.c \
	broker/links/back.c \
	broker/links/back_table.c \
	broker/links/front.c \
	broker/links/near.c broker/links/near.h \
	broker/links/front_read.c \
	broker/links/front_admin.c \
	broker/links/front_policy.c \
	broker/links/front_reclaim.c \
	broker/links/front_brokers.c \
	broker/links/front_scrub.c \
	broker/links/front_status.c \
	broker/links/front_table.c \
	broker/links/front_write.c \
	broker/links/hello.c \
	broker/links/idmap.c broker/links/idmap.h \
	broker/links/links.c broker/links/links.h broker/links/links_private.h \
	broker/links/lost.c broker/links/lost.h \
	broker/links/outbox.c broker/links/outbox.h \
	broker/links/pending_journal.c \
	broker/links/pending.c broker/links/pending.h broker/links/pending_private.h \
	broker/links/probe.c broker/links/probe.h \
	broker/links/pulse.c \
	broker/links/reactor.c \
	broker/links/status_notes.c \
	broker/links/relay.c \
	broker/links/reads.c broker/links/reads.h \
	broker/links/results.c \
	broker/links/roster.c broker/links/roster.h broker/links/roster_private.h \
	broker/links/roster_find.c \
	broker/links/seed.c broker/links/seed.h \
	broker/links/session.c broker/links/session.h \
	broker/links/stall.c broker/links/stall.h \
	broker/links/timekeeper.c broker/links/timekeeper.h \
	broker/links/witness.c broker/links/witness.h \
	broker/state/lookup_core.c \
	broker/state/lookup_reclaim.c \
	broker/state/lookup_job.c \
	broker/state/mail.c broker/state/mail.h \
	broker/state/lookup_mail.c \
	broker/state/selfcheck.c broker/state/selfcheck.h \
	broker/state/storage.c broker/state/storage.h broker/state/storage_private.h \
	broker/state/storage_reader.c broker/state/storage_state.c
broker_libbroker_la_LIBADD = broker/libcore.la broker/libnamespace.la \
	broker/libjournal.la msgs/libmsgs.la common/libcommon.la

dist_man_MANS += doc/man/dfs-broker.8
bin_PROGRAMS += broker/dfs-broker
broker_dfs_broker_SOURCES = broker/main.c broker/broker.c broker/broker.h \
	broker/peerlist.c broker/peerlist.h broker/context.c broker/context.h
broker_dfs_broker_LDADD = broker/libbroker.la $(CZMQ_LIBS)

broker_rig = t/unit/broker_rig.c t/unit/broker_rig.h t/unit/broker_tcp.c
broker_rig_libs = msgs/libmsgs.la common/libcommon.la $(ZMQ_LIBS) $(CMOCKA_LIBS)
UNIT_TESTS += t/unit/broker_links t/unit/broker_workers t/unit/broker_files \
	t/unit/broker_parts t/unit/broker_storage t/unit/broker_agree \
	t/unit/broker_removed t/unit/broker_near
t_unit_broker_removed_SOURCES = t/unit/broker_removed.c $(ns_fixture)
t_unit_broker_removed_LDADD = broker/libbroker.la $(CMOCKA_LIBS)
t_unit_broker_agree_SOURCES = t/unit/broker_agree.c
t_unit_broker_agree_LDADD = broker/libbroker.la $(CMOCKA_LIBS)
t_unit_broker_files_SOURCES = t/unit/broker_files.c $(broker_rig)
t_unit_broker_files_LDADD = $(broker_rig_libs)
t_unit_broker_near_SOURCES = t/unit/broker_near.c
t_unit_broker_near_LDADD = broker/libbroker.la $(ZMQ_LIBS) $(CMOCKA_LIBS)
t_unit_broker_parts_SOURCES = t/unit/broker_parts.c
t_unit_broker_parts_LDADD = broker/libbroker.la $(ZMQ_LIBS) $(CMOCKA_LIBS)
t_unit_broker_storage_SOURCES = t/unit/broker_storage.c
t_unit_broker_storage_LDADD = broker/libbroker.la $(ZMQ_LIBS) $(CMOCKA_LIBS)
t_unit_broker_links_SOURCES = t/unit/broker_links.c $(broker_rig)
t_unit_broker_links_LDADD = $(broker_rig_libs)
t_unit_broker_workers_SOURCES = t/unit/broker_workers.c $(broker_rig)
t_unit_broker_workers_LDADD = $(broker_rig_libs)

# Figures, not a test: make t/bench/broker_bench && ./t/bench/broker_bench …
EXTRA_PROGRAMS += t/bench/broker_bench
t_bench_broker_bench_SOURCES = t/bench/broker_bench.c
t_bench_broker_bench_LDADD = msgs/libmsgs.la common/libcommon.la $(ZMQ_LIBS)
EXTRA_PROGRAMS += t/bench/listing_bench
t_bench_listing_bench_SOURCES = t/bench/listing_bench.c t/unit/broker_rig.c
t_bench_listing_bench_LDADD = msgs/libmsgs.la common/libcommon.la $(ZMQ_LIBS) $(CMOCKA_LIBS)
