#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Several hosts by name, over IPv6 alone, and without a name server"
. "${srcdir:-.}/t/lib/cluster.sh"
. "${srcdir:-.}/t/lib/hosts.sh"

site_client 4 30
round_trip () {
    client put some "/$1" && client get "/$1" "$1.back" && cmp some "$1.back"
}

test_expect_success 'the examples are valid' '
    for f in "$srcdir"/etc/examples/*.cfg; do dfs-broker --check --config "$f" --node b1 || return 1; done &&
    dfs-cluster init "$PWD/racks" --from "$srcdir/etc/examples/two-racks.cfg" >out &&
    test $(ls racks/keys/worker-*_secret | wc -l) -eq 12 && test_must_fail grep "id = 0000" racks/cluster.cfg
'

test_expect_success HOSTS 'the example of one host runs on a host' '
    hosts_up 4 && hosts_site 4 && random_file some 5000000 1 &&
    on 1 dfs-cluster init "$S" --from "$srcdir/etc/examples/one-host.cfg" &&
    on 1 dfs-cluster start "$S" && on 1 dfs-client put some /one && on 1 dfs-cluster stop "$S" &&
    cluster_clean h1 && rm -rf h1/*
'

# Names are in each host'"'"'s /etc/hosts; any other is asked of a name server that never
# answers.
test_expect_success HOSTS 'the example of three hosts, by name; bind is an address, host a name' '
    for i in 1 2 3 4; do
        printf "127.0.0.1 localhost\n10.88.0.1 store1\n10.88.0.2 store2\n10.88.0.3 store3\n" >h$i.hosts &&
        echo "nameserver 10.88.0.9" >h$i.resolv &&
        host_run $i ip neigh replace 10.88.0.9 lladdr 02:00:00:00:00:99 dev eth0 nud permanent || return 1
    done &&
    sed -e "s/^\( *\)host = store2/&\n\1bind = 10.88.0.2/" "$srcdir/etc/examples/three-hosts.cfg" >three.cfg &&
    grep -q "bind = 10.88.0.2" three.cfg &&
    on 4 dfs-cluster init "$S" --from three.cfg && on 4 dfs-cluster deploy "$S" &&
    on 4 dfs-cluster start "$S" && round_trip named &&
    host_run 2 ss -ltn >listen && grep -q "10\.88\.0\.2\]*:9010" listen
'

test_expect_success HOSTS 'a name that never resolves holds nobody up' '
    test_must_fail on 4 timeout 60 dfs-cluster add-worker "$S" w4 --host nowhere.example --port 9010 2>err; cat err
    grep -q "nowhere.example.*does not answer" err && test_must_fail grep nowhere h4/cluster.cfg &&
    printf "    w4\n        host = nowhere.example\n        port = 9010\n        data = data/w4\n" >>h4/cluster.cfg &&
    on 4 timeout 60 dfs-cluster deploy "$S" store1 store2 store3 &&
    on 4 timeout 90 dfs-cluster restart "$S" b1 w1 w2 w3 && round_trip unnamed &&
    test_expect_code 1 on 4 timeout 30 dfs-cluster status "$S" >out 2>err &&
    grep -q "w2.*running" out && grep -q "w4.*silent" out
'

test_expect_success HOSTS 'stop' '
    on 4 dfs-cluster stop "$S" b1 w1 w2 w3 && site_clean 1 2 3 &&
    for i in 1 2 3 4; do rm -rf h$i h$i.hosts h$i.resolv && mkdir h$i || return 1; done
'

test_expect_success HOSTS 'IPv6 alone' '
    for i in 1 2 3 4; do host_run $i ip -4 addr flush dev eth0 || return 1; done &&
    on 4 dfs-cluster init "$S" --host "[fd88::1]" --workers-on "[fd88::1],[fd88::2],[fd88::3]" &&
    on 4 dfs-cluster deploy "$S" && on 4 dfs-cluster start "$S" && round_trip six &&
    on 4 dfs-cluster stop "$S" && site_clean 1 2 3
'

test_done
