#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="A disk that was set back lists what it has, page by page; what it lost is made again"
. "${srcdir:-.}/t/lib/cluster.sh"
test -z "${DFS_LONG-}" || test_set_prereq LONG # the short tier has it with fake workers and brokers

listed () {
    cat c/logs/*.log >logs.txt && grep -q "inventory_sent .*pages=[2-9]" logs.txt
}

test_expect_success LONG 'an older state of a worker is kept aside' '
    cluster_up c --workers 3 --replicas 2 --chunk-size 64KiB --inline-max 0 &&
    random_file a 60000000 a && dfs-client put a /a && wait_until 30 health_is ok &&
    dfs-cluster stop "$PWD/c" && cp -r c/data/w1 saved && dfs-cluster start "$PWD/c"
'

test_expect_success LONG 'its disk is set back behind what the broker knows: it lists, all is made whole' '
    random_file b 10000000 b && dfs-client put b /b && wait_until 30 health_is ok &&
    dfs-cluster stop "$PWD/c" && rm -r c/data/w1 && cp -r saved c/data/w1 && dfs-cluster start "$PWD/c" &&
    wait_until 60 listed && wait_until 60 health_is ok &&
    dfs-client get /a back && cmp a back && dfs-client get /b back.b && cmp b back.b
'

test_expect_success LONG 'with any other worker gone nothing is lost' '
    dfs-cluster kill "$PWD/c" w2 KILL && wait_until 30 worker_is w2 dead &&
    rm back.b && dfs-client get /b back.b && cmp b back.b && dfs-cluster start "$PWD/c" w2 && wait_until 30 health_is ok
'

test_expect_success LONG 'it stops cleanly' '
    cluster_down c
'

test_done
