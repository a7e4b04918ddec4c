#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Two copies of everything: any one worker may die, at any moment"
. "${srcdir:-.}/t/lib/cluster.sh"

test_expect_success 'a cluster of three workers, two copies' '
    cluster_up c --workers 3 --replicas 2 --chunk-size 1MiB &&
    random_file big 100000000 1 && mkdir tree && for i in $(seq 200); do random_file tree/$i $((i * 500)) $i || return 1; done
'

test_expect_success 'every chunk is on two workers, all three are used' '
    dfs-client put big /big && dfs-client put -r tree /tree &&
    dfs-client explain --json /big >e.json &&
    perl -MJSON::PP -e "
        local \$/; my \$c = JSON::PP->new->decode(<STDIN>); my %w;
        die q(chunks) unless @\$c == 96;
        for (@\$c) { my %d = map { \$_->{worker} => 1 } @{\$_->{replicas}};
            die q(copies) unless keys %d == 2; \$w{\$_}++ for keys %d }
        die q(spread) unless keys %w == 3; for (values %w) { die qq(uneven \$_) if \$_ < 32 }" <e.json
'

test_expect_success 'verify re-hashes all of them' '
    dfs-client verify --json >v.json &&
    test "$(json corrupt v.json)" -eq 0 && test "$(json missing v.json)" -eq 0 &&
    test "$(json replicas v.json)" -eq $((2 * $(json chunks v.json)))
'

analyzed () {
    dfs-client analyze --json >a.json && test "$(json stored.chunks a.json)" -ge $((2 * $(json unique.chunks a.json)))
}
test_expect_success 'analyze knows factor and distribution' '
    wait_until 30 analyzed && dfs-client analyze >a.txt && grep -q "replication [2-9].*(policy 2)" a.txt
'

test_expect_success 'a worker is killed: everything is read back, and new files go on' '
    dfs-cluster kill "$PWD/c" w1 KILL &&
    dfs-client get /big back && cmp big back &&
    dfs-client get -r /tree tree.back && diff -r tree tree.back &&
    random_file new 20000000 new && dfs-client put new /new && dfs-client get /new new.back && cmp new new.back
'

redundant () {
    dfs-client status --json >s.json && test "$(json chunks_under_replicated s.json)" -eq 0 &&
        test "$(json health s.json)" = ok
}
test_expect_success 'status says who is dead, and worries no longer than copies are missing' '
    wait_until 15 worker_is w1 dead && dfs-client status >s.txt && grep -q "w1.*dead" s.txt &&
    wait_until 30 redundant && dfs-client verify >v.txt
'

test_expect_success 'it returns and counts again' '
    dfs-cluster start "$PWD/c" w1 && wait_until 15 worker_is w1 up
'

test_expect_success 'killed in the middle of a put: the put goes on' '
    random_file mid 200000000 mid &&
    { dfs-client put mid /mid & put=$!; } &&
    wait_until 20 sh -c "test \$(dfs-client status --json | perl -MJSON::PP -e \"local \\\$/; print JSON::PP->new->decode(<STDIN>)->{bytes_stored}\") -gt 330000000" ;
    dfs-cluster kill "$PWD/c" w2 KILL &&
    wait $put &&
    dfs-client get /mid mid.back && cmp mid mid.back
'

test_expect_success 'killed in the middle of a get: the get goes on' '
    dfs-cluster start "$PWD/c" w2 && wait_until 15 worker_is w2 up &&
    { dfs-client get /mid mid.2 & get=$!; } &&
    wait_until 20 sh -c "ls -A . | grep -q \"^\\.mid\\.2\\.\" || test -e mid.2" &&
    dfs-cluster kill "$PWD/c" w3 KILL &&
    wait $get && cmp mid mid.2 &&
    dfs-cluster start "$PWD/c" w3 && wait_until 15 worker_is w3 up
'

test_expect_success 'two of three dead: what cannot be stored is refused, exit 6' '
    dfs-cluster kill "$PWD/c" w1 KILL && dfs-cluster kill "$PWD/c" w2 KILL &&
    wait_until 15 worker_is w1 dead && wait_until 15 worker_is w2 dead &&
    random_file no 3000000 no && test_expect_code 6 dfs-client put no /no 2>err && test -s err &&
    test_expect_code 3 dfs-client stat /no &&
    dfs-cluster start "$PWD/c" && dfs-client put no /no && dfs-client get /no no.back && cmp no no.back
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
