#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Damaged bytes on a disk are found, read around, and never returned"
. "${srcdir:-.}/t/lib/cluster.sh"

test_expect_success 'a cluster of two workers, two copies' '
    cluster_up c --workers 2 --replicas 2 --chunk-size 1MiB --inline-max 0 &&
    random_file big 30000000 1 && dfs-client put big /big
'

# flip NODE BYTE…: changes a byte in the middle of every volume of a stopped node.
flip () {
    node=$1
    for v in $(find "c/data/$node" -type f -size +2000k ! -name "*.mdb"); do
        perl -e '
            my ($f, $n) = @ARGV; open my $h, "+<:raw", $f or die; my $size = -s $h;
            for my $i (1 .. $n) { my $at = int($size / 40 * $i); seek $h, $at, 0; read $h, my $b, 1;
                seek $h, $at, 0; print $h chr(ord($b) ^ 0x40); }' "$v" "$2" || return 1
    done
}

# The file is whole whichever copies were read; it is read until a damaged one was among
# them. What the client has met is in the log of the worker, chunk by chunk.
whole () {
    dfs-client get -v /big back 2>>err && cmp big back || : >wrong
    test -e wrong || sed -n "s/.*replica_failed chunk=\([0-9a-f]*\) .*code=DFS_EDAMAGED .*/\1/p" err | sort -u >met && test -s met
}
test_expect_success 'bytes flipped in the volumes of one worker: the file comes back whole; the worker logs it' '
    dfs-cluster stop "$PWD/c" w1 && flip w1 20 && dfs-cluster start "$PWD/c" w1 &&
    wait_until 60 whole && test ! -e wrong &&
    while read -r chunk; do wait_until 30 grep "chunk_damaged .* chunk=$chunk" c/logs/w1.log || return 1; done <met
'

# What the reads before have met may be made good by now: damage it anew.
test_expect_success 'verify counts what is damaged' '
    dfs-cluster stop "$PWD/c" w1 && flip w1 39 && dfs-cluster start "$PWD/c" w1 &&
    dfs-client verify --json /big >v.json; test $? -eq 7 -o $? -eq 0 &&
    test "$(($(json corrupt v.json) + $(json missing v.json)))" -gt 0 &&
    dfs-client get /big back && cmp big back
'

test_expect_success 'both copies damaged: exit 7, no file, the chunk is named' '
    dfs-cluster stop "$PWD/c" w1 && dfs-cluster stop "$PWD/c" w2 &&
    flip w1 39 && flip w2 39 && dfs-cluster start "$PWD/c" &&
    test_expect_code 7 dfs-client get /big broken 2>err && test ! -e broken &&
    grep -qE "[0-9a-f]{16}" err && ! ls -A | grep -q "^\.broken"
'

# A put is told "have" for a copy whose damage nobody has read yet; the second one, after
# the reads in between, sends what is missing.
test_expect_success 'the same content stored again heals it' '
    wait_until 60 sh -c "dfs-client put big /big && dfs-client get /big back && cmp big back"
'

test_expect_success 'a volume cut short: the rest and the other copies serve' '
    random_file two 20000000 2 && dfs-client put two /two &&
    dfs-cluster stop "$PWD/c" w2 &&
    for v in $(find c/data/w2 -type f -size +2000k ! -name "*.mdb"); do
        truncate -s "$(($(stat -c %s "$v") / 2))" "$v" || return 1
    done &&
    dfs-cluster start "$PWD/c" w2 && dfs-client get /two two.back && cmp two two.back
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
