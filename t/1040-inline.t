#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Small files in the namespace: what is beyond its budget goes to workers, without a word"
. "${srcdir:-.}/t/lib/cluster.sh"

inlined () {
    dfs-client status --json >status.json && json bytes_inline status.json
}

test_expect_success 'files beyond the budget are stored all the same' '
    dfs-cluster init "$PWD/c" --base-port 0 --workers 1 --replicas 1 &&
    sed -i "s/^\( *\)inline-max = .*/&\n\1inline-budget = 64KiB/" c/cluster.cfg && grep -q "inline-budget = 64KiB" c/cluster.cfg &&
    dfs-cluster start "$PWD/c" && DFS_CONFIG=$PWD/c/cluster.cfg && export DFS_CONFIG &&
    mkdir many && for i in $(seq 40); do random_file many/$i 4000 $i || return 1; done &&
    dfs-client put -r many /many && dfs-client get -r /many back && diff -r many back &&
    n=$(inlined) && test $n -gt 0 && test $n -le 65536
'

test_expect_success 'one by one, replaced, and after a removal: history still counts' '
    random_file one 4000 50 && dfs-client put one /one && dfs-client put one /many/1 &&
    dfs-client rm /many/2 /many/3 /many/4 && random_file two 4000 51 && dfs-client put two /two &&
    dfs-client get /one got && cmp one got && dfs-client get /many/1 got && cmp one got &&
    dfs-client get /two got && cmp two got && n=$(inlined) && test $n -le 65536
'

test_expect_success 'status says that they have fewer copies than a larger number of replicas asks for' '
    dfs-client status >text && ! grep "small files in the namespace" text &&
    dfs-client admin policy set default --replicas 2 && dfs-client status >text && cat text &&
    grep "small files in the namespace have a copy on each of 1 broker, replicas = 2" text &&
    dfs-client admin policy set default --replicas 1
'

test_expect_success 'a larger inline-max later changes nothing, and breaks nothing' '
    sed -i "s/inline-max = .*/inline-max = 16KiB/" c/cluster.cfg && dfs-cluster stop "$PWD/c" && dfs-cluster start "$PWD/c" &&
    random_file mid 10000 52 && dfs-client put mid /mid && dfs-client get /mid got && cmp mid got && cluster_down c
'

test_expect_success 'the largest inline-max that there is makes a cluster' '
    dfs-cluster init "$PWD/d" --base-port 0 --workers 1 --replicas 1 --inline-max 64KiB && dfs-cluster start "$PWD/d" &&
    DFS_CONFIG=$PWD/d/cluster.cfg && random_file most 65536 53 && dfs-client put most /most && dfs-client get /most got &&
    cmp most got && test "$(inlined)" -eq 65536 && cluster_down d
'

test_expect_success 'a larger one is refused by its name, with what would do' '
    test_must_fail dfs-cluster init "$PWD/e" --base-port 0 --workers 1 --replicas 1 --inline-max 65KiB 2>err &&
    grep "inline-max: 65KiB is not within 0.* and 64KiB" err
'

test_expect_success 'a cluster.cfg that makes no cluster ends the broker with the reason, at once' '
    dfs-cluster init "$PWD/f" --base-port 0 --workers 1 --replicas 1 --security none &&
    for i in $(seq 2 1100); do printf "    w%d\n        host = 127.0.0.1\n        data = data/w%d\n" $i $i; done >>f/cluster.cfg &&
    test_must_fail dfs-cluster start "$PWD/f" b1 && test $(grep -c own_change_refused f/logs/b1.log) -eq 1 &&
    grep "cannot make a cluster: seed is out of range" f/logs/b1.log
'

test_done
