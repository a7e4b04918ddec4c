#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Five brokers: any two may be lost at once; without three nothing is changed, and nothing is lost"
. "${srcdir:-.}/t/lib/cluster.sh"
C=$PWD/c/cluster.cfg
all="b1 b2 b3 b4 b5"

# All at the same moment: no broker sees one of them go before the other.
kill_at_once () {
    kill_pids= && for b in "$@"; do kill_pids="$kill_pids $(cluster_pid c $b)" || return 1; done && kill -KILL $kill_pids
}
more_than () {
    test "$(cat led/* | wc -l)" -gt "$1"
}
acks_go_on () {
    lines=$(cat led/* | wc -l) && wait_until 60 more_than "$((lines + ${1:-0}))"
}
says () {
    dfs-client status --timeout 5 >text && grep -q "$1" text
}
leaderless () {
    dfs-client status --timeout 1 >text && grep -q "no broker does" text
}
votes () {
    test "$(broker_field "$1" voter)" = true
}
says_no_vote () {
    test "$(broker_field "$1" voter)" = false && says "broker $1 has no vote"
}
# Every broker has applied what the leader has, and nothing is under way.
level () {
    for b in $all; do broker_field $b log_index || return 1; done | sort -u >levels && test "$(wc -l <levels)" -eq 1
}
state_hash () {
    dfs-broker --config "$C" --node $1 --dump >dump.$1 && sed -n "s/^meta \"state\":.* hash=\([0-9a-f]*\).*/\1/p" dump.$1
}

test_expect_success 'five brokers under load' '
    cluster_up c --brokers 5 --workers 3 --chunk-size 64KiB && wait_until 60 health_is ok && mkdir led &&
    { "$builddir/t/lib/ledger" run "$C" led 3 100000 >load 2>load.err & load_pid=$!; } && wait_until 60 test -s led/0
'

test_expect_success 'two of them are killed at once, the leader among them: clients notice nothing' '
    first=$(who_leads) && second=$(who_follows | head -n 1) && echo $first $second >dead &&
    kill_at_once $first $second && acks_go_on 100 &&
    wait_until 60 says "3 of 5 brokers vote: without one more" && cat text &&
    for b in $(cat dead); do grep -q "broker $b is down" text || return 1; done
'

test_expect_success 'a third one: changes and current reads are refused with exit 6, and it is said why' '
    third=$(who_leads) && echo $third >>dead && kill_at_once $third && wait_until 60 leaderless &&
    test_expect_code 6 dfs-client mkdir --timeout 1 /no 2>err && cat err && grep -q "no broker leads" err &&
    test_expect_code 6 dfs-client stat --timeout 1 / 2>err && cat err && grep -q "no broker leads" err && dfs-client stat --stale /
'

test_expect_success 'they come back: the load goes on, and nothing half-done is there' '
    dfs-cluster start c && wait_until 60 health_is ok && acks_go_on 20 && test_expect_code 3 dfs-client stat /no
'

test_expect_success 'one that has lost its data is taken in again, under load' '
    lost=$(who_follows | tail -n 1) && dfs-cluster kill c $lost KILL && rm -rf c/data/$lost && mkdir c/data/$lost &&
    dfs-cluster mark --new c $lost && dfs-cluster start c $lost && wait_until 60 says_no_vote $lost && acks_go_on &&
    dfs-client admin brokers replace $lost && wait_until 60 votes $lost && wait_until 60 health_is ok && acks_go_on 20
'

test_expect_success 'no client had an error, all that was acknowledged is there' '
    touch led/stop && wait $load_pid; code=$?; cat load load.err; test $code -eq 0 && "$builddir/t/lib/ledger" check "$C" led
'

test_expect_success 'the five have the same state, and it is sound' '
    wait_until 60 level && cluster_down c && for b in $all; do
        dfs-broker --config "$C" --node $b --fsck && state_hash $b >>hashes || return 1
    done && cat hashes && test "$(wc -l <hashes)" -eq 5 && test "$(sort -u hashes | wc -l)" -eq 1
'

test_done
