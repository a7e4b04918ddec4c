#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Reading around slow workers: pieces asked for twice, and taken over by idle workers"
. "${srcdir:-.}/t/lib/cluster.sh"

reads () {
    dfs-client status --json >reads.json 2>/dev/null && json "reads.$1" reads.json
}

# Nobody is suspected meanwhile: only the client can notice.
test_expect_success 'a worker that is frozen holds no reader up' '
    dfs-cluster init "$PWD/c" --base-port 0 --workers 3 --replicas 2 --chunk-size 1MiB &&
    sed -i "/^heartbeat/,/^[a-z]/ { s/interval = .*/interval = 20s/; s/timeout = .*/timeout = 100s/ }" c/cluster.cfg &&
    grep -q "interval = 20s" c/cluster.cfg && dfs-cluster start "$PWD/c" &&
    DFS_CONFIG=$PWD/c/cluster.cfg && export DFS_CONFIG &&
    random_file big 24000000 1 && dfs-client put big /big && dfs-client get /big back && cmp big back &&
    kill -STOP $(cluster_pid c w1) &&
    { timeout 60 dfs-client get /big back; got=$?; kill -CONT $(cluster_pid c w1); test $got -eq 0; } && cmp big back
'

# Where a file can be without a name.
perl -e 'exit !sysopen (F, ".", 020200001)' && test_set_prereq UNNAMED
unnamed () {
    ls -l /proc/$getting/fd | grep -q "/to/.* (deleted)"
}
# Two of three are frozen: what only they have does not come, so it does not end before.
test_expect_success UNNAMED 'a get that is killed leaves nothing behind' '
    mkdir to && kill -STOP $(cluster_pid c w1) $(cluster_pid c w2) &&
    { dfs-client get /big to/big & getting=$!; } &&
    wait_until 30 unnamed; unnamed=$?; kill -9 $getting; wait $getting
    kill -CONT $(cluster_pid c w1) $(cluster_pid c w2) &&
    test $unnamed -eq 0 && test -z "$(ls -A to)" && dfs-client get /big to/big && cmp big to/big && test "$(ls -A to)" = big &&
    dfs-client get /big to/big && cmp big to/big && test "$(ls -A to)" = big
'

test_expect_success 'because its pieces were asked of others too: some, not all' '
    hedged=$(reads hedged) && pieces=$(reads pieces) && echo "# $hedged of $pieces" &&
    test $hedged -gt 0 && test $hedged -lt $((pieces / 2)) &&
    dfs-client status >text && grep -q "$hedged asked for twice" text
'

test_expect_success 'it goes on serving' '
    dfs-client get /big back && cmp big back && dfs-client verify && cluster_down c
'

# Readers that take nothing fill the queue of the only worker there is; then comes another.
stolen () {
    n=$(reads stolen) && test $n -gt 0
}
streams () {
    dfs-client status --json >streams.json 2>/dev/null &&
        test "$(json workers.0.streams streams.json)" -gt 0
}
round () {
    dfs-cluster stop "$PWD/s" w2 && wait_until 60 worker_is w2 dead &&
    { "$builddir/t/lib/flood" "$DFS_CONFIG" /small 2 0 0 60 >flood.out & flood=$!; } &&
    wait_until 30 streams && dfs-cluster start "$PWD/s" w2 && wait_until 8 stolen
    done=$?
    kill $flood; wait $flood 2>/dev/null
    return $done
}
test_expect_success 'what waits at a busy worker is taken over by an idle one' '
    cluster_up s --workers 2 --replicas 2 --chunk-size 1MiB &&
    random_file small 16000000 2 && dfs-client put small /small &&
    { round || round || round || round || round; } &&
    dfs-client get /small back && cmp small back && cluster_down s
'

test_done
