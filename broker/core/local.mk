# SPDX-License-Identifier: MPL-2.0
noinst_LTLIBRARIES += broker/libcore.la
core_sources = \
	broker/core/actions.c broker/core/event.h \
	broker/core/balance.c broker/core/balance.h \
	broker/core/balance_choose.c broker/core/balance_private.h \
	broker/core/changes.c broker/core/changes.h \
	broker/core/chunks.c broker/core/chunks.h \
	broker/core/commits.c broker/core/commits.h \
	broker/core/copier.c broker/core/copier.h broker/core/copier_private.h \
	broker/core/copier_pick.c broker/core/copier_status.c \
	broker/core/core.c broker/core/core.h broker/core/state.h \
	broker/core/credit.c broker/core/credit.h \
	broker/core/directory.c \
	broker/core/domains.c broker/core/domains.h \
	broker/core/drops.c broker/core/drops.h broker/core/drops_private.h \
	broker/core/drops_orders.c \
	broker/core/grants.c broker/core/grants.h \
	broker/core/hello.c \
	broker/core/list.h \
	broker/core/liveness.c \
	broker/core/members.c broker/core/members.h broker/core/members_private.h \
	broker/core/takers.c \
	broker/core/memory.c broker/core/memory.h \
	broker/core/orders.c \
	broker/core/parking.c \
	broker/core/planted.h \
	broker/core/place.c broker/core/place.h broker/core/place_private.h \
	broker/core/placement.c broker/core/placement.h \
	broker/core/policies.c broker/core/policies.h \
	broker/core/reclaim.c broker/core/reclaim.h broker/core/reclaim_private.h \
	broker/core/reclaim_choose.c \
	broker/core/route.c broker/core/route.h \
	broker/core/scan.c broker/core/scan.h broker/core/scan_private.h \
	broker/core/scan_look.c \
	broker/core/sessions.c broker/core/sessions.h \
	broker/core/status.c \
	broker/core/steal.c broker/core/steal.h \
	broker/core/table.c broker/core/table.h \
	broker/core/trim.c broker/core/trim.h broker/core/trim_private.h \
	broker/core/trim_choose.c \
	broker/core/unknown.c broker/core/unknown.h \
	broker/core/uploads.c broker/core/uploads.h \
	broker/core/verify.c broker/core/verify.h
broker_libcore_la_SOURCES = $(core_sources)
broker_libcore_la_LIBADD = msgs/libmsgs.la

sim_world = \
	t/sim/world.c t/sim/world.h t/sim/world_private.h \
	t/sim/world_clients.c t/sim/world_reclaim.c t/sim/world_storage.c \
	t/sim/world_workers.c t/sim/world_workers.h t/sim/world_faults.c \
	t/sim/world_chunks.c t/sim/world_orders.c t/sim/cases.c t/sim/cases.h
UNIT_TESTS += t/sim/put_sim t/sim/repair_sim
t_sim_put_sim_SOURCES = t/sim/put_sim.c $(sim_world)
t_sim_put_sim_LDADD = broker/libcore.la $(CMOCKA_LIBS)
t_sim_repair_sim_SOURCES = t/sim/repair_sim.c $(sim_world)
t_sim_repair_sim_LDADD = broker/libcore.la $(CMOCKA_LIBS)

# A core of its own, in which bugs can be planted.
UNIT_TESTS += t/sim/reclaim_sim
t_sim_reclaim_sim_SOURCES = t/sim/reclaim_sim.c t/sim/reclaim_sim.h \
	t/sim/reclaim_cases.c t/sim/reclaim_storm.c $(sim_world) $(core_sources)
t_sim_reclaim_sim_CPPFLAGS = $(AM_CPPFLAGS) -DCORE_PLANT
t_sim_reclaim_sim_LDADD = msgs/libmsgs.la $(CMOCKA_LIBS)

core_tests = t/unit/core_table t/unit/core_members t/unit/core_place t/unit/core_repair \
	t/unit/core_route t/unit/core_reclaim t/unit/core_retry t/unit/core_counts \
	t/unit/core_listing t/unit/core_sorting t/unit/core_balance
UNIT_TESTS += $(core_tests)
core_help = t/unit/core_cluster.c t/unit/core_cluster.h
t_unit_core_table_SOURCES = t/unit/core_table.c
t_unit_core_table_LDADD = broker/libcore.la $(CMOCKA_LIBS)
t_unit_core_members_SOURCES = t/unit/core_members.c $(core_help)
t_unit_core_members_LDADD = broker/libcore.la $(CMOCKA_LIBS)
t_unit_core_place_SOURCES = t/unit/core_place.c $(core_help)
t_unit_core_place_LDADD = broker/libcore.la $(CMOCKA_LIBS)
t_unit_core_repair_SOURCES = t/unit/core_repair.c $(core_help)
t_unit_core_repair_LDADD = broker/libcore.la $(CMOCKA_LIBS)
t_unit_core_reclaim_SOURCES = t/unit/core_reclaim.c $(core_help)
t_unit_core_reclaim_LDADD = broker/libcore.la $(CMOCKA_LIBS)
t_unit_core_retry_SOURCES = t/unit/core_retry.c $(core_help)
t_unit_core_retry_LDADD = broker/libcore.la $(CMOCKA_LIBS)
t_unit_core_counts_SOURCES = t/unit/core_counts.c $(core_help)
t_unit_core_counts_LDADD = broker/libcore.la $(CMOCKA_LIBS)
t_unit_core_listing_SOURCES = t/unit/core_listing.c $(core_help)
t_unit_core_listing_LDADD = broker/libcore.la $(CMOCKA_LIBS)
t_unit_core_sorting_SOURCES = t/unit/core_sorting.c $(core_help)
t_unit_core_sorting_LDADD = broker/libcore.la $(CMOCKA_LIBS)
t_unit_core_balance_SOURCES = t/unit/core_balance.c $(core_help)
t_unit_core_balance_LDADD = broker/libcore.la $(CMOCKA_LIBS)
t_unit_core_route_SOURCES = t/unit/core_route.c $(core_help)
t_unit_core_route_LDADD = broker/libcore.la $(CMOCKA_LIBS)

# Figures, not a test: make t/bench/core_scale && ./t/bench/core_scale
EXTRA_PROGRAMS += t/bench/core_scale
t_bench_core_scale_SOURCES = t/bench/core_scale.c
t_bench_core_scale_LDADD = broker/libcore.la
