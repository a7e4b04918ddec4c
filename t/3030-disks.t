#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="A second disk of a worker: left out and named while it has no mark, used after --format"
. "${srcdir:-.}/t/lib/cluster.sh"

test_expect_success 'a cluster of two workers; one gets a second directory' '
    cluster_up c --workers 2 --replicas 2 --chunk-size 1MiB --inline-max 0 &&
    random_file big 8000000 1 && dfs-client put big /big && dfs-cluster stop "$PWD/c" w1 &&
    perl -0pi -e "s{(data = data/w1)\n}{data = data/w1, data/w1b\n}" c/cluster.cfg &&
    mkdir c/data/w1b
'

troubled () {
    dfs-client status --json >s.json && grep -q "\"trouble\": *\"[^\"]*w1b" s.json
}
untroubled () {
    dfs-client status --json >s.json && ! grep -q "\"trouble\": *\"" s.json && worker_is w1 up
}

test_expect_success 'without a mark it is left out and named; the other disk serves and takes' '
    { dfs-worker --node w1 >w1.log 2>&1 & echo $! >w1.pid; } &&
    wait_until 20 worker_is w1 up && wait_until 10 troubled &&
    grep -q "disk_left_out.*w1b" w1.log && dfs-client status | grep -q "^note: w1: .*w1b" &&
    random_file two 8000000 2 && dfs-client put two /two && dfs-client get /two back &&
    cmp two back; rc=$?; kill "$(cat w1.pid)"; wait "$(cat w1.pid)"; test $rc -eq 0
'

test_expect_success 'formatted, it is used' '
    dfs-worker --node w1 --format "$PWD/c/data/w1b" >marked && dfs-cluster start "$PWD/c" w1 &&
    grep -q "next start" marked && wait_until 20 untroubled && dfs-client get /big back && cmp big back
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
