#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Workers are evened out, copy by copy, and then it stops"
. "${srcdir:-.}/t/lib/cluster.sh"

# capacity NODE…: 200 MiB each.
capacity () {
    for node; do
        sed -i "s,^\( *data = data/$node\)\$,\1\n        capacity = 200MiB," c/cluster.cfg || return 1
    done
}
# within POINTS: every worker, of the mean fill.
within () {
    dfs-client status --json >status.json && perl -MJSON::PP -e '
        local $/; my $s = JSON::PP->new->utf8->decode(<STDIN>); my ($u, $t) = (0, 0);
        for (@{$s->{workers}}) { $u += $_->{bytes_used}; $t += $_->{bytes_used} + $_->{bytes_free} }
        for (@{$s->{workers}}) { my $f = $_->{bytes_used} / ($_->{bytes_used} + $_->{bytes_free});
            exit 1 if abs ($f - $u / $t) > $ARGV[0] / 100 }' "$1" <status.json
}
idle () {
    dfs-client status --json >status.json && test "$(json rebalance.active status.json)" = false
}
test_expect_success 'three workers, filled by a third' '
    dfs-cluster init "$PWD/c" --base-port 0 --workers 3 --replicas 2 --chunk-size 1MiB && capacity w1 w2 w3 &&
    sed -i -e "s/inline-max = 4KiB/inline-max = 0/" -e "s/^    chunk-size = .*/&\n    upload-timeout = 1s\n    reclaim-grace = 1s/" c/cluster.cfg &&
    dfs-cluster start "$PWD/c" && DFS_CONFIG=$PWD/c/cluster.cfg && export DFS_CONFIG &&
    random_file big 80000000 big && dfs-client put big /big
'

test_expect_success 'one more joins, empty' '
    dfs-cluster add-worker "$PWD/c" w4 && capacity w4 && dfs-cluster restart "$PWD/c" w4 && wait_until 60 worker_is w4 up
'

test_expect_success 'evened out over kills of a worker and of the broker, while it is read' '
    dfs-client admin rebalance && dfs-cluster kill "$PWD/c" w2 KILL && dfs-cluster start "$PWD/c" w2 &&
    dfs-client get /big - | cmp - big && dfs-cluster kill "$PWD/c" b1 KILL && dfs-cluster start "$PWD/c" b1 &&
    dfs-client admin rebalance && dfs-client get /big - | cmp - big && wait_until 60 within 5
'

test_expect_success 'then it stops, and all is there twice' '
    wait_until 90 idle && dfs-client get /big - | cmp - big && all_verified &&
    test "$(json replicas v.json)" -ge 154
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
