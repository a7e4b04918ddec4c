# The replicated log (journal.h is its interface).
noinst_LTLIBRARIES += broker/libjournal.la
broker_libjournal_la_SOURCES = \
	broker/journal/brokers.c \
	broker/journal/engine.c \
	broker/journal/engine_news.c \
	broker/journal/engine_orders.c \
	broker/journal/journal.c broker/journal/journal.h \
	broker/journal/journal_open.c broker/journal/journal_private.h \
	broker/journal/lane.c broker/journal/lane.h \
	broker/journal/lane_get.c broker/journal/lane_private.h \
	broker/journal/peers.c broker/journal/peers.h \
	broker/journal/peers_frames.c broker/journal/peers_private.h \
	broker/journal/peers_links.c \
	broker/journal/places.c broker/journal/places.h \
	broker/journal/point.c broker/journal/point.h \
	broker/journal/queue.c broker/journal/queue.h \
	broker/journal/raft_apply.c \
	broker/journal/raft_disk.c \
	broker/journal/raft_driver.c broker/journal/raft_driver.h \
	broker/journal/raft_facts.c \
	broker/journal/raft_guards.c broker/journal/raft_guards.h \
	broker/journal/raft_members.c broker/journal/raft_private.h \
	broker/journal/raft_points.c \
	broker/journal/raft_reads.c \
	broker/journal/raft_send.c \
	broker/journal/raft_start.c \
	broker/journal/raft_tail.c broker/journal/raft_tail.h \
	broker/journal/raft_wire.c broker/journal/raft_wire.h \
	broker/journal/reader.c broker/journal/reader.h \
	broker/journal/record.c broker/journal/record.h \
	broker/journal/recover.c broker/journal/recover.h \
	broker/journal/replace.c \
	broker/journal/segment.c broker/journal/segment.h \
	broker/journal/spare.c broker/journal/spare.h \
	broker/journal/vote.c broker/journal/vote.h \
	broker/journal/wal.c broker/journal/wal.h \
	broker/journal/wal_open.c broker/journal/wal_private.h \
	broker/journal/wal_read.c \
	broker/journal/writer.c broker/journal/writer.h
broker_libjournal_la_CFLAGS = $(AM_CFLAGS) $(RAFT_CFLAGS)
broker_libjournal_la_LIBADD = msgs/libmsgs.la common/libcommon.la $(RAFT_LIBS) \
	$(ZMQ_LIBS)

journal_test_libs = broker/libjournal.la common/libcommon.la $(CMOCKA_LIBS)
UNIT_TESTS += t/unit/wal_log t/unit/wal_power t/unit/journal_one
t_unit_wal_log_SOURCES = t/unit/wal_log.c t/unit/journal_dir.c t/unit/journal_dir.h
t_unit_wal_log_LDADD = $(journal_test_libs)
t_unit_wal_power_SOURCES = t/unit/wal_power.c t/unit/journal_dir.c t/unit/journal_dir.h \
	t/unit/journal_power.c t/unit/journal_power.h
t_unit_wal_power_LDADD = $(journal_test_libs)
t_unit_journal_one_SOURCES = t/unit/journal_one.c t/unit/journal_dir.c t/unit/journal_dir.h
t_unit_journal_one_LDADD = $(journal_test_libs)
UNIT_TESTS += t/unit/journal_three
t_unit_journal_three_SOURCES = t/unit/journal_three.c t/unit/journal_dir.c t/unit/journal_dir.h \
	t/unit/journal_trio.c t/unit/journal_trio.h
t_unit_journal_three_LDADD = $(journal_test_libs) $(ZMQ_LIBS)
UNIT_TESTS += t/unit/journal_disk t/unit/journal_peers
t_unit_journal_peers_SOURCES = t/unit/journal_peers.c t/unit/journal_dir.c t/unit/journal_dir.h \
	t/unit/journal_trio.c t/unit/journal_trio.h
t_unit_journal_peers_LDADD = $(journal_test_libs) $(ZMQ_LIBS)
t_unit_journal_disk_SOURCES = t/unit/journal_disk.c t/unit/journal_dir.c t/unit/journal_dir.h \
	t/unit/journal_trio.c t/unit/journal_trio.h
t_unit_journal_disk_LDADD = $(journal_test_libs) $(ZMQ_LIBS)

# Figures, not a test: make t/bench/journal_bench && ./t/bench/journal_bench [DIR]
EXTRA_PROGRAMS += t/bench/journal_bench
t_bench_journal_bench_SOURCES = t/bench/journal_bench.c
t_bench_journal_bench_LDADD = broker/libjournal.la common/libcommon.la
EXTRA_DIST += doc/format/journal.md

# Several voters: the consensus library behind its guards.
EXTRA_DIST += scripts/raft-backport
raft_hand = t/unit/raft_hand.c t/unit/raft_hand.h
raft_hand_libs = broker/libjournal.la $(CMOCKA_LIBS)
UNIT_TESTS += t/unit/raft_guards t/unit/raft_guards_members t/unit/raft_guards_votes \
	t/unit/raft_wire t/sim/raft_sim
t_unit_raft_guards_SOURCES = t/unit/raft_guards.c $(raft_hand)
t_unit_raft_guards_LDADD = $(raft_hand_libs)
t_unit_raft_guards_members_SOURCES = t/unit/raft_guards_members.c $(raft_hand)
t_unit_raft_guards_members_LDADD = $(raft_hand_libs)
t_unit_raft_guards_votes_SOURCES = t/unit/raft_guards_votes.c $(raft_hand)
t_unit_raft_guards_votes_LDADD = $(raft_hand_libs)
t_unit_raft_wire_SOURCES = t/unit/raft_wire.c $(raft_hand)
t_unit_raft_wire_LDADD = $(raft_hand_libs)
t_sim_raft_sim_SOURCES = t/sim/raft_sim.c t/sim/raft_orders.c t/sim/raft_faults.c \
	t/sim/raft_events.c t/sim/raft_plants.c t/sim/raft_world.c t/sim/raft_world.h \
	t/sim/raft_world_private.h
t_sim_raft_sim_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=raft_step \
	-Wl,--wrap=guard_write_begin -Wl,--wrap=guard_sole_voter \
	-Wl,--wrap=driver_send_ping
t_sim_raft_sim_LDADD = broker/libjournal.la common/libcommon.la $(CMOCKA_LIBS)
