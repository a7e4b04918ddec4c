#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="A broker whose namespace is not that of the others is found, and mended; so is a clock that is wrong"
. "${srcdir:-.}/t/lib/cluster.sh"
C=$PWD/c/cluster.cfg
test -z "$DFS_LONG" || test_set_prereq LONG

# What a broker's records say of its namespace is altered while it is stopped.
alter () {
    dfs-cluster stop c "$1" && "$builddir/t/lib/alter" "c/data/$1" $2 && dfs-cluster start c "$1"
}
said () {
    dfs-client status >text && grep -q "$1" text
}
files_go_on () {
    files_n=$((${files_n:-0} + 1)) && echo $files_n >file && dfs-client put file /f$files_n &&
    dfs-client cat /f$files_n >out && test_cmp file out
}
votes () {
    test "$(broker_field "$1" voter)" = true
}
mend () {
    dfs-cluster stop c "$1" && rm -rf "c/data/$1" && mkdir "c/data/$1" && dfs-cluster mark --new c "$1" && dfs-cluster start c "$1" &&
    dfs-client admin brokers replace "$1" && wait_until 60 health_is ok && votes "$1" && files_go_on
}

# the wall clock of what is run is so many seconds ahead
with_clock () {
    ahead=$1 && shift &&
    OTHERCLOCK=$ahead LD_PRELOAD=$builddir/t/lib/.libs/otherclock.so ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0 "$@"
}
freed () {
    dfs-client status --json >st && test $(($(json reclaim.chunks_free st) + $(json reclaim.chunks_condemned st))) -gt 0
}

test_expect_success 'three brokers' '
    cluster_up c --brokers 3 --workers 3 --chunk-size 64KiB --history 1s && wait_until 60 health_is ok && files_go_on
'

test_expect_success 'one applied an entry in another way: the next hash in the log finds it, the others serve on' '
    b=$(followers | head -n 1) && echo $b >b && alter $b kept && files_go_on &&
    wait_until 60 grep -q namespace_differs c/logs/$b.log && wait_until 60 said "namespace of broker $b is not that of the others" &&
    dfs-client status >text && cat text && files_go_on && health_is degraded
'

test_expect_success LONG 'it does not lead, whoever asks it to' '
    b=$(cat b) && test_must_fail dfs-client admin brokers transfer $b && test "$(leader)" != $b && files_go_on
'

test_expect_success 'it is replaced, and believed again' '
    mend "$(cat b)"
'

test_expect_success LONG 'the leader itself has other records: it finds that by itself, and hands over' '
    b=$(leader) && alter $b && dfs-client admin brokers transfer $b; wait_until 60 grep -q namespace_altered c/logs/$b.log &&
    wait_until 60 said "namespace of broker $b is not that of the others" && test "$(leader)" != $b && files_go_on && mend $b
'

# Overwritten a moment ago: what nothing refers to any more, but for the past.
test_expect_success LONG 'a leader whose clock is not that of the others prunes nothing, and says so' '
    dfs-cluster stop c b1 && with_clock 3600 dfs-cluster start c b1 && wait_until 60 health_is ok &&
    dfs-client admin brokers transfer b1 && wait_until 60 said "clock of broker b1 is 3[56][0-9]* s ahead of the others" &&
    random_file big 200000 1 && dfs-client put big /big && random_file big 200000 2 && dfs-client put big /big &&
    ! wait_until 5 freed && dfs-client cat /big >out && cmp big out && health_is degraded && files_go_on
'

test_expect_success LONG 'one whose clock is right does it' '
    dfs-client admin brokers transfer b2 && wait_until 60 freed && wait_until 60 health_is ok && ! said "clock of broker"
'

test_expect_success 'the brokers agree at the end' '
    cluster_down c && for b in b1 b2 b3; do dfs-broker --config "$C" --node $b --fsck || return 1; done
'

test_done
