#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="A worker whose disk is full to the last byte: named, passed over, nothing lost, back when there is room"
. "${srcdir:-.}/t/lib/mounts.sh"
. "${srcdir:-.}/t/lib/cluster.sh"
mounts_prereq

test_expect_success MOUNTS 'two workers of three are up, one of them on a file system of 64 MiB' '
    dfs-cluster init "$PWD/c" --base-port 0 --workers 3 --replicas 2 --chunk-size 1MiB --inline-max 0 &&
    mkdir keep && mv c/data/w1/* keep && truncate -s 64M img && mounts_loop "$PWD/img" "$PWD/c/data/w1" &&
    mv keep/* c/data/w1 && perl -pi -e "s{history = .*}{history = 1s\n    upload-timeout = 3s\n    reclaim-grace = 3s}" c/cluster.cfg &&
    dfs-cluster start "$PWD/c" && dfs-cluster stop "$PWD/c" w3 &&
    DFS_CONFIG=$PWD/c/cluster.cfg && export DFS_CONFIG
'

test_expect_success MOUNTS 'small files, which share their volumes' '
    mkdir small && random_file all 8000000 small && split -b 20000 all small/f &&
    dfs-client put -r small /small
'

all_there () {
    for i in $(seq "$1"); do
        rm -f back && dfs-client get /f$i back && cmp f$i back || return 1
    done
}

called_full () {
    condition_is w1 full && health_is degraded && dfs-client status >text && grep "w1" text | grep -q full
}
test_expect_success MOUNTS 'it fills: a put that finds no second place fails and leaves nothing; the worker is called full' '
    n=0 && while i=$((n + 1)) && random_file f$i 5000000 $i && dfs-client put f$i /f$i 2>err; do
        n=$i; test $n -lt 30 || return 1
    done && cat err && test $n -ge 8 && wait_until 60 called_full && test_expect_code 3 dfs-client stat /f$i && all_there $n
'

test_expect_success MOUNTS 'with a third worker all goes on, beside the full one' '
    dfs-cluster start "$PWD/c" w3 && wait_until 60 worker_is w3 up &&
    for i in $(seq $((n + 1)) $((n + 3))); do
        random_file f$i 5000000 $i && dfs-client put f$i /f$i || return 1
    done && n=$((n + 3)) && all_there $n
'

# What the put that failed had stored, and what is moved to the emptier workers, gives room
# back sooner or later: it is taken as well.
no_byte_free () {
    { cat /dev/zero; sync -f c/data/w1; cat /dev/zero; } >>c/data/w1/foreign 2>/dev/null
    test "$(df --output=avail c/data/w1 | tail -n 1 | tr -d " ")" -lt 256
}
full_to_the_last () {
    no_byte_free && condition_is w1 full
}
test_expect_success MOUNTS 'somebody else takes the very last byte: still nothing fails' '
    wait_until 60 no_byte_free &&
    n=$((n + 1)) && random_file f$n 5000000 $n && dfs-client put f$n /f$n && all_there $n
'

test_expect_success MOUNTS 'killed and restarted with no byte free it serves what it has' '
    wait_until 60 no_byte_free && dfs-cluster kill "$PWD/c" w1 KILL && dfs-cluster start "$PWD/c" w1 &&
    wait_until 60 worker_is w1 up && wait_until 60 full_to_the_last && all_there $n
'

test_expect_success MOUNTS 'nothing was lost, nothing is damaged' '
    rm c/data/w1/foreign && all_verified && test "$(json replicas v.json)" -ge $((n * 10))
'

# emptied: w1 has next to nothing left on its disk.
emptied () {
    condition_is w1 ok && test "$(df --output=used c/data/w1 | tail -n 1 | tr -d " ")" -lt 8192
}

test_expect_success MOUNTS 'everything removed, the space comes back and is used again' '
    for i in $(seq $n); do dfs-client rm /f$i || return 1; done && dfs-client rm -r /small &&
    wait_until 120 emptied && dfs-client put f1 /again && rm -f back && dfs-client get /again back && cmp f1 back
'

test_expect_success MOUNTS 'it stops cleanly' 'cluster_down c && mounts_down'

test_done
