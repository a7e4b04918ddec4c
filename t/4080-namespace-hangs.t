#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="The disk of a namespace hangs while that of the log goes on: the broker says so, hands the lead on, and answers what needs no disk"
. "${srcdir:-.}/t/lib/cluster.sh"
test -n "$DFS_LONG" || {
    skip_all="only with DFS_LONG"
    test_done
}
preload=$builddir/t/lib/.libs/hangdisk.so

# Starts a cluster; the namespace of its b1 is on a disk that hangs as long as the file
# "hang" is there.
start_on_disk () {
    HANGDISK=/data/b1/namespace/ HANGDISK_WHILE=$PWD/hang LD_PRELOAD=$preload ASAN_OPTIONS=$ASAN_OPTIONS:verify_asan_link_order=0 dfs-cluster start "$PWD/$1"
}
said () {
    dfs-client status --timeout 2 >text && grep -q "$1" text
}
put_new () {
    put_n=$((${put_n:-0} + 1)) && echo $put_n >file && dfs-client put file /f$put_n
}
puts_are_there () {
    for i in $(seq $put_n); do test "$(dfs-client cat /f$i)" = $i || return 1; done
}

test_expect_success 'three brokers; the leader is on such a disk' '
    dfs-cluster init "$PWD/c" --base-port 0 --brokers 3 --workers 3 && start_on_disk c &&
    DFS_CONFIG=$PWD/c/cluster.cfg && export DFS_CONFIG && wait_until 60 health_is ok && put_new &&
    dfs-client admin brokers transfer b1 && wait_until 60 leads_when_asked b1
'

test_expect_success 'it hangs: a change that was asked for then is done by another leader, and it is named' '
    touch hang && put_new && test "$(who_leads)" != b1 && put_new && puts_are_there &&
    wait_until 60 said "broker b1: the disk of its namespace does not answer" && cat text && health_is degraded &&
    grep namespace_hangs c/logs/b1.log
'

test_expect_success 'it does not take the lead; when it answers again it comes along' '
    { dfs-client admin brokers transfer b1; test "$(who_leads)" != b1; } && put_new &&
    rm hang && wait_until 60 health_is ok && grep namespace_goes_on c/logs/b1.log &&
    dfs-client admin brokers transfer b1 && wait_until 60 leads_when_asked b1 && put_new && puts_are_there
'

test_expect_success 'they agree at the end' '
    dfs-cluster stop "$PWD/c" && for b in b1 b2 b3; do dfs-broker --config "$DFS_CONFIG" --node $b --fsck || return 1; done
'

test_expect_success 'alone it refuses with the reason, and still says how it is' '
    dfs-cluster init "$PWD/a" --base-port 0 --brokers 1 --workers 1 --replicas 1 && start_on_disk a &&
    DFS_CONFIG=$PWD/a/cluster.cfg && export DFS_CONFIG && wait_until 60 health_is ok && put_n=0 && put_new && dfs-client status &&
    touch hang && { dfs-client put --timeout 2 file /late; true; } && wait_until 60 said "broker b1: the disk of the namespace does not answer" && cat text &&
    grep "counts are those of" text && grep "  1 files, 1 directories" text && health_is degraded &&
    test_expect_code 6 dfs-client stat --timeout 2 /f1 2>err && cat err && grep "disk of the namespace of broker b1 does not answer" err
'

test_expect_success 'and goes on by itself' '
    rm hang && wait_until 60 health_is ok && put_new && puts_are_there && dfs-client stat /late &&
    dfs-cluster stop "$PWD/a" && dfs-broker --config "$DFS_CONFIG" --node b1 --fsck
'

test_done
