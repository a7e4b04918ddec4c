#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="The disk of a broker's log is full: refused and said where nobody else can go on, passed over elsewhere; nothing is lost"
. "${srcdir:-.}/t/lib/mounts.sh"
. "${srcdir:-.}/t/lib/cluster.sh"
test -n "$DFS_LONG" || {
    skip_all="only with DFS_LONG"
    test_done
}
mounts_prereq

# A few segments of the log, and nothing else in it.
small_log () {
    mkdir -p "fs-$1" && mount -t tmpfs -o size=300m none "fs-$1" && mkdir "fs-$1/journal" && ln -s "$PWD/fs-$1/journal" "$2/data/b1/journal"
}
fill () {
    cat /dev/zero >"fs-$1/ballast" 2>/dev/null
    test -s "fs-$1/ballast"
}
said () {
    dfs-client status >text && grep -q "$1" text
}
# Files that lie in the namespace, until one is refused: what was acknowledged is in acked.
many () {
    mkdir -p many && for i in $(seq 4000); do head -c 4000 /dev/urandom >many/$i || return 1; done
}
put_round () {
    dfs-client put --timeout 20 -r many /round$1 >out 2>err && echo $1 >>acked || { head -n 3 err; return 1; }
}
# Small files go into the namespace, and so through the log.
inlined () {
    date +%s%N >probe && dfs-client put probe /probe && dfs-client status --json >st && test "$(json bytes_inline st)" -gt 0
}
rounds_are_there () {
    for i in $(cat acked); do
        rm -rf back && dfs-client get -r /round$i back && diff -r many back || return 1
    done
}

test_expect_success MOUNTS 'one broker, on a small disk of its own for the log' '
    many && dfs-cluster init "$PWD/a" --base-port 0 --brokers 1 --workers 1 --replicas 1 && small_log a a &&
    dfs-cluster start "$PWD/a" && DFS_CONFIG=$PWD/a/cluster.cfg && export DFS_CONFIG && wait_until 60 inlined && put_round 0 && fill a
'

test_expect_success MOUNTS 'it fills: changes are refused with the reason, reads go on, status says so' '
    n=0; while put_round $((n + 1)); do n=$((n + 1)); test $n -lt 60 || return 1; done
    grep -q "no room" err && echo x >x && { dfs-client put --timeout 5 x /x 2>err; code=$?; } ; cat err && echo "exit $code" && test $code -eq 1 &&
    grep -q "no room\|no space" err && rounds_are_there && wait_until 30 said "broker b1: the disk of the journal is full" && cat text
'

test_expect_success MOUNTS 'killed and started on the full disk, it has what it acknowledged' '
    dfs-cluster kill "$PWD/a" b1 KILL && dfs-cluster start "$PWD/a" b1 && wait_until 60 dfs-client stat --timeout 2 / && rounds_are_there
'

# A small file may still find room where a round does not: the log looks for room now and then.
test_expect_success MOUNTS 'with room again it goes on by itself' '
    rm fs-a/ballast && n=0 && while ! put_round again$n; do n=$((n + 1)); test $n -lt 20 || return 1; done && dfs-client put --timeout 20 x /x && rounds_are_there && wait_until 60 health_is ok &&
    dfs-cluster stop "$PWD/a" && dfs-broker --config "$DFS_CONFIG" --node b1 --fsck
'

test_expect_success MOUNTS 'of three brokers the one that leads has a full log: another leads, no client notices' '
    rm acked && dfs-cluster init "$PWD/c" --base-port 0 --brokers 3 --workers 2 && small_log c c && dfs-cluster start "$PWD/c" &&
    DFS_CONFIG=$PWD/c/cluster.cfg && export DFS_CONFIG && wait_until 60 health_is ok && dfs-client admin brokers transfer b1 &&
    wait_until 60 broker_is b1 leader && wait_until 60 inlined && fill c && for i in 1 2 3 4 5 6 7 8 9; do put_round $i || return 1; done &&
    wait_until 30 said "broker b1: the disk of its journal is full" && cat text && test "$(leader)" != b1
'

test_expect_success MOUNTS 'with room again it catches up' '
    rm fs-c/ballast && wait_until 120 health_is ok && put_round again && rounds_are_there && dfs-cluster stop "$PWD/c" &&
    for b in b1 b2 b3; do dfs-broker --config "$DFS_CONFIG" --node $b --fsck || return 1; done
'

mounts_down
test_done
