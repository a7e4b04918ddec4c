#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="What was acknowledged survives kill -9 of broker, workers and clients"
. "${srcdir:-.}/t/lib/cluster.sh"

test_expect_success 'a cluster of three workers' '
    cluster_up c --workers 3 --replicas 2 --chunk-size 1MiB && random_file big 150000000 1
'

test_expect_success 'everything killed at once, started again: all is there' '
    mkdir tree && for i in $(seq 300); do random_file tree/$i $((i * 300)) $i || return 1; done &&
    dfs-client put -r tree /tree && dfs-client put big /big &&
    for n in b1 w1 w2 w3; do dfs-cluster kill "$PWD/c" $n KILL || return 1; done &&
    dfs-cluster start "$PWD/c" &&
    dfs-client get /big back && cmp big back && dfs-client get -r /tree tree.back && diff -r tree tree.back
'

# flow: what all workers together have received since they started; each has
# told the broker that runs now.
flow () {
    dfs-client status --json >flow.json && perl -MJSON::PP -e '
        local $/; my $n = 0;
        for (@{JSON::PP->new->decode(<STDIN>)->{workers}}) { exit 1 unless $_->{memory}; $n += $_->{bytes_in} }
        print "$n\n"' <flow.json
}
flow_now () {
    wait_until 60 eval "flow >flow.now" && cat flow.now
}
flow_is () {
    flow >flow.now && test "$(cat flow.now)" -ge $1
}

# The file comes through a pipe that stays open: the put is neither before its first chunk
# nor after its last one when the broker goes.
test_expect_success 'the broker is killed and started in the middle of a put' '
    random_file mid 150000000 mid && before=$(flow_now) && mkfifo rest &&
    { { head -c 100000000 mid; cat rest; } | dfs-client put - /mid & put=$!; } && exec 8>rest &&
    wait_until 60 flow_is $((before + 20000000)) &&
    dfs-cluster kill "$PWD/c" b1 KILL && dfs-cluster start "$PWD/c" b1 8>&- &&
    kill -0 $put && tail -c +100000001 mid >&8 && exec 8>&- &&
    wait $put && dfs-client get /mid mid.back && cmp mid mid.back
'

test_expect_success 'and in the middle of a get' '
    { dfs-client get /mid mid.2 & get=$!; } &&
    wait_until 20 sh -c "ls -A . | grep -q \"^\\.mid\\.2\\.\" || test -e mid.2" &&
    dfs-cluster kill "$PWD/c" b1 KILL && dfs-cluster start "$PWD/c" b1 &&
    wait $get && cmp mid mid.2
'

# All that the first put was given has arrived; what it still waits for never comes.
test_expect_success 'a client killed in the middle of a put leaves nothing to see' '
    random_file gone 150000000 gone && before=$(flow_now) && mkfifo more &&
    { dfs-client put - /gone <more & put=$!; } && exec 8>more && head -c 120000000 gone >&8 &&
    wait_until 60 flow_is $((before + 230000000)) &&
    kill -9 $put && exec 8>&- && { wait $put; test $? -eq 137; } &&
    test_expect_code 3 dfs-client stat /gone
'

# Both puts together: two copies of the file, and not those of its first four fifths again.
test_expect_success 'run again, it sends only what is missing, and is whole' '
    dfs-client put gone /gone && dfs-client get /gone gone.back && cmp gone gone.back &&
    wait_until 60 flow_is $((before + 300000000)) && test "$(flow)" -lt $((before + 420000000))
'

rounds=10
test -n "${DFS_LONG-}" && rounds=200
test_expect_success 'rounds of kill -9 of each node in turn, under load, lose nothing' '
    { while test ! -e stop; do
        i=$((${i:-0} + 1)); random_file l$i 300000 l$i; dfs-client put l$i /l$i && echo $i >>acked
      done & load=$!; } &&
    for round in $(seq $rounds); do
        n=$(printf "b1\nw1\nw2\nw3\n" | sed -n "$((round % 4 + 1))p") &&
        lines=$(cat acked 2>/dev/null | wc -l) &&
        wait_until 30 sh -c "test \$(wc -l <acked) -gt $lines" &&
        dfs-cluster kill "$PWD/c" $n KILL && dfs-cluster start "$PWD/c" $n || { : >stop; return 1; }
    done; : >stop; wait $load;
    test "$(wc -l <acked)" -ge $rounds &&
    while read -r i; do dfs-client get /l$i x && cmp l$i x || return 1; done <acked
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
