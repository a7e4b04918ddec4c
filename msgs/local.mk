noinst_LTLIBRARIES += msgs/libmsgs.la
msgs_generated = \
	msgs/entry.pb-c.c msgs/entry.pb-c.h \
	msgs/control.pb-c.c msgs/control.pb-c.h \
	msgs/record.pb-c.c msgs/record.pb-c.h
# Generated code is not ours to warn about: a library of its own.
noinst_LTLIBRARIES += msgs/libproto.la
nodist_msgs_libproto_la_SOURCES = $(msgs_generated)
msgs_libproto_la_CFLAGS = $(AM_CFLAGS) -w
msgs_libproto_la_LIBADD = $(PROTOBUF_C_LIBS)
BUILT_SOURCES += $(msgs_generated)
CLEANFILES += $(msgs_generated)
EXTRA_DIST += msgs/entry.proto msgs/control.proto msgs/record.proto
msgs_libmsgs_la_SOURCES = \
	msgs/cluster.c msgs/cluster.h \
	msgs/cluster_check.c msgs/cluster_read.h \
	msgs/cluster_find.c msgs/cluster_refused.c \
	msgs/check.c msgs/check.h \
	msgs/copykey.c msgs/copykey.h \
	msgs/envelope.c msgs/envelope.h \
	msgs/frame.c msgs/frame.h \
	msgs/grant.c msgs/grant.h \
	msgs/handle.c msgs/handle.h \
	msgs/keys.c msgs/keys.h \
	msgs/knock.c msgs/knock.h \
	msgs/mark.c msgs/mark.h \
	msgs/node.c msgs/node.h \
	msgs/path.c msgs/path.h \
	msgs/sock.c msgs/sock.h \
	msgs/zap.c msgs/zap.h
msgs_libmsgs_la_LIBADD = msgs/libproto.la common/libcommon.la $(ZMQ_LIBS) $(CZMQ_LIBS)

msgs/%.pb-c.c: msgs/%.proto
	$(AM_V_GEN)$(MKDIR_P) msgs && $(PROTOC_C) --proto_path=$(top_srcdir)/msgs --c_out=msgs $<
msgs/%.pb-c.h: msgs/%.pb-c.c
	@:
UNIT_TESTS += t/unit/cluster_config
t_unit_cluster_config_SOURCES = t/unit/cluster_config.c
t_unit_cluster_config_LDADD = msgs/libmsgs.la $(CMOCKA_LIBS)
UNIT_TESTS += t/unit/msgs t/unit/sockets
t_unit_msgs_SOURCES = t/unit/msgs.c
t_unit_msgs_LDADD = msgs/libmsgs.la $(CMOCKA_LIBS)
t_unit_sockets_SOURCES = t/unit/sockets.c t/unit/broker_tcp.c
t_unit_sockets_LDADD = msgs/libmsgs.la $(CMOCKA_LIBS)
