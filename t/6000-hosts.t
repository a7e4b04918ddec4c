#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="A cluster on three hosts, used from a fourth: deployed, cut, healed, rolled"
. "${srcdir:-.}/t/lib/cluster.sh"
. "${srcdir:-.}/t/lib/hosts.sh"

site_client 4 60

test_expect_success HOSTS 'three hosts and a client host' '
    site_up 4 &&
    random_file big 20000000 1 && mkdir tree &&
    for i in $(seq 40); do random_file tree/$i $((i * 3000)) $i || return 1; done
'

test_expect_success HOSTS 'init writes the hosts, deploy gives each its own keys only' '
    on 4 dfs-cluster init "$S" --host 10.88.0.1 --workers-on 10.88.0.1,10.88.0.2,10.88.0.3 --chunk-size 1MiB >out &&
    grep -q "dfs-cluster deploy" out && test ! -e h4/data &&
    on 4 dfs-cluster deploy "$S" &&
    ls h2/keys >keys && grep -q "^worker-w2_secret$" keys && grep -q "^broker-b1$" keys &&
    grep _secret keys >secret && test $(wc -l <secret) -eq 1 && test_must_fail grep hmac keys &&
    ls h1/keys >keys && grep -q cluster-hmac keys && grep -q broker-b1_secret keys &&
    test_must_fail grep "user-.*_secret" keys &&
    test -f h1/data/b1/dfs-mark && test -f h3/data/w3/dfs-mark && test ! -e h3/data/w1 &&
    test "$(stat -c %a h2/keys/worker-w2_secret)" = 600
'

test_expect_success HOSTS 'deploy again changes nothing; a disk that is gone is not marked anew' '
    on 4 dfs-cluster deploy "$S" 10.88.0.2 && mv h2/data/w2 h2/data/gone &&
    test_must_fail on 4 dfs-cluster deploy "$S" 10.88.0.2 2>err && grep -q "data/w2.*mounted" err &&
    test ! -e h2/data/w2 && mv h2/data/gone h2/data/w2
'

test_expect_success HOSTS 'another cluster is never overwritten' '
    cp h3/cluster.cfg keep && sed "s/id = ..../id = ffff/" keep >h3/cluster.cfg &&
    test_must_fail on 4 dfs-cluster deploy "$S" 10.88.0.3 2>err && grep -q "another cluster" err &&
    grep -q ffff h3/cluster.cfg && cp keep h3/cluster.cfg
'

test_expect_success HOSTS 'programs are brought along, and used there from then on' '
    mkdir -p "inst$S/sw/bin" &&
    printf "#!/bin/sh\necho ran >>\"\$HOSTS_SITE/ran\"\nexec \"%s/client/dfs-cluster\" \"\$@\"\n" "$builddir" \
        >"inst$S/sw/bin/dfs-cluster" && chmod +x "inst$S/sw/bin/dfs-cluster" &&
    on 4 dfs-cluster deploy --prefix "$S/sw" --from "$PWD/inst" "$S" 10.88.0.3 &&
    test -x h3/sw/bin/dfs-cluster && test -s h3/ran && test ! -e h2/sw
'

if command -v ssh >/dev/null; then
    test_expect_success HOSTS 'the ordinary ssh client is called; where no sshd is, the host is named' '
        test_expect_code 1 on 4 env DFS_SSH= dfs-cluster status "$S" 2>err && cat err &&
        grep -q "10.88.0.2: does not answer: ssh: connect to host 10.88.0.2 port 22: Connection refused" err
    '
fi

test_expect_success HOSTS 'start returns when all hosts serve; status shows the whole' '
    on 4 dfs-cluster start "$S" >out && test $(grep -c "serving on" out) -eq 4 &&
    on 4 dfs-cluster status --json "$S" >s.json &&
    for i in 0 1 2 3; do test "$(json nodes.$i.state s.json)" = running || return 1; done &&
    test "$(json status.health s.json)" = ok && test_must_fail on 4 dfs-cluster start "$S" w2 2>err &&
    grep -q "running already" err
'

test_expect_success HOSTS 'the main job from the client host' '
    client put big /big && client put -r tree /tree && client get /big back && cmp big back &&
    client get -r /tree tree.back && diff -r tree tree.back && client verify
'

