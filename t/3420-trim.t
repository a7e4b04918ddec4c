#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Surplus copies go late, hashed and logged; a dead worker can be given up"
. "${srcdir:-.}/t/lib/cluster.sh"

# copies N: every chunk of /f has exactly N copies.
copies () {
    dfs-client explain --json /f >e.json && perl -MJSON::PP -e '
        local $/; my $c = JSON::PP->new->utf8->decode(<STDIN>); exit 1 unless @$c;
        for (@$c) { exit 1 unless @{$_->{replicas}} == $ARGV[0] }' "$1" <e.json
}
redundant () {
    dfs-client status --json >status.json && test "$(json chunks_under_replicated status.json)" -eq 0 &&
        test "$(json repair.queued status.json)" -eq 0 && test "$(json health status.json)" = ok
}
# The two workers that have the first chunk.
holders () {
    dfs-client explain --json /f >e.json && perl -MJSON::PP -e '
        local $/; my $c = JSON::PP->new->utf8->decode(<STDIN>);
        print join(" ", sort map { $_->{worker} } @{$c->[0]{replicas}}), "\n"' <e.json
}
lost_some () {
    dfs-client status --json >status.json && test "$(json chunks_lost status.json)" -gt 0
}
test_expect_success 'four workers, two copies' '
    dfs-cluster init "$PWD/c" --base-port 0 --workers 4 --replicas 2 --chunk-size 256KiB &&
    sed -i -e "s/inline-max = 4KiB/inline-max = 0/" -e "s/^    chunk-size = .*/&\n    upload-timeout = 1s\n    reclaim-grace = 1s/" c/cluster.cfg &&
    dfs-cluster start "$PWD/c" && DFS_CONFIG=$PWD/c/cluster.cfg && export DFS_CONFIG &&
    random_file f 8000000 f && dfs-client put f /f && copies 2
'

test_expect_success 'a worker that was dead comes back: surplus copies are let go' '
    dfs-cluster kill "$PWD/c" w1 KILL && wait_until 30 worker_is w1 dead && wait_until 60 redundant &&
    dfs-cluster start "$PWD/c" w1 && wait_until 60 copies 2 && dfs-client get /f - | cmp - f &&
    all_verified
'

test_expect_success 'more copies by policy, and fewer again' '
    dfs-client admin policy set default --replicas 3 && wait_until 60 copies 3 &&
    dfs-client admin policy set default --replicas 2 && wait_until 60 copies 2 && dfs-client get /f - | cmp - f
'

test_expect_success 'what only dead workers have is lost, and critical; they are given up by force only' '
    set -- $(holders) && test $# -eq 2 && kill -KILL $(cluster_pid c $1) $(cluster_pid c $2) &&
    wait_until 30 worker_is $1 dead && wait_until 30 worker_is $2 dead &&
    dfs-client admin repair resume && wait_until 60 lost_some && test "$(json health status.json)" = critical &&
    test_expect_code 7 dfs-client get /f out 2>err && test_must_fail dfs-client admin remove $1 2>err && grep -q force err &&
    dfs-cluster start "$PWD/c" $1 $2 && wait_until 60 redundant && dfs-client get /f - | cmp - f
'

test_expect_success 'given up, it is no worker any more' '
    dfs-cluster kill "$PWD/c" w2 KILL && wait_until 30 worker_is w2 dead && dfs-client admin remove --force w2 &&
    test -z "$(worker_state w2)"
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
