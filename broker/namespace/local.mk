# SPDX-License-Identifier: MPL-2.0
noinst_LTLIBRARIES += broker/libnamespace.la
broker_libnamespace_la_SOURCES = \
	broker/namespace/apply.c broker/namespace/apply.h \
	broker/namespace/attr.c \
	broker/namespace/attributes.c broker/namespace/attributes.h \
	broker/namespace/catalog.c broker/namespace/catalog.h \
	broker/namespace/copy.c \
	broker/namespace/chunk.c broker/namespace/chunk.h \
	broker/namespace/dentry.c broker/namespace/dentry.h \
	broker/namespace/dump.c broker/namespace/dump.h \
	broker/namespace/extent.c broker/namespace/extent.h \
	broker/namespace/file.c \
	broker/namespace/fsck.c broker/namespace/fsck.h \
	broker/namespace/fsck_checks.h \
	broker/namespace/fsck_compare.c \
	broker/namespace/fsck_reach.c \
	broker/namespace/fsck_tally.c \
	broker/namespace/inode.c broker/namespace/inode.h \
	broker/namespace/job.c broker/namespace/job.h \
	broker/namespace/list.c \
	broker/namespace/locations.c broker/namespace/locations.h \
	broker/namespace/locations_disks.c broker/namespace/locations_disks.h \
	broker/namespace/locations_open.c \
	broker/namespace/lookup.c \
	broker/namespace/names.c broker/namespace/ops.h \
	broker/namespace/namespace.c broker/namespace/namespace.h \
	broker/namespace/page.c broker/namespace/page.h \
	broker/namespace/past.c broker/namespace/past.h \
	broker/namespace/policy.c broker/namespace/policy.h \
	broker/namespace/prune.c \
	broker/namespace/readers.c broker/namespace/readers.h \
	broker/namespace/reclaim.c broker/namespace/reclaim.h \
	broker/namespace/reclaim_lists.c \
	broker/namespace/rename.c \
	broker/namespace/requests.c broker/namespace/requests.h \
	broker/namespace/seed.c \
	broker/namespace/state.h \
	broker/namespace/state_hash.c broker/namespace/state_hash.h \
	broker/namespace/tables.c broker/namespace/tables.h \
	broker/namespace/tally.c broker/namespace/tally.h \
	broker/namespace/tree.c broker/namespace/tree.h \
	broker/namespace/upload.c broker/namespace/upload.h \
	broker/namespace/walk.c
broker_libnamespace_la_LIBADD = msgs/libmsgs.la common/libcommon.la

ns_fixture = t/unit/ns_fixture.c t/unit/ns_fixture.h
ns_libs = broker/libnamespace.la $(CMOCKA_LIBS)

UNIT_TESTS += t/unit/ns_names
t_unit_ns_names_SOURCES = t/unit/ns_names.c $(ns_fixture)
t_unit_ns_names_LDADD = $(ns_libs)

UNIT_TESTS += t/unit/ns_policy
t_unit_ns_policy_SOURCES = t/unit/ns_policy.c $(ns_fixture)
t_unit_ns_policy_LDADD = $(ns_libs)

UNIT_TESTS += t/unit/ns_files
t_unit_ns_files_SOURCES = t/unit/ns_files.c $(ns_fixture)
t_unit_ns_files_LDADD = $(ns_libs)

UNIT_TESTS += t/unit/ns_limits
t_unit_ns_limits_SOURCES = t/unit/ns_limits.c $(ns_fixture)
t_unit_ns_limits_LDADD = $(ns_libs)
UNIT_TESTS += t/unit/ns_life
t_unit_ns_life_SOURCES = t/unit/ns_life.c $(ns_fixture)
t_unit_ns_life_LDADD = $(ns_libs)
UNIT_TESTS += t/unit/ns_past
t_unit_ns_past_SOURCES = t/unit/ns_past.c $(ns_fixture)
t_unit_ns_past_LDADD = $(ns_libs)

UNIT_TESTS += t/unit/ns_hash
t_unit_ns_hash_SOURCES = t/unit/ns_hash.c $(ns_fixture)
t_unit_ns_hash_LDADD = $(ns_libs)

UNIT_TESTS += t/unit/ns_random
t_unit_ns_random_SOURCES = t/unit/ns_random.c $(ns_fixture)
t_unit_ns_random_LDADD = $(ns_libs)

UNIT_TESTS += t/unit/ns_list
t_unit_ns_list_SOURCES = t/unit/ns_list.c $(ns_fixture)
t_unit_ns_list_LDADD = $(ns_libs)

UNIT_TESTS += t/unit/ns_reclaim
t_unit_ns_reclaim_SOURCES = t/unit/ns_reclaim.c $(ns_fixture)
t_unit_ns_reclaim_LDADD = $(ns_libs)

UNIT_TESTS += t/unit/ns_locations
t_unit_ns_locations_SOURCES = t/unit/ns_locations.c
t_unit_ns_locations_LDADD = $(ns_libs)

check_PROGRAMS += t/bench/namespace
t_bench_namespace_SOURCES = t/bench/namespace.c
t_bench_namespace_LDADD = broker/libnamespace.la
EXTRA_DIST += doc/format/namespace.md
