#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Very many files: stored, listed, renamed, restarted, deleted, pruned (a million with DFS_LONG)"
. "${srcdir:-.}/t/lib/cluster.sh"

n=30000
test -z "$DFS_LONG" || n=1000000

ms () {
    echo $(($(date +%s%N) / 1000000))
}
broker_rss () { # KiB
    awk '/^VmRSS/ {print $2}' /proc/$(cluster_pid c b1)/status
}

test_expect_success "$n empty files go in" '
    dfs-cluster init "$PWD/c" --base-port 0 --workers 1 --replicas 1 &&
    sed "s/history = .*/history = 3s/" c/cluster.cfg >c/new && mv c/new c/cluster.cfg &&
    dfs-cluster start "$PWD/c" && DFS_CONFIG=$PWD/c/cluster.cfg && export DFS_CONFIG &&
    mkdir many && perl -e "for (1..\$ARGV[0]) { open my \$f, q(>), sprintf(q(many/f%07d), \$_) or die }" $n &&
    empty=$(broker_rss) && t=$(ms) && dfs-client put -r -q many /many && t=$(($(ms) - t)) &&
    echo "# put: $((n * 1000 / t)) files/s; broker grew by $((($(broker_rss) - empty) * 1024 / n)) bytes a file" >figures
'

test_expect_success 'the listing is complete and in order; others are served meanwhile' '
    (while test ! -e listed; do dfs-client mkdir -p /other && dfs-client rmdir /other || touch failed; done) & other=$! &&
    t=$(ms) && dfs-client ls /many >list; rc=$?; t=$(($(ms) - t)); touch listed; wait $other &&
    test $rc -eq 0 && test ! -e failed && (cd many && ls -f | grep f | LC_ALL=C sort) >want && cmp want list &&
    echo "# ls: $((n * 1000 / (t + 1))) names/s" >>figures
'

test_expect_success 'the directory is renamed as fast as a file' '
    dfs-client mv /many /moved && dfs-client stat /moved/f0000001 &&
    test_expect_code 3 dfs-client stat /many/f0000001
'

test_expect_success 'the broker is killed and serves again with all of it' '
    dfs-cluster kill "$PWD/c" b1 KILL && t=$(ms) && dfs-cluster start "$PWD/c" b1 &&
    dfs-client stat /moved/f0000001 && t=$(($(ms) - t)) &&
    echo "# restart to the first answer: $t ms; then $((($(broker_rss) - empty) * 1024 / n)) bytes a file" >>figures &&
    dfs-client ls /moved >list && cmp want list
'

test_expect_success 'ten among so many dead ones are listed' '
    sed "s|^|/moved/|" want | head -n $((n - 10)) | xargs -n 5000 dfs-client rm -q &&
    tail -n 10 want >ten && t=$(ms) && dfs-client ls /moved >list && t=$(($(ms) - t)) && cmp ten list &&
    echo "# ls of ten among $((n - 10)) deleted: $t ms" >>figures
'

gone () {
    dfs-client status --json >s.json && test "$(json files s.json)" -eq 0
}
past () { # nothing of the past is left
    test "$(dfs-broker --config c/cluster.cfg --node b1 --dump | grep -c "^past_[id]")" -eq 0
}
test_expect_success 'rm -r takes all away at once; what is behind it goes by and by' '
    dfs-client put -r -q many /again && dfs-client rm -r /again &&
    test_expect_code 3 dfs-client stat /again && dfs-client rm -r /moved && wait_until 300 gone &&
    t=$(ms) && wait_until 300 past && echo "# pruned within $((($(ms) - t) / 1000)) s more" >>figures
'

test_expect_success 'nothing is wrong with what is left' '
    cat figures && cluster_down c && dfs-broker --config c/cluster.cfg --node b1 --fsck
'

test_done
