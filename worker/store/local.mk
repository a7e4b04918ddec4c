noinst_LTLIBRARIES += worker/store/libstore.la
worker_store_libstore_la_SOURCES = \
	worker/store/append.c worker/store/append.h \
	worker/store/batch.c worker/store/batch.h \
	worker/store/cache.c worker/store/cache.h \
	worker/store/changes.c worker/store/changes.h \
	worker/store/checkpoint.c \
	worker/store/commit.c \
	worker/store/compact.c \
	worker/store/dump.c \
	worker/store/format.c \
	worker/store/stopped.c \
	worker/store/disk.c worker/store/disk.h \
	worker/store/entry.c worker/store/entry.h \
	worker/store/fold.c \
	worker/store/guard.c worker/store/guard.h \
	worker/store/index.c worker/store/index.h worker/store/index_private.h \
	worker/store/keeper.c \
	worker/store/le.h \
	worker/store/patience.c \
	worker/store/reader.c \
	worker/store/reclaim.c \
	worker/store/record.c worker/store/record.h \
	worker/store/recover.c \
	worker/store/reserve.c \
	worker/store/ring.c worker/store/ring.h \
	worker/store/scan.c worker/store/scan.h \
	worker/store/scrub.c \
	worker/store/store.c worker/store/store.h worker/store/store_private.h \
	worker/store/spare.c \
	worker/store/stage.c \
	worker/store/volume.c
worker_store_libstore_la_LIBADD = msgs/libmsgs.la $(URING_LIBS)

store_test_common = t/lib/storetest.c t/lib/storetest.h
UNIT_TESTS += t/unit/store_record t/unit/store_basic t/unit/store_tend t/unit/store_fault \
	t/unit/store_damage t/unit/store_golden t/unit/store_order t/unit/store_space \
	t/unit/store_full t/unit/store_trouble t/fuzz/record
t_unit_store_record_SOURCES = t/unit/store_record.c
t_unit_store_record_LDADD = worker/store/libstore.la $(CMOCKA_LIBS)
t_unit_store_basic_SOURCES = t/unit/store_basic.c $(store_test_common)
t_unit_store_basic_LDADD = worker/store/libstore.la $(CMOCKA_LIBS)
t_unit_store_tend_SOURCES = t/unit/store_tend.c $(store_test_common)
t_unit_store_tend_LDADD = worker/store/libstore.la $(CMOCKA_LIBS)
t_unit_store_order_SOURCES = t/unit/store_order.c $(store_test_common)
t_unit_store_order_LDADD = worker/store/libstore.la $(CMOCKA_LIBS)
t_unit_store_space_SOURCES = t/unit/store_space.c $(store_test_common)
t_unit_store_space_LDADD = worker/store/libstore.la $(CMOCKA_LIBS)
t_unit_store_trouble_SOURCES = t/unit/store_trouble.c $(store_test_common)
t_unit_store_trouble_LDADD = worker/store/libstore.la $(CMOCKA_LIBS)
t_unit_store_full_SOURCES = t/unit/store_full.c $(store_test_common)
t_unit_store_full_LDADD = worker/store/libstore.la $(CMOCKA_LIBS)
t_unit_store_fault_SOURCES = t/unit/store_fault.c t/lib/iofault.c t/lib/iofault.h \
	$(store_test_common)
t_unit_store_fault_LDADD = worker/store/libstore.la $(CMOCKA_LIBS)
t_unit_store_damage_SOURCES = t/unit/store_damage.c $(store_test_common)
t_unit_store_damage_LDADD = worker/store/libstore.la $(CMOCKA_LIBS)
t_unit_store_golden_SOURCES = t/unit/store_golden.c $(store_test_common)
t_unit_store_golden_LDADD = worker/store/libstore.la $(CMOCKA_LIBS)
EXTRA_DIST += doc/format/volume.md t/data/store-1/dfs-mark t/data/store-1/store-state \
	t/data/store-1/volumes/00000001.vol
# The fuzzer is an ordinary test, too; with --enable-fuzz it searches.
t_fuzz_record_SOURCES = t/fuzz/record.c
t_fuzz_record_LDADD = worker/store/libstore.la
if FUZZ
noinst_PROGRAMS += t/fuzz/record_search
t_fuzz_record_search_SOURCES = t/fuzz/record.c
t_fuzz_record_search_CPPFLAGS = $(AM_CPPFLAGS) -DDFS_LIBFUZZER
t_fuzz_record_search_LDFLAGS = $(AM_LDFLAGS) -fsanitize=fuzzer
t_fuzz_record_search_LDADD = worker/store/libstore.la
endif

check_PROGRAMS += t/bench/store_bench t/bench/open_bench
t_bench_open_bench_SOURCES = t/bench/open_bench.c $(store_test_common)
t_bench_open_bench_LDADD = worker/store/libstore.la $(CMOCKA_LIBS)
t_bench_store_bench_SOURCES = t/bench/store_bench.c $(store_test_common)
t_bench_store_bench_LDADD = worker/store/libstore.la $(CMOCKA_LIBS)
# Ways to write to a disk, io_uring among them (needs liburing).
EXTRA_PROGRAMS += t/bench/disk_bench
t_bench_disk_bench_SOURCES = t/bench/disk_bench.c
t_bench_disk_bench_LDADD = common/libcommon.la $(URING_LIBS)
