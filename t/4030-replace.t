#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="A broker away catches up; one that lost its disk is taken in again, under load"
. "${srcdir:-.}/t/lib/cluster.sh"
C=$PWD/c/cluster.cfg

more_than () {
    test "$(cat led/* | wc -l)" -gt "$1"
}
acks_go_on () {
    lines=$(cat led/* | wc -l) && wait_until 60 more_than "$((lines + ${1:-0}))"
}

no_vote () {
    test "$(broker_field "$1" voter)" = false
}
says_no_vote () {
    no_vote "$1" && health_is degraded && dfs-client status >text && grep -q "broker $1 has no vote" text
}
votes () {
    test "$(broker_field "$1" voter)" = true
}

test_expect_success 'three brokers under load' '
    cluster_up c --brokers 3 --workers 3 --chunk-size 64KiB && wait_until 30 health_is ok && mkdir led &&
    { "$builddir/t/lib/ledger" run "$C" led 3 100000 >load 2>load.err & load_pid=$!; } &&
    wait_until 30 test -s led/0
'

test_expect_success 'one that was away catches up while the others serve' '
    away=$(who_follows | head -n 1) && dfs-cluster kill c "$away" KILL && acks_go_on 200 &&
    dfs-cluster start c "$away" && wait_until 60 health_is ok && acks_go_on
'

test_expect_success 'an emptied directory is refused by name' '
    leader=$(who_leads) && lost=$(who_follows | tail -n 1) && echo "$lost" >lost && dfs-cluster kill c "$lost" KILL &&
    rm -rf "c/data/$lost" && test_must_fail dfs-cluster start c "$lost" 2>err && cat err && grep -q "data/$lost" err &&
    test_must_fail dfs-cluster mark c "$lost" 2>err && grep -q "mounted" err
'

test_expect_success 'marked as new it starts, and has no vote' '
    lost=$(cat lost) && dfs-cluster mark --new c "$lost" && dfs-cluster start c "$lost" &&
    wait_until 60 says_no_vote "$lost" && acks_go_on
'

test_expect_success 'replace takes it in, under load' '
    lost=$(cat lost) && dfs-client admin brokers replace "$lost" && wait_until 60 health_is ok && wait_until 60 votes "$lost" &&
    acks_go_on && dfs-client admin brokers >text && cat text && test $(grep -c "^$lost " text) -eq 1
'

test_expect_success 'it may lead, and its vote counts: another one may be lost' '
    lost=$(cat lost) && dfs-client admin brokers transfer "$lost" && wait_until 60 leads_when_asked "$lost" && acks_go_on &&
    other=$(who_follows | head -n 1) && dfs-cluster kill c "$other" KILL && acks_go_on 50 &&
    dfs-cluster start c "$other" && wait_until 60 health_is ok
'

test_expect_success 'the ledger is in the cluster, and the brokers agree' '
    touch led/stop && wait $load_pid; code=$?; cat load load.err; test $code -eq 0 &&
    "$builddir/t/lib/ledger" check "$C" led && cluster_down c &&
    for b in b1 b2 b3; do dfs-broker --config "$C" --node $b --fsck || return 1; done
'

test_done
