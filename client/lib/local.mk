libdfs_sources = \
	client/lib/admin.c client/lib/reclaim.c \
	client/lib/attr.h \
	client/lib/change.c client/lib/change.h \
	client/lib/client.c client/lib/client.h \
	client/lib/conn.c client/lib/conn.h \
	client/lib/dfs.c \
	client/lib/extents.c client/lib/extents.h \
	client/lib/file.c \
	client/lib/get.c client/lib/get.h \
	client/lib/get_cut.c \
	client/lib/get_fetch.c \
	client/lib/get_late.c \
	client/lib/get_frames.c \
	client/lib/get_open.c \
	client/lib/health.c \
	client/lib/leader.c client/lib/leader.h \
	client/lib/list.c \
	client/lib/locate.c \
	client/lib/names.c \
	client/lib/pool.c client/lib/pool.h \
	client/lib/presence.c client/lib/presence.h \
	client/lib/put.c client/lib/put.h \
	client/lib/put_chunk.c \
	client/lib/put_commit.c \
	client/lib/put_again.c client/lib/put_policy.c \
	client/lib/put_inline.c \
	client/lib/put_place.c \
	client/lib/put_send.c \
	client/lib/request.c client/lib/request.h \
	client/lib/slice.c client/lib/slice.h \
	client/lib/split.c client/lib/split.h \
	client/lib/trace.c client/lib/trace.h \
	client/lib/streams.c client/lib/streams.h \
	client/lib/uplink.c client/lib/uplink.h \
	client/lib/verify_write.c client/lib/verify_write.h
# Everything, for tests; the library itself shows only dfs_….
noinst_LTLIBRARIES += client/libdfs-internal.la
client_libdfs_internal_la_SOURCES = $(libdfs_sources)
client_libdfs_internal_la_LIBADD = msgs/libmsgs.la
lib_LTLIBRARIES += client/libdfs.la
client_libdfs_la_SOURCES =
client_libdfs_la_LIBADD = client/libdfs-internal.la
client_libdfs_la_LDFLAGS = $(AM_LDFLAGS) -version-info 0:0:0 -no-undefined \
	-export-symbols-regex '^dfs_[a-z]'
include_HEADERS += client/lib/dfs.h
lib_fake = t/unit/lib_world.c t/unit/lib_world.h \
	t/unit/lib_fake.c t/unit/lib_fake.h t/unit/lib_fake_data.c \
	t/unit/lib_fake_names.c t/unit/lib_fake_door.c
UNIT_TESTS += t/unit/lib_put
t_unit_lib_put_SOURCES = t/unit/lib_put.c $(lib_fake)
t_unit_lib_put_LDADD = client/libdfs-internal.la $(CMOCKA_LIBS)
UNIT_TESTS += t/unit/lib_get
t_unit_lib_get_SOURCES = t/unit/lib_get.c $(lib_fake)
t_unit_lib_get_LDADD = client/libdfs-internal.la $(CMOCKA_LIBS)
UNIT_TESTS += t/unit/lib_session
t_unit_lib_session_SOURCES = t/unit/lib_session.c $(lib_fake)
t_unit_lib_session_LDADD = client/libdfs-internal.la $(CMOCKA_LIBS)
UNIT_TESTS += t/unit/lib_parts
t_unit_lib_parts_SOURCES = t/unit/lib_parts.c \
	t/unit/lib_lookups.c t/unit/lib_lookups.h
t_unit_lib_parts_LDADD = client/libdfs-internal.la $(CMOCKA_LIBS)

pkgconfig_DATA = client/lib/dfs.pc
dist_man_MANS += doc/man/dfs_file_open.3 doc/man/dfs_get.3 doc/man/dfs_open.3 \
	doc/man/dfs_put.3 doc/man/dfs_stat.3 doc/man/dfs_status.3
# The examples of the man pages, as programs of others see the library.
check_PROGRAMS += doc/examples/backup doc/examples/tree
doc_examples_backup_SOURCES = doc/examples/backup.c
doc_examples_backup_CPPFLAGS = -I$(top_srcdir)/client/lib -I$(top_srcdir)/common
doc_examples_backup_LDADD = client/libdfs.la
doc_examples_tree_SOURCES = doc/examples/tree.c
doc_examples_tree_CPPFLAGS = -I$(top_srcdir)/client/lib -I$(top_srcdir)/common
doc_examples_tree_LDADD = client/libdfs.la
