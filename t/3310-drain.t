#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="A worker is emptied in full service, taken back, and removed"
. "${srcdir:-.}/t/lib/cluster.sh"

# drained NODE: it may be removed.
drained () {
    dfs-client status --json >status.json && perl -MJSON::PP -e '
        local $/; my $s = JSON::PP->new->utf8->decode(<STDIN>);
        for (@{$s->{workers}}) { exit !$_->{drained} if $_->{name} eq $ARGV[0] } exit 1' "$1" <status.json
}
# elsewhere FILE N NODE: each chunk of FILE has N copies that are not on NODE.
elsewhere () {
    dfs-client explain --json "$1" >e.json && perl -MJSON::PP -e '
        local $/; my $c = JSON::PP->new->utf8->decode(<STDIN>); die "none" unless @$c;
        for (@$c) { my %w = map { $_->{worker} => 1 } grep { $_->{worker} ne $ARGV[1] } @{$_->{replicas}};
            die "copies ", scalar keys %w unless keys %w >= $ARGV[0] }' "$2" "$3" <e.json
}
test_expect_success 'four workers, two copies' '
    cluster_up c --workers 4 --replicas 2 --chunk-size 256KiB --inline-max 0 &&
    random_file big 40000000 1 && dfs-client put big /big
'

test_expect_success 'one that is in use is not removed; what is no worker is not found' '
    test_must_fail dfs-client admin remove w1 2>err && grep -q "drain it first" err &&
    test_expect_code 3 dfs-client admin drain w9 && test_expect_code 2 dfs-client admin dance
'

test_expect_success 'drained while files are put and read: nobody sees an error' '
    { for i in 1 2 3 4 5; do random_file n$i 4000000 n$i && dfs-client put n$i /n$i &&
        dfs-client get /big - | cmp - big || exit 1; done & load=$!; } &&
    dfs-client admin drain w1 && worker_is w1 draining &&
    wait $load && wait_until 60 drained w1 &&
    dfs-client status >s.txt && grep -q "w1 is drained and may be removed" s.txt &&
    test "$(json health status.json)" = ok && test "$(json chunks_under_replicated status.json)" = 0 &&
    elsewhere /big 2 w1 && for i in 1 2 3 4 5; do elsewhere /n$i 2 w1 || return 1; done
'

test_expect_success 'it takes nothing new' '
    random_file new 8000000 new && dfs-client put new /new && elsewhere /new 2 w1 &&
    test_must_fail grep -q "\"w1\"" e.json
'

test_expect_success 'taken back, it takes chunks again' '
    dfs-client admin undrain w1 && wait_until 10 worker_is w1 up && test_must_fail drained w1 &&
    random_file more 12000000 more && dfs-client put more /more && test_must_fail elsewhere /more 2 w1
'

test_expect_success 'drained again over a restart of the broker, removed: all is there' '
    dfs-client admin drain w1 && dfs-cluster kill "$PWD/c" b1 KILL && dfs-cluster start "$PWD/c" b1 &&
    wait_until 60 drained w1 && dfs-client admin remove w1 && dfs-client admin remove w1 && test -z "$(worker_state w1)" &&
    dfs-cluster stop "$PWD/c" w1 && for f in big more new n1; do dfs-client get /$f - | cmp - $f || return 1; done &&
    all_verified &&
    dfs-client status --json >status.json && test "$(json health status.json)" = ok
'

test_expect_success 'a restart does not bring it back' '
    dfs-cluster stop "$PWD/c" b1 && dfs-cluster start "$PWD/c" b1 && worker_is w2 up && test -z "$(worker_state w1)"
'

test_expect_success 'a dead one is removed when all it held has copies elsewhere' '
    dfs-cluster kill "$PWD/c" w4 KILL && wait_until 20 worker_is w4 dead &&
    wait_until 30 dfs-client admin remove w4 && dfs-client get /big - | cmp - big
'

test_expect_success 'remove-worker takes it out of the config; its name may be given to another one' '
    dfs-cluster remove-worker "$PWD/c" w4 && test_must_fail grep -q w4 c/cluster.cfg &&
    test ! -e c/keys/worker-w4_secret && test_expect_code 2 dfs-cluster remove-worker "$PWD/c" w4 &&
    test_expect_code 3 dfs-cluster remove-worker "$PWD/c" b1 &&
    test_must_fail dfs-cluster remove-worker "$PWD/c" w2 2>err && grep -q "drain it first" err && grep -q w2 c/cluster.cfg &&
    rm -r c/data/w4 && dfs-cluster add-worker "$PWD/c" w4 && wait_until 30 worker_is w4 up &&
    dfs-client get /big - | cmp - big
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
