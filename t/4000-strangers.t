#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Foreign keys, foreign clusters, wrong directories, garbage on every port"
. "${srcdir:-.}/t/lib/cluster.sh"

test_expect_success 'two clusters' '
    cluster_up c --workers 2 --replicas 2 && mine=$DFS_CONFIG &&
    cluster_up d --workers 1 --replicas 1 && other=$DFS_CONFIG && DFS_CONFIG=$mine &&
    echo hello >f && dfs-client put f /f
'

test_expect_success 'a user key of another cluster is refused, and says so' '
    cp -r c stolen && cp d/keys/user-admin* stolen/keys/ &&
    test_expect_code 5 env DFS_CONFIG="$PWD/stolen/cluster.cfg" dfs-client ls / 2>err &&
    grep -qiE "refused|key" err && grep -q handshake_refused c/logs/b1.log
'

test_expect_success 'secrets that others may read are refused' '
    chmod 0644 stolen/keys/user-admin_secret &&
    test_expect_code 5 env DFS_CONFIG="$PWD/stolen/cluster.cfg" dfs-client ls / 2>err &&
    grep -q "user-admin_secret" err && rm -r stolen
'

test_expect_success 'a broker that is not there: exit 6 within the timeout' '
    dfs-cluster init "$PWD/e" --base-port 0 --workers 1 --replicas 1 &&
    test_expect_code 6 env DFS_CONFIG="$PWD/e/cluster.cfg" dfs-client ls / 2>err && cat err &&
    grep -q "ls: broker b1 is not running (there is no .*/run/b1.ready)" err &&
    test_expect_code 6 dfs-cluster status "$PWD/e" >out && grep -q "no broker is running" out &&
    test_expect_code 6 dfs-cluster status --json "$PWD/e" >out && test "$(json reason out)" = "no broker is running"
'

test_expect_success 'a worker whose key is refused is named soon, and not as one that serves' '
    dfs-cluster stop "$PWD/c" w1 && mkdir right && cp c/keys/worker-w1* right && cp e/keys/worker-w1* c/keys/ &&
    test_expect_code 5 dfs-cluster start --wait 600 "$PWD/c" w1 >out 2>err && cat out err &&
    grep -q "w1: broker b1 refuses its key (.*/worker-w1_secret)" err && test_must_fail grep serving out &&
    dfs-cluster status "$PWD/c" >out && grep -q "w1 *worker *refused" out &&
    dfs-cluster stop "$PWD/c" w1 && cp right/worker-w1 c/keys/ &&
    test_expect_code 5 dfs-cluster start "$PWD/c" w1 >out 2>err && cat out err && test_must_fail grep serving out &&
    grep -q "key .*/worker-w1_secret does not belong to .*/worker-w1$" err && test ! -e c/run/w1.pid &&
    cp right/worker-w1_secret c/keys/ && dfs-cluster start "$PWD/c" w1 >out && grep -q "w1: serving" out
'

test_expect_success 'an unmarked data directory is named; nothing is made in it' '
    dfs-cluster stop "$PWD/d" && mv d/data/w1 d/data/w1.away && mkdir d/data/w1 &&
    test_must_fail dfs-cluster start "$PWD/d" 2>err && grep -q "data/w1" err &&
    test -z "$(ls -A d/data/w1)" && dfs-cluster stop "$PWD/d"; rmdir d/data/w1 &&
    test_must_fail dfs-worker --config d/cluster.cfg --node w1 2>err && grep -q "data/w1" err &&
    mv d/data/w1.away d/data/w1
'

test_expect_success 'the data of another cluster, or of another node, is refused' '
    mv d/data/w1 d/data/w1.away && cp -r e/data/w1 d/data/w1 &&
    test_must_fail dfs-worker --config d/cluster.cfg --node w1 2>err && grep -q "another cluster" err &&
    rm -r d/data/w1 && mv d/data/w1.away d/data/w1
'

test_expect_success 'a second start on the same directory names the first' '
    test_must_fail dfs-broker --config c/cluster.cfg --node b1 2>err &&
    grep -q "$(cluster_pid c b1)" err &&
    test_must_fail dfs-worker --config c/cluster.cfg --node w1 2>err &&
    grep -q "$(cluster_pid c w1)" err
'

test_expect_success 'a port that is taken is named' '
    port=$(sed -n "s/^ports \([0-9]*\).*/\1/p" c/run/b1.ready) &&
    dfs-cluster init "$PWD/g" --base-port $port --workers 1 --replicas 1 &&
    test_must_fail dfs-cluster start "$PWD/g" 2>err && grep -q "$port" err
'

test_expect_success 'init refuses a directory that has a cluster' '
    test_expect_code 4 dfs-cluster init "$PWD/c" 2>err && grep -q cluster.cfg err
'

test_expect_success 'garbage on every port changes nothing' '
    ports=$(cat c/run/*.ready | sed -n "s/^ports //p") &&
    perl -MIO::Socket::INET -e "
        srand 7; my @s;
        for my \$p (@ARGV) { for my \$kind (0..11) {
            my \$s = IO::Socket::INET->new(PeerAddr => qq(127.0.0.1:\$p), Timeout => 2) or next;
            push @s, \$s; local \$SIG{PIPE} = q(IGNORE);
            my \$bytes = \$kind == 0 ? qq(GET / HTTP/1.0\\r\\n\\r\\n) : \$kind == 1 ? q() :
                \$kind == 2 ? chr(255) . (chr(0) x 8) . chr(127) . chr(3) . chr(0) . q(NULL) . (chr(0) x 48) . (chr(255) x 4000) :
                \$kind == 3 ? chr(255) . (chr(0) x 7) . chr(1) . chr(127) . chr(3) . chr(1) . q(CURVE) . (chr(0) x 47) . chr(6) . chr(255) x 9 :
                join(q(), map { chr(int(rand(256))) } 1 .. int(rand(3000)) + 1);
            print {\$s} \$bytes; \$s->flush; } }
        close \$_ for @s" $ports &&
    dfs-client cat /f >out && test_cmp f out &&
    dfs-client put f /after && dfs-client cat /after >out && test_cmp f out &&
    for n in b1 w1 w2; do kill -0 $(cluster_pid c $n) && grep -q "bad_peer node=$n door=" c/logs/$n.log || return 1; done &&
    for door in front back pulse announce; do grep -q "bad_peer node=b1 door=$door " c/logs/b1.log || return 1; done
'

test_expect_success 'security = none works the same' '
    cluster_up n --workers 2 --replicas 2 --security none && random_file x 5000000 x &&
    dfs-client put x /x && dfs-client get /x y && cmp x y && cluster_down n
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
