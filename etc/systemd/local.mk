# Units for hosts that systemd runs: dfs-broker@NAME, dfs-worker@NAME.
systemdunitdir = $(prefix)/lib/systemd/system
systemdunit_DATA = etc/systemd/dfs-broker@.service etc/systemd/dfs-worker@.service
sysusersdir = $(prefix)/lib/sysusers.d
EXTRA_DIST += etc/systemd/dfs-broker@.service.in etc/systemd/dfs-worker@.service.in \
	etc/systemd/sysusers.conf
CLEANFILES += $(systemdunit_DATA)

etc/systemd/%.service: $(srcdir)/etc/systemd/%.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) etc/systemd && \
	sed -e 's|@bindir[@]|$(bindir)|g' -e 's|@sysconfdir[@]|$(sysconfdir)|g' $< >$@.tmp && mv $@.tmp $@

install-data-hook:
	$(MKDIR_P) '$(DESTDIR)$(sysusersdir)'
	$(INSTALL_DATA) $(srcdir)/etc/systemd/sysusers.conf '$(DESTDIR)$(sysusersdir)/dfs.conf'
uninstall-hook:
	rm -f '$(DESTDIR)$(sysusersdir)/dfs.conf'
