#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Foreign, newer and doubly used disks are refused by name; a used disk that is lost takes only its chunks"
. "${srcdir:-.}/t/lib/cluster.sh"

test_expect_success 'three workers, the first with two disks, both used' '
    dfs-cluster init "$PWD/c" --base-port 0 --workers 3 --replicas 2 --chunk-size 64KiB --inline-max 0 &&
    perl -pi -e "s{(data = data/w)1\$}{\${1}1, data/w1b}" c/cluster.cfg &&
    DFS_CONFIG=$PWD/c/cluster.cfg && export DFS_CONFIG && mkdir c/data/w1b &&
    dfs-worker --node w1 --format "$PWD/c/data/w1b" && dfs-cluster start "$PWD/c" &&
    for i in 1 2 3 4; do random_file f$i 4000000 $i && dfs-client put f$i /f$i || return 1; done &&
    test -n "$(find c/data/w1 -name "*.vol")" && test -n "$(find c/data/w1b -name "*.vol")"
'

all_there () {
    for i in 1 2 3 4; do rm -f back && dfs-client get /f$i back && cmp f$i back || return 1; done
}
repaired () {
    dfs-client status --json >s.json && test "$(json chunks_under_replicated s.json)" -eq 0 &&
        test "$(json chunks_lost s.json)" -eq 0 &&
        test "$(json repair.waiting s.json)" -eq 0 && test "$(json repair.queued s.json)" -eq 0 && test "$(json repair.active s.json)" -eq 0
}
clean () {
    all_verified && test "$(json replicas v.json)" -ge 496
}
troubled () { # WORD: in what status says of w1
    dfs-client status >text && grep "^note: w1: " text | grep -q "$1"
}

untroubled () {
    dfs-client status >text && ! grep -q "^note: w1: .*w1b" text
}

test_expect_success 'a second worker process on the same directories is refused, the first goes on' '
    test_expect_code 1 dfs-worker --node w1 2>err && grep -i "in use\|locked\|another process" err && all_there
'

test_expect_success 'the used second disk is gone at a restart: only its chunks are, and they are made anew' '
    dfs-cluster stop "$PWD/c" w1 && mv c/data/w1b lost && mkdir c/data/w1b && dfs-cluster start "$PWD/c" w1 &&
    wait_until 60 troubled w1b && test -n "$(find c/data/w1 -name "*.vol")" && wait_until 60 repaired && all_there && clean
'

test_expect_success 'the disk of another cluster in its place is left out by name' '
    dfs-cluster init "$PWD/o" --base-port 0 --workers 1 --replicas 1 && dfs-cluster stop "$PWD/c" w1 &&
    rmdir c/data/w1b && cp -R o/data/w1 c/data/w1b && dfs-cluster start "$PWD/c" w1 &&
    wait_until 60 troubled "cluster" && all_there && clean &&
    grep -q "disk_left_out.*w1b.*cluster" c/logs/w1.log
'

test_expect_success 'as the only disk it keeps the worker from starting, with a message that names it' '
    dfs-cluster stop "$PWD/c" w2 && mv c/data/w2 keep && cp -R o/data/w1 c/data/w2 &&
    test_expect_code 5 dfs-worker --node w2 2>err && grep "c/data/w2" err && grep -i cluster err &&
    rm -rf c/data/w2 && mv keep c/data/w2 && dfs-cluster start "$PWD/c" w2 && wait_until 60 worker_is w2 up
'

test_expect_success 'a disk with a newer format is left out by name, and not touched' '
    dfs-cluster stop "$PWD/c" w1 && rm -rf c/data/w1b && cp -R lost c/data/w1b &&
    vol=$(find c/data/w1b -name "*.vol" | head -n 1) && cksum <"$vol" >before &&
    perl -pi -e "s/^dfs 1\$/dfs 9/" c/data/w1b/dfs-mark &&
    dfs-cluster start "$PWD/c" w1 && wait_until 60 troubled "format" && cksum <"$vol" >after && cmp before after && all_there
'

test_expect_success 'the lost disk comes back with what it had: it is used again' '
    dfs-cluster stop "$PWD/c" w1 && rm -rf c/data/w1b && mv lost c/data/w1b && dfs-cluster start "$PWD/c" w1 &&
    wait_until 60 worker_is w1 up && wait_until 60 repaired && all_there && clean &&
    wait_until 60 untroubled
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
