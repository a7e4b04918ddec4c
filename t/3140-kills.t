#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="A worker killed again and again under mixed load: what was acknowledged is there, what was removed is not"
. "${srcdir:-.}/t/lib/cluster.sh"

rounds=10
test -n "${DFS_LONG-}" && rounds=200
seed=${KILLS_SEED:-$$}

test_expect_success 'three workers, two copies; small and large chunks' '
    cluster_up c --workers 3 --replicas 2 --chunk-size 64KiB --inline-max 0 &&
    random_file big 3000000 big && dfs-client put big /big
'

# Puts of all sizes, updates, appends, removals and reads; the ledger has a line for each
# acknowledged change: put N, upd N, app N, del N.
load () {
    k=0
    while test ! -e stop; do
        k=$((k + 1))
        random_file l$k $((k * 7919 % 400000 + 1)) l$k && dfs-client put l$k /l$k && echo "put $k" >>ledger
        dfs-client get /big big.$$ 2>/dev/null && { cmp big big.$$ || echo "read $k" >>wrong; }
        case $((k % 5)) in
        1) cp l$k u$k && random_file u$k 50000 u$k && dfs-client update u$k /l$k && mv u$k l$k && echo "upd $k" >>ledger ;;
        2) random_file a$k 30000 a$k && dfs-client append a$k /l$k && cat a$k >>l$k && rm a$k && echo "app $k" >>ledger ;;
        3) dfs-client rm /l$k && rm l$k && echo "del $k" >>ledger ;;
        esac
    done
} 2>/dev/null

test_expect_success "$rounds rounds of kill -9 while it runs (KILLS_SEED=$seed repeats the choices)" '
    : >ledger && { load & load=$!; } &&
    for round in $(seq $rounds); do
        pick 4 && lines=$(wc -l <ledger) && wait_until 60 sh -c "test \$(wc -l <ledger) -gt $((lines + picked))" &&
        pick 3 && w=w$((picked + 1)) && dfs-cluster kill "$PWD/c" $w KILL && dfs-cluster start "$PWD/c" $w ||
            { : >stop; wait $load; return 1; }
    done; : >stop; wait $load; test ! -e wrong && test "$(wc -l <ledger)" -ge $rounds
'

# A change whose answer was lost may have happened: the files say what was acknowledged,
# and only a file whose last step was cut off may be one step further.
test_expect_success 'the ledger is true, by content' '
    while read -r what k; do
        case $what in
        del) test_expect_code 3 dfs-client stat /l$k || return 1 ;;
        put) grep -q "^del $k$" ledger || { dfs-client get /l$k x && { cmp l$k x || { test -e u$k && cmp u$k x; } ||
                { test -e a$k && cat l$k a$k | cmp - x; }; } && rm -f x || return 1; } ;;
        esac
    done <ledger
'

repaired () {
    dfs-client status --json >s.json && test "$(json chunks_under_replicated s.json)" -eq 0 &&
        test "$(json chunks_lost s.json)" -eq 0 && test "$(json repair.waiting s.json)" -eq 0 && test "$(json repair.queued s.json)" -eq 0
}

test_expect_success 'and every copy is whole' '
    wait_until 60 repaired && all_verified
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
