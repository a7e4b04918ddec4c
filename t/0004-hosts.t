#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="The harness for several hosts: addresses, silence, partitions"
. "${srcdir:-.}/t/lib/cluster.sh"
. "${srcdir:-.}/t/lib/hosts.sh"

# reach FROM ADDRESS: a TCP connection to port 7 there is made within half a second.
reach () {
    host_run "$1" perl -MIO::Socket::IP -e '
        exit(IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => 7, Timeout => 0.5) ? 0 : 1)' "$2"
}
# Silence, not a refusal: nothing comes back at all.
silent () {
    host_run "$1" perl -MIO::Socket::IP -MTime::HiRes=time -e '
        my $t = time; my $s = IO::Socket::IP->new(PeerHost => $ARGV[0], PeerPort => 7, Timeout => 0.5);
        exit(!$s && time - $t > 0.4 ? 0 : 1)' "$2"
}

test_expect_success HOSTS 'three hosts with a listener on each' '
    hosts_up 3 &&
    for h in 1 2 3; do
        host_run $h perl -MIO::Socket::IP -e "
            my \$s = IO::Socket::IP->new(LocalHost => q(::), LocalPort => 7, Listen => 9, V6Only => 0) or die;
            print qq(\$\$\n); close STDOUT; while (my \$c = \$s->accept) { close \$c }" >listen$h &
    done
    wait_until 5 sh -c "test -s listen1 && test -s listen2 && test -s listen3"
'
test_expect_success HOSTS 'each reaches each, over IPv4 and IPv6' '
    wait_until 5 reach 1 10.88.0.2 && reach 2 10.88.0.3 && reach 3 10.88.0.1 && reach 1 fd88::3
'
test_expect_success HOSTS 'a host that is cut off is silent, and comes back' '
    host_cut 2 && silent 1 10.88.0.2 && silent 2 10.88.0.3 && reach 1 10.88.0.3 &&
    host_heal 2 && wait_until 5 reach 1 10.88.0.2
'
test_expect_success HOSTS 'a partition: one side does not hear the other' '
    hosts_split 1 && silent 1 10.88.0.2 && reach 2 10.88.0.3 &&
    hosts_join && wait_until 5 reach 1 10.88.0.2
'
test_expect_success HOSTS 'the listeners end' '
    kill $(cat listen1 listen2 listen3)
'

test_done
