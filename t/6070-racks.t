#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="The example of two racks: three brokers and twelve workers, folded onto three hosts"
. "${srcdir:-.}/t/lib/cluster.sh"
. "${srcdir:-.}/t/lib/hosts.sh"

site_client 4 90
ok () {
    client status --json >s.json && test "$(json health s.json)" = ok
}

# Rack a on host 1, rack b on host 2, the third place on host 3. Nodes of one host need
# ports and directories of their own.
test_expect_success HOSTS 'it starts' '
    site_up 4 &&
    awk "/^ +[bw][0-9]+\$/ { name = \$1; n++ }
         /host = head/ { sub(/head/, \"10.88.0.\") } /host = a/ { sub(/a[0-9]/, \"10.88.0.1\") }
         /host = b/ { sub(/b[0-9]/, \"10.88.0.2\") } /port = / { sub(/[0-9]+\$/, 9000 + 10 * n) }
         /disk1/ { gsub(/disk/, name \"-\") } { print }" "$srcdir/etc/examples/two-racks.cfg" >racks.cfg &&
    on 4 dfs-cluster init "$S" --from racks.cfg && on 4 dfs-cluster deploy "$S" >out && cat out &&
    on 4 dfs-cluster start "$S" >out && cat out && test $(grep -c "serving on" out) -eq 15 && wait_until 60 ok
'

test_expect_success HOSTS 'copies are in both racks' '
    random_file big 40000000 1 && client put big /big && client explain --json /big >e.json &&
    perl -MJSON::PP -e "local \$/; my \$e = decode_json(<STDIN>);
        for (@\$e) { my %r; my %h; for (@{\$_->{replicas}}) { \$_->{location} =~ m{^(rack-.)/(.*)} or die; \$r{\$1}++; \$h{\$2}++ }
            die unless keys %r == 2 && keys %h == 3 }" <e.json
'

test_expect_success HOSTS 'one rack falls silent, with a broker in it: files are read and written' '
    host_cut 2 && client get /big back && cmp big back && random_file more 5000000 2 &&
    client put more /more && client get /more more2 && cmp more more2
'

test_expect_success HOSTS 'it is back: healthy, everything is there' '
    host_heal 2 && wait_until 120 ok && client get /big back2 && cmp big back2 && client get /more more3 && cmp more more3
'

test_expect_success HOSTS 'it stops' '
    on 4 dfs-cluster stop "$S" >out && test $(grep -c ": stopped" out) -eq 15 &&
    site_clean 1 2 3
'

test_done
