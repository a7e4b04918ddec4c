# The replicated log (journal.h is its interface).
noinst_LTLIBRARIES += broker/libjournal.la
broker_libjournal_la_SOURCES = \
	broker/journal/journal.c broker/journal/journal.h \
	broker/journal/places.c broker/journal/places.h \
	broker/journal/queue.c broker/journal/queue.h \
	broker/journal/record.c broker/journal/record.h \
	broker/journal/recover.c broker/journal/recover.h \
	broker/journal/segment.c broker/journal/segment.h \
	broker/journal/spare.c broker/journal/spare.h \
	broker/journal/vote.c broker/journal/vote.h \
	broker/journal/wal.c broker/journal/wal.h \
	broker/journal/wal_open.c broker/journal/wal_private.h \
	broker/journal/wal_read.c
broker_libjournal_la_LIBADD = common/libcommon.la

journal_test_libs = broker/libjournal.la common/libcommon.la $(CMOCKA_LIBS)
UNIT_TESTS += t/unit/wal_log t/unit/wal_power t/unit/journal_one
t_unit_wal_log_SOURCES = t/unit/wal_log.c t/unit/journal_dir.c t/unit/journal_dir.h
t_unit_wal_log_LDADD = $(journal_test_libs)
t_unit_wal_power_SOURCES = t/unit/wal_power.c t/unit/journal_dir.c t/unit/journal_dir.h \
	t/unit/journal_power.c t/unit/journal_power.h
t_unit_wal_power_LDADD = $(journal_test_libs)
t_unit_journal_one_SOURCES = t/unit/journal_one.c t/unit/journal_dir.c t/unit/journal_dir.h
t_unit_journal_one_LDADD = $(journal_test_libs)

# Figures, not a test: make t/bench/journal_bench && ./t/bench/journal_bench [DIR]
EXTRA_PROGRAMS += t/bench/journal_bench
t_bench_journal_bench_SOURCES = t/bench/journal_bench.c
t_bench_journal_bench_LDADD = broker/libjournal.la common/libcommon.la
EXTRA_DIST += doc/format/journal.md
