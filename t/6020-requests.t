#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="One number follows an operation through client, broker and workers"
. "${srcdir:-.}/t/lib/cluster.sh"

# The number that the client's log names last in FILE.
request_of () {
    sed -n 's/.*operation req=\([0-9a-f]\{16\}\).*/\1/p' "$1" | tail -n 1
}

test_expect_success 'a cluster that says more' '
    dfs-cluster init "$PWD/c" --base-port 0 --workers 2 --replicas 2 --chunk-size 64KiB &&
    dfs-cluster -q start -v "$PWD/c" && DFS_CONFIG=$PWD/c/cluster.cfg && export DFS_CONFIG &&
    random_file some 300000 1
'

test_expect_success 'a put is found in the logs of the broker and of both workers' '
    dfs-client put -v some /some 2>log && req=$(request_of log) && test -n "$req" &&
    dfs-cluster logs "$PWD/c" --request $req >lines && test_must_fail grep -v "req=$req" lines &&
    grep -q "request.*node=b1.*kind=change" lines && grep -q "chunk_comes node=w1.*hop=" lines &&
    grep -q "chunk_comes node=w2" lines && cut -d" " -f1 lines >times && sort -c times
'

test_expect_success 'so is a get, under another number' '
    dfs-client get -v /some back 2>log && cmp some back && get=$(request_of log) && test "$get" != "$req" &&
    dfs-cluster logs "$PWD/c" --request $get >lines &&
    grep -q "kind=fetch" lines && grep -q "piece_goes node=w" lines
'

test_expect_success 'an operation that fails leaves its way as well' '
    dfs-cluster kill "$PWD/c" w2 && wait_until 15 worker_is w2 dead && random_file more 300000 2 &&
    test_expect_code 6 dfs-client put -v more /more 2>log && no=$(request_of log) &&
    dfs-cluster logs "$PWD/c" --request $no >lines && grep -q "kind=place" lines &&
    dfs-cluster -q start "$PWD/c" w2
'

test_expect_success '--trace says what each step took, on which node' '
    dfs-client --trace put --chunk-size 1MiB some /traced 2>trace && cat trace &&
    for step in "client *read and hash" "b1 *place" "client *send" "w[12] *receive" "w[12] *store" \
        "w[12] *forward" "b1 *change" "client *wait for durable"; do
        grep -q "^  $step  *[1-9]" trace || { echo "no $step"; return 1; }
    done &&
    dfs-client get --trace /traced back 2>trace && cmp some back &&
    for step in "b1 *open" "b1 *fetch" "w[12] *wait" "w[12] *send" "client *receive and check"; do
        grep -q "^  $step  *[1-9]" trace || { echo "no $step"; return 1; }
    done
'

test_expect_success 'in JSON as well, with the number that the logs have' '
    dfs-client --trace put --json some /traced 2>trace >/dev/null && tail -n 1 trace >last &&
    req=$(json request last) && test -n "$(json hops.0.node last)" && test -n "$(json hops.0.ms last)" &&
    dfs-cluster logs "$PWD/c" --request $req >lines && grep -q kind=change lines
'

test_expect_success 'what is slow is logged without being asked for' '
    test_must_fail grep "^log" c/cluster.cfg && printf "log\n    slow = 1ms\n" >>c/cluster.cfg &&
    dfs-cluster -q restart "$PWD/c" && random_file large 24000000 3 &&
    dfs-client put -v --chunk-size 8MiB large /large 2>log && req=$(request_of log) &&
    dfs-cluster logs "$PWD/c" --request $req >lines && grep -q " slow node=w.* kind=store.* ms=" lines
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
