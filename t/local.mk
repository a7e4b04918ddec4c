# Every test speaks TAP; automake's driver and prove run the same list.
check_PROGRAMS += $(UNIT_TESTS)
TESTS += $(UNIT_TESTS) $(SHELL_TESTS)
TEST_EXTENSIONS = .t
LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
T_LOG_DRIVER = $(LOG_DRIVER)
T_LOG_COMPILER = $(SHELL)
AM_TESTS_ENVIRONMENT = CMOCKA_MESSAGE_OUTPUT=TAP; export CMOCKA_MESSAGE_OUTPUT; \
	srcdir='$(abs_top_srcdir)'; export srcdir; \
	builddir='$(abs_top_builddir)'; export builddir;
SHELL_TESTS += \
	t/0001-lint.t \
	t/0002-programs.t \
	t/0003-install.t \
	t/0004-hosts.t \
	t/1000-files.t \
	t/1010-trees.t \
	t/1020-reads.t \
	t/1040-inline.t \
	t/2000-replicas.t \
	t/3000-restart.t \
	t/3010-damage.t \
	t/3020-scrub.t \
	t/3030-disks.t \
	t/3100-full.t \
	t/3110-readonly.t \
	t/3120-failing.t \
	t/3130-disk-loss.t \
	t/3140-kills.t \
	t/3150-quiet-scrub.t \
	t/3160-offline.t \
	t/3170-slow.t \
	t/3300-repair.t \
	t/3310-drain.t \
	t/3320-policy.t \
	t/3330-monitor.t \
	t/3340-domains.t t/3370-listing.t \
	t/3360-ten.t \
	t/3370-cut.t \
	t/3400-reclaim.t \
	t/3410-rebalance.t \
	t/3420-trim.t \
	t/4000-strangers.t \
	t/4010-brokers.t \
	t/4020-chaos.t \
	t/4030-replace.t \
	t/4040-partition.t \
	t/4050-agree.t \
	t/4060-five.t \
	t/4070-journal-full.t \
	t/4080-namespace-hangs.t \
	t/4200-faults.t \
	t/5000-json.t \
	t/6000-hosts.t \
	t/6010-addresses.t \
	t/6020-requests.t \
	t/6030-operating.t \
	t/6040-sshd.t \
	t/6050-grow.t \
	t/6060-systemd.t \
	t/6070-racks.t \
	t/8000-large.t \
	t/8010-flood.t \
	t/8020-million.t
EXTRA_DIST += $(SHELL_TESTS) t/lib/cluster.sh t/lib/diagnose.sh t/lib/hosts.sh t/lib/mounts.sh t/lib/hostenter t/lib/nsssh t/bench/run t/bench/commits t/bench/repair

# Programs that tests drive.
check_PROGRAMS += t/lib/flood t/lib/faultproxy
t_lib_faultproxy_SOURCES = t/lib/faultproxy.c
t_lib_flood_SOURCES = t/lib/flood.c
t_lib_flood_LDADD = msgs/libmsgs.la
check_LTLIBRARIES = t/lib/otherclock.la
t_lib_otherclock_la_SOURCES = t/lib/otherclock.c
t_lib_otherclock_la_LDFLAGS = -module -avoid-version -shared -rpath $(abs_builddir)
check_LTLIBRARIES += t/lib/hangdisk.la
t_lib_hangdisk_la_SOURCES = t/lib/hangdisk.c
t_lib_hangdisk_la_LDFLAGS = -module -avoid-version -shared -rpath $(abs_builddir)
check_PROGRAMS += t/lib/alter
t_lib_alter_SOURCES = t/lib/alter.c
t_lib_alter_LDADD = broker/libnamespace.la
check_PROGRAMS += t/lib/ledger
t_lib_ledger_SOURCES = t/lib/ledger.c
t_lib_ledger_LDADD = client/libdfs-internal.la msgs/libmsgs.la

# The same tests with their full counts: hundreds of kills, thousands of seeds.
.PHONY: check-long
check-long:
	DFS_LONG=1 $(MAKE) $(AM_MAKEFLAGS) check
