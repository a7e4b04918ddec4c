#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Ten workers, three copies: two die at once, then a soak of random kills (with DFS_LONG)"
. "${srcdir:-.}/t/lib/cluster.sh"
test -z "$DFS_LONG" || test_set_prereq LONG
seconds=${SOAK_SECONDS:-180}
seed=${SOAK_SEED:-$$}

now_ms () {
    echo $(($(date +%s%N) / 1000000))
}
status_is () {
    dfs-client status --json >status.json && test "$(json "$1" status.json)" = "$2"
}
# dead_and_redundant NODE…: these are dead, and everything has its copies.
dead_and_redundant () {
    for node in "$@"; do worker_is "$node" dead || return 1; done
    status_is chunks_under_replicated 0 && test "$(json chunks_lost status.json)" -eq 0
}
# reader: gets every file again and again until there is a file "stop"; each must come whole.
reader () {
    while ! test -e stop; do
        for f in files/*; do
            dfs-client get "/${f#files/}" - 2>>read.err | cmp -s - "$f" || { echo "$f" >>read.bad; }
            test -e stop && break
        done
        echo round >>read.rounds
    done
}
writer () {
    i=0
    while ! test -e stop; do
        i=$((i + 1))
        dfs-client put files/1 "/written-$i" 2>>write.err || echo "$i" >>write.bad
        echo "$i" >write.last
    done
}
all_there () {
    for f in files/*; do dfs-client get "/${f#files/}" - | cmp - "$f" || return 1; done
}
exec 5>&1

test_expect_success LONG 'ten workers, three copies, 20 files' '
    cluster_up c --workers 10 --replicas 3 --chunk-size 256KiB --inline-max 0 && mkdir files &&
    for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do random_file files/$i 4000000 $i || return 1; done &&
    for f in files/*; do dfs-client put "$f" "/${f#files/}" || return 1; done && wait_until 60 status_is health ok
'

test_expect_success LONG 'two die at once while clients read and write: all copies are back, no client sees an error' '
    rm -f stop read.* write.* && : >read.err && : >write.err && { reader & } && r=$! && { writer & } && w=$! &&
    wait_until 60 test -s read.rounds && dfs-cluster kill "$PWD/c" w3 KILL && dfs-cluster kill "$PWD/c" w7 KILL &&
    t0=$(now_ms) && wait_until 120 dead_and_redundant w3 w7 &&
    echo "# two of ten dead, redundant after $(($(now_ms) - t0)) ms" >&5 &&
    touch stop && wait $r && wait $w && cat read.err write.err && test ! -e read.bad && test ! -e write.bad &&
    all_there && dfs-cluster start "$PWD/c" w3 w7 && wait_until 60 worker_is w3 up && wait_until 60 worker_is w7 up
'

test_expect_success LONG "a soak of $seconds s (SOAK_SEED=$seed repeats the choices): every file identical, every count right" '
    rm -f stop read.* write.* && : >read.err && : >write.err && { reader & } && r=$! && { writer & } && w=$! && end=$(($(date +%s) + seconds)) && kills=0 &&
    while test "$(date +%s)" -lt "$end"; do
        pick 10 && a=w$((picked + 1)) && pick 10 && b=w$((picked + 1)) && pick 4 && how=$picked &&
        case $how in
        0) dfs-cluster kill "$PWD/c" $a STOP && wait_until 60 worker_is $a dead && dfs-cluster kill "$PWD/c" $a CONT ;;
        1) dfs-client admin drain $a && dfs-cluster kill "$PWD/c" $a KILL && dfs-cluster start "$PWD/c" $a && dfs-client admin undrain $a ;;
        2) dfs-client admin rebalance && dfs-cluster kill "$PWD/c" $a KILL && dfs-cluster start "$PWD/c" $a ;;
        *) dfs-cluster kill "$PWD/c" $a KILL && { test $a = $b || dfs-cluster kill "$PWD/c" $b KILL; } &&
            wait_until 120 dead_and_redundant $a $b && dfs-cluster start "$PWD/c" $a $b ;;
        esac &&
        wait_until 60 worker_is $a up && wait_until 60 worker_is $b up && kills=$((kills + 1)) || { touch stop; return 1; }
    done &&
    touch stop && wait $r && wait $w && cat read.err write.err && test ! -e read.bad && test ! -e write.bad &&
    echo "# $kills rounds of kills, $(wc -l <read.rounds) rounds of reading, $(cat write.last) files written" >&5 &&
    wait_until 120 status_is health ok && wait_until 120 status_is chunks_under_replicated 0 && all_there &&
    test "$(json chunks_lost status.json)" -eq 0 && dfs-client status --json >status.json &&
    test "$(json chunks status.json)" -eq 320 && wait_until 300 status_is chunks_surplus 0 &&
    dfs-client verify --json / >v.json && test "$(json corrupt v.json)" -eq 0 && test "$(json missing v.json)" -eq 0
'

test_expect_success LONG 'it stops cleanly' 'cluster_down c'

test_done
