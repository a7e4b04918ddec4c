#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="A bad network between all of them: slow, lossy, half-open, with bits turned"
. "${srcdir:-.}/t/lib/cluster.sh"
. "${srcdir:-.}/t/lib/hosts.sh"

# Nodes listen at 10.99.0.1 and are known as 10.99.0.2, where a proxy stands before each;
# w1 has one of its own, so that it alone can be cut off.
client () {
    host_run 1 timeout 120 dfs-client "$@"
}
verifier=client
proxy () { # NAME PORTS…
    proxy_name=$1
    shift
    echo pass >$proxy_name.mode
    ip netns exec "$hosts_prefix-1" "$builddir/t/lib/faultproxy" $proxy_name.mode 10.99.0.2 10.99.0.1 "$@" >$proxy_name.out 2>&1 &
    eval "proxy_$proxy_name=$!"
    wait_until 10 grep -q ready $proxy_name.out
}
proxies_end () {
    for proxy_pid in $proxy_b $proxy_w $proxy_w1; do
        kill -TERM $proxy_pid 2>/dev/null && wait $proxy_pid
    done
    proxy_b= proxy_w= proxy_w1=
}
cleanup proxies_end
mode () { # WHAT… (all)
    for mode_name in b w w1; do
        echo "$*" >$mode_name.tmp && mv $mode_name.tmp $mode_name.mode || return 1
    done
}
# cluster_behind NAME: makes and starts it behind the proxies, with the rest as options.
cluster_behind () {
    behind=$1
    shift
    dfs-cluster init "$PWD/$behind" --base-port 9000 --workers 3 --replicas 2 --chunk-size 1MiB "$@" >out &&
    awk "/host = / { print \"        host = 10.99.0.2\"; print \"        bind = 10.99.0.1\"; next }
         { print }
         /port = 90[1]/ { p = \$3 + 0; printf \"        stream-ports = %d-%d\\n\", 9100 + 20 * (p - 9010), 9119 + 20 * (p - 9010) }" \
        "$behind/cluster.cfg" >$behind/new && mv $behind/new $behind/cluster.cfg &&
    host_run 1 dfs-cluster start "$PWD/$behind" && DFS_CONFIG=$PWD/$behind/cluster.cfg && export DFS_CONFIG
}
# round NAME: a tree and a large file go in and come back as they were.
round () {
    client put -r -q tree /$1 && client put -q large /$1.large && rm -rf back back.large &&
    client get -r -q /$1 back && diff -r tree back && client get -q /$1.large back.large && cmp large back.large
}
healthy () {
    client status --json >s.json && test "$(json health s.json)" = ok &&
        test "$(json chunks_under_replicated s.json)" -eq 0 && test "$(json repair.queued s.json)" -eq 0 &&
        for i in 0 1 2; do test "$(json workers.$i.state s.json)" = up || return 1; done
}

test_expect_success HOSTS 'a cluster behind proxies' '
    hosts_up 1 && host_run 1 ip addr add 10.99.0.1/32 dev lo && host_run 1 ip addr add 10.99.0.2/32 dev lo &&
    proxy b 9000-9004 && proxy w1 9010 9100-9119 && proxy w 9011-9012 9120-9159 &&
    random_file large 9000000 1 && mkdir tree &&
    for i in $(seq 60); do random_file tree/$i $((i * 4000)) $i || return 1; done &&
    cluster_behind c && round clean
'

test_expect_success HOSTS 'everything is late' '
    mode delay 30 && round late && mode pass
'

test_expect_success HOSTS 'connections break all the time' '
    mode lossy 300 && round lossy && mode pass && wait_until 60 healthy
'

test_expect_success HOSTS 'one worker is there and silent: put and get go on, and it is taken back' '
    echo stall >w1.mode && round stalled && echo pass >w1.mode && wait_until 60 healthy && round again
'

test_expect_success HOSTS 'one worker refuses every connection' '
    echo cut >w1.mode && round cut && echo pass >w1.mode && wait_until 60 healthy
'

test_expect_success HOSTS 'bits are turned on the way: nothing wrong is believed' '
    mode flip 2000000 && round flipped && mode pass && wait_until 60 healthy &&
    all_verified &&
    client get -r -q /clean back.clean && diff -r tree back.clean
'

test_expect_success HOSTS 'it stops cleanly' '
    host_run 1 dfs-cluster stop "$PWD/c" && cluster_clean c
'

test_expect_success HOSTS 'without encryption, bits turned in what workers take in and send' '
    cluster_behind n --security none --inline-max 0 && echo flip 8000000 >w1.mode && echo flip 8000000 >w.mode && round plain &&
    mode pass && wait_until 60 healthy && all_verified &&
    host_run 1 dfs-cluster stop "$PWD/n" && cluster_clean n
'

test_expect_success HOSTS 'bits were turned, connections were reset' '
    proxies_end && cat ?.out w1.out && cat ?.out w1.out | grep -v "bits turned 0" | grep "bits turned" &&
    cat ?.out | grep -v "reset 0" | grep reset
'

test_done
