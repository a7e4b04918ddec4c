#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Three hosts with a broker and a worker each, cut into a majority and a minority, and joined again"
. "${srcdir:-.}/t/lib/cluster.sh"
. "${srcdir:-.}/t/lib/hosts.sh"

test -z "$DFS_LONG" || test_set_prereq LONG
site_client 4 60
other () {
    on 5 timeout 60 dfs-client "$@"
}
# What cluster.sh asks, from the client host.
state () {
    on 4 dfs-client status --timeout 5 --json >state.json 2>/dev/null
}
leads () {
    state && perl -MJSON::PP -e '
        local $/; my $s = JSON::PP->new->utf8->decode(<STDIN>);
        my @l = grep { $_->{role} eq "leader" } @{$s->{brokers}};
        print substr($l[0]{name}, 1), "\n"; exit(@l != 1);' <state.json
}
# One leads that is not broker $1 (as far as the client can see; there may be elections on
# a busy machine): its number is in the file leader.
other_leads () {
    leads >leader && test "$(cat leader)" != "$1"
}
who_leads () {
    wait_until 60 other_leads none && cat leader
}
# All is redundant, and all workers are back: with one of three still away, another may
# not be taken.
healthy () {
    state && test "$(json health state.json)" = ok &&
        for i in 0 1 2; do test "$(json workers.$i.state state.json)" = up || return 1; done
}
degraded () {
    state && test "$(json health state.json)" = degraded
}
more_than () {
    test "$(cat led/* | wc -l)" -gt "$1"
}
acks_go_on () {
    lines=$(cat led/* | wc -l) && wait_until 60 more_than "$lines"
}

test_expect_success HOSTS 'three hosts, and a client host on each side' '
    site_up 5 &&
    three=10.88.0.1,10.88.0.2,10.88.0.3 &&
    on 4 dfs-cluster init "$S" --brokers-on $three --workers-on $three --chunk-size 64KiB &&
    on 4 dfs-cluster deploy "$S" && on 4 dfs-cluster start "$S" && wait_until 30 healthy &&
    cp -r h4/cluster.cfg h4/keys h5/ && random_file big 3000000 1 && client put big /big && other cat /big >out && cmp big out
'

test_expect_success HOSTS 'the leader and a client are cut off: the majority goes on under load' '
    mkdir led && { on 4 "$builddir/t/lib/ledger" run "$DFS_CONFIG" "$PWD/led" 3 100000 >load 2>load.err & load_pid=$!; } &&
    wait_until 30 test -s led/0 && alone=$(who_leads) && hosts_split $alone 5 && acks_go_on && wait_until 60 other_leads $alone
'

test_expect_success HOSTS 'the minority refuses changes and current reads, and reads what it has when asked to' '
    test_expect_code 6 other mkdir --timeout 2 /no 2>err && cat err && grep -q "no broker leads" err &&
    test_expect_code 6 other stat --timeout 2 /big && other stat --stale /big &&
    other status --timeout 1 >text && cat text && grep -q "no broker does" text
'

test_expect_success HOSTS 'joined again, all brokers have the same, and the minority left nothing' '
    hosts_join && wait_until 60 healthy && acks_go_on && other stat /big && test_expect_code 3 other stat /no &&
    other put big /from5 && client cat /from5 >out && cmp big out
'

test_expect_success HOSTS 'a follower is cut off and comes back' '
    alone=$(who_leads) && apart=$((alone % 3 + 1)) && host_cut $apart && wait_until 30 degraded && acks_go_on &&
    wait_until 60 other_leads $apart && host_heal $apart && wait_until 60 healthy && acks_go_on
'

test_expect_success HOSTS 'no client saw an error, and every file is what was acknowledged' '
    touch led/stop && wait $load_pid; code=$?; cat load load.err; test $code -eq 0 && on 4 "$builddir/t/lib/ledger" check "$DFS_CONFIG" "$PWD/led" &&
    client cat /big >out && cmp big out
'

test_expect_success HOSTS,LONG 'every host alone: nothing goes; together again: all goes on' '
    for i in 1 2 3; do host_cut $i || return 1; done &&
    test_expect_code 6 other mkdir --timeout 4 /none &&
    hosts_join && wait_until 60 healthy && other put big /after && client cat /after >out && cmp big out
'

test_expect_success HOSTS 'all stop, and their namespaces are sound' '
    on 4 dfs-cluster stop "$S" && site_clean 1 2 3 &&
    for i in 1 2 3; do on $i dfs-broker --config "$DFS_CONFIG" --node b$i --fsck || return 1; done
'

test_done