test_expect_success HOSTS 'a host whose file differs is named' '
    echo "# changed" >>h2/cluster.cfg && on 4 dfs-cluster status "$S" >out &&
    grep -q "on 10.88.0.2 differs" out && test_must_fail grep "on 10.88.0.1 differs" out &&
    on 4 dfs-cluster deploy "$S" 10.88.0.2 && on 4 dfs-cluster status "$S" >out && test_must_fail grep differs out
'

test_expect_success HOSTS 'one host falls silent: it is named, put and get go on' '
    host_cut 3 && random_file mid 8000000 mid &&
    client put mid /mid && client get /mid mid.back && cmp mid mid.back &&
    client get /big back2 && cmp big back2 &&
    test_expect_code 1 on 4 dfs-cluster status "$S" >out 2>err &&
    grep -q "10.88.0.3.*does not answer" err && grep -q "w2.*running" out && grep -q "w3.*silent" out
'

test_expect_success HOSTS 'it is back: healthy again' '
    host_heal 3 && wait_until 5 host_reaches 4 3 &&
    healthy () { on 4 dfs-client status --json >h.json && test "$(json health h.json)" = ok &&
        for k in 0 1 2; do test "$(json workers.$k.state h.json)" = up || return 1; done; } &&
    wait_until 20 healthy
'

test_expect_success HOSTS 'the client is cut off from one worker only: put and get go on' '
    host_run 4 ip neigh replace 10.88.0.2 lladdr 02:00:00:00:00:99 dev eth0 nud permanent &&
    random_file cut 6000000 cut && client put cut /cut && client get /cut cut.back && cmp cut cut.back &&
    client get /big back3 && cmp big back3 &&
    host_run 4 ip neigh del 10.88.0.2 dev eth0 &&
    wait_until 5 host_reaches 4 2
'

# Nothing on the client host listens while a get is under way: only the client connects.
test_expect_success HOSTS 'a client that nobody can reach stores and fetches' '
    random_file far 9000000 far && client put far /far && mkfifo pipe &&
    { client get /far - >pipe & getting=$!; } && exec 9<pipe && head -c 1000 <&9 >head.back &&
    host_run 4 cat /proc/net/tcp /proc/net/tcp6 >sockets && grep -q " 01 " sockets &&
    test -z "$(awk "\$4 == \"0A\"" sockets)" &&
    cat <&9 >rest.back && exec 9<&- && wait $getting && cat head.back rest.back | cmp - far
'

test_expect_success HOSTS 'a rolling restart under load loses nothing and fails nothing' '
    wait_until 20 healthy && on 4 dfs-client mkdir /roll &&
    cat >load <<-\EOS &&
	n=0
	while test ! -e "$1/stop"; do
	    n=$((n + 1))
	    timeout 90 dfs-client put --timeout 60 "$1/mid" /roll/$n &&
	        timeout 90 dfs-client get --timeout 60 /roll/$n "$1/roll.back" &&
	        cmp "$1/mid" "$1/roll.back" || { echo "put or get $n failed"; exit 1; }
	done
	echo $n >"$1/rounds"
	EOS
    { on 4 sh load "$PWD" >load.log 2>&1 & load=$!; } &&
    { on 4 dfs-cluster restart --rolling "$S" >out; rolled=$?; touch stop; wait $load; loaded=$?; cat load.log; } &&
    test $rolled -eq 0 && test $loaded -eq 0 && test $(grep -c "serving on" out) -eq 4 && test $(cat rounds) -ge 2
'

test_expect_success HOSTS 'every file is what it was' '
    rm -rf tree.back && client get -r /tree tree.back && diff -r tree tree.back &&
    client get -r /roll rolled && for f in rolled/*; do cmp mid "$f" || return 1; done &&
    client get /big back4 && cmp big back4 && client get /mid mid2 && cmp mid mid2 &&
    client get /cut cut2 && cmp cut cut2 &&
    all_verified
'

test_expect_success HOSTS 'logs of all hosts in the order of time; kill and start one elsewhere' '
    on 4 dfs-cluster kill "$S" w2 && on 4 dfs-cluster start "$S" w2 &&
    on 4 dfs-cluster logs "$S" >log && grep -q node=b1 log && grep -q node=w3 log &&
    cut -d" " -f1 log >times && sort -c times
'

test_expect_success HOSTS 'stop ends all hosts' '
    on 4 dfs-cluster stop "$S" >out && test $(grep -c ": stopped" out) -eq 4 &&
    site_clean 1 2 3
'

test_done
