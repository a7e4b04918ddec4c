#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="A disk that hangs: named, passed over, then failing; back as if nothing had been when it answers"
. "${srcdir:-.}/t/lib/mounts.sh"
. "${srcdir:-.}/t/lib/cluster.sh"
mounts_prereq
command -v fsfreeze >/dev/null && test_have_prereq MOUNTS && test_set_prereq FREEZE

# Whatever happens, nothing stays frozen.
thaw () {
    fsfreeze -u c/data/w1 2>/dev/null
    return 0
}
cleanup thaw

test_expect_success FREEZE 'three workers, one on a file system that can be frozen' '
    dfs-cluster init "$PWD/c" --base-port 0 --workers 3 --replicas 2 --chunk-size 1MiB --inline-max 0 &&
    mkdir keep && mv c/data/w1/* keep && truncate -s 256M img && mounts_loop "$PWD/img" "$PWD/c/data/w1" &&
    mv keep/* c/data/w1 && sync -f c/data/w1 &&
    perl -pi -e "s{(data = data/w[23])\$}{\$1\n        capacity = 256MiB}" c/cluster.cfg && dfs-cluster start "$PWD/c" &&
    DFS_CONFIG=$PWD/c/cluster.cfg && export DFS_CONFIG &&
    for i in 1 2 3; do random_file f$i 8000000 $i && dfs-client put f$i /f$i || return 1; done
'

slow () {
    dfs-client status >text && grep "^note: w1: " text | grep -q slow
}
quick () {
    dfs-client status >text && ! grep "^note: w1: " text | grep -q slow
}
all_there () {
    for i in "$@"; do rm -f back && dfs-client get /f$i back && cmp f$i back || return 1; done
}

test_expect_success FREEZE 'it hangs in the middle of puts: they succeed; it is named, and still heard' '
    fsfreeze -f c/data/w1 &&
    for i in 4 5 6; do random_file f$i 8000000 $i && dfs-client put f$i /f$i || return 1; done &&
    wait_until 60 slow && wait_until 60 condition_is w1 read-only && worker_is w1 up && all_there 1 2 3 4 5 6
'

test -z "${DFS_LONG-}" || test_set_prereq LONG

test_expect_success FREEZE,LONG 'when it hangs for long it counts as failing' '
    wait_until 60 condition_is w1 failing && health_is degraded && worker_is w1 up &&
    random_file f7 8000000 7 && dfs-client put f7 /f7 && all_there 1 4 7
'

test_expect_success FREEZE 'it answers again: all is as before, nothing was lost' '
    thaw && wait_until 60 condition_is w1 ok && wait_until 60 quick &&
    random_file f8 8000000 8 && dfs-client put f8 /f8 && all_there 1 2 3 4 5 6 8 &&
    all_verified
'

test_expect_success FREEZE 'it stops cleanly' 'cluster_down c && mounts_down'

test_done
