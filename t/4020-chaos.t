#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Brokers killed and stopped at random under load: every acknowledged operation is there"
. "${srcdir:-.}/t/lib/cluster.sh"
C=$PWD/c/cluster.cfg
rounds=${CHAOS_ROUNDS:-${DFS_LONG:+300}}
rounds=${rounds:-4}
seed=${CHAOS_SEED:-$$}

more_than () {
    test "$(cat led/* | wc -l)" -gt "$1"
}
acks_go_on () {
    lines=$(cat led/* | wc -l) && wait_until 60 more_than "$lines"
}
# One or two of three brokers are hit at a time, so now and then there is no majority.
hit () {
    node=b$(($1 + 1))
    case $2 in
    0) dfs-cluster kill c $node KILL && echo $node >>dead ;;
    1) dfs-cluster kill c $node STOP && echo $node >>still ;;
    2) dfs-cluster stop c $node && echo $node >>dead ;;
    esac
}
mend () {
    for node in $(cat still); do dfs-cluster kill c $node CONT || return 1; done
    for node in $(cat dead); do dfs-cluster start c $node || return 1; done
    : >still && : >dead
}

test_expect_success "three brokers under load (CHAOS_SEED=$seed repeats the choices)" '
    cluster_up c --brokers 3 --workers 3 --chunk-size 64KiB && wait_until 30 health_is ok &&
    mkdir led && : >dead && : >still
'

test_expect_success "$rounds rounds of kill -9, stop and SIGSTOP" '
    "$builddir/t/lib/ledger" run "$C" led 3 100000 >load 2>load.err & load_pid=$!
    wait_until 30 test -s led/0 &&
    for round in $(seq $rounds); do
        pick 3 && first=$picked && pick 3 && hit $first $picked &&
        pick 4 && if test $picked -eq 0; then
            pick 2 && second=$(((first + 1 + picked) % 3)) && pick 2 && hit $second $picked
        else
            acks_go_on
        fi && mend && acks_go_on || { echo "round $round"; return 1; }
    done &&
    touch led/stop && wait $load_pid; code=$?; cat load load.err; test $code -eq 0
'

test_expect_success 'the ledger is in the cluster, and the brokers agree' '
    wait_until 60 health_is ok && "$builddir/t/lib/ledger" check "$C" led &&
    cluster_down c && for b in b1 b2 b3; do dfs-broker --config "$C" --node $b --fsck || return 1; done
'

test_done
