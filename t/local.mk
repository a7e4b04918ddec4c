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
	t/0004-hosts.t
EXTRA_DIST += $(SHELL_TESTS) t/lib/cluster.sh t/lib/hosts.sh t/bench/run

# Programs that tests drive.
check_PROGRAMS += t/lib/flood
t_lib_flood_SOURCES = t/lib/flood.c
t_lib_flood_LDADD = msgs/libmsgs.la
