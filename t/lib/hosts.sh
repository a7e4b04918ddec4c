# SPDX-License-Identifier: MPL-2.0
# Several hosts on this machine: network namespaces joined by a bridge that lives in a
# namespace of its own, so nothing of the machine's network is touched. Sourced after
# cluster.sh; needs root and iproute2 (prerequisite HOSTS).
#
# Host i has eth0 with 10.88.0.i/24 and fd88::i/64. Its link can be taken down silently
# (packets vanish, no RST), and hosts can be put on different sides of a partition.

hosts_prefix=dfs$$

# hosts_up N: makes hosts 1..N.
hosts_up () {
    hosts_n=$1
    ip netns add "$hosts_prefix-sw" &&
        ip -n "$hosts_prefix-sw" link add br0 type bridge &&
        ip -n "$hosts_prefix-sw" link add br1 type bridge &&
        ip -n "$hosts_prefix-sw" link set br0 up && ip -n "$hosts_prefix-sw" link set br1 up || return 1
    hosts_i=1
    while test $hosts_i -le "$hosts_n"; do
        ip netns add "$hosts_prefix-$hosts_i" &&
            ip -n "$hosts_prefix-sw" link add "p$hosts_i" type veth peer name eth0 netns "$hosts_prefix-$hosts_i" &&
            ip -n "$hosts_prefix-sw" link set "p$hosts_i" master br0 up &&
            ip -n "$hosts_prefix-$hosts_i" link set lo up &&
            ip -n "$hosts_prefix-$hosts_i" addr add "10.88.0.$hosts_i/24" dev eth0 &&
            ip -n "$hosts_prefix-$hosts_i" addr add "fd88::$hosts_i/64" dev eth0 nodad &&
            ip -n "$hosts_prefix-$hosts_i" link set eth0 up || return 1
        hosts_i=$((hosts_i + 1))
    done
}

# host_run I COMMAND…: on host I.
host_run () {
    host_i=$1
    shift
    ip netns exec "$hosts_prefix-$host_i" "$@"
}

# host_cut I, host_heal I: its link goes down at the switch's side: silence, no errors.
host_cut () {
    ip -n "$hosts_prefix-sw" link set "p$1" nomaster
}
host_heal () {
    ip -n "$hosts_prefix-sw" link set "p$1" master br0
}

# host_hush I J…: what host I sends to these hosts is lost, silently (it goes to nobody);
# what they send arrives. host_hear I J…: no longer.
host_hush () {
    hush_i=$1
    shift
    for hush_j in "$@"; do
        host_run "$hush_i" ip neigh replace "10.88.0.$hush_j" lladdr 02:00:00:00:00:99 dev eth0 nud permanent || return 1
    done
}
host_hear () {
    hush_i=$1
    shift
    for hush_j in "$@"; do
        host_run "$hush_i" ip neigh del "10.88.0.$hush_j" dev eth0 || return 1
    done
}

# hosts_split I…: these hosts see each other and nobody else; hosts_join puts all together.
hosts_split () {
    for host_i in "$@"; do
        ip -n "$hosts_prefix-sw" link set "p$host_i" master br1 || return 1
    done
}
hosts_join () {
    host_i=1
    while test $host_i -le "$hosts_n"; do
        ip -n "$hosts_prefix-sw" link set "p$host_i" master br0 || return 1
        host_i=$((host_i + 1))
    done
}

hosts_down () {
    for hosts_ns in $(ip netns list | awk '{print $1}' | grep "^$hosts_prefix-"); do
        ip netns del "$hosts_ns"
    done
}
cleanup hosts_down

test "$(id -u)" -eq 0 && ip netns add "$hosts_prefix-try" 2>/dev/null &&
    ip netns del "$hosts_prefix-try" && test_set_prereq HOSTS

# hosts_site N: hosts 1..N get files of their own: $PWD/site on host i is $PWD/hI here,
# and dfs-cluster reaches them by a substitute of ssh.
hosts_site () {
    HOSTS_PREFIX=$hosts_prefix HOSTS_ROOT=$PWD HOSTS_SITE=$PWD/site
    DFS_SSH="'$srcdir/t/lib/nsssh'"
    export HOSTS_PREFIX HOSTS_ROOT HOSTS_SITE DFS_SSH
    mkdir -p site || return 1
    for hosts_i in $(seq "$1"); do
        mkdir -p "h$hosts_i" || return 1
    done
}
# on I COMMAND…: on host I, which sees its own files.
on () {
    "$srcdir/t/lib/hostenter" "$@"
}
# host_reaches I J: as dfs-cluster does.
host_reaches () {
    host_run "$1" "$srcdir/t/lib/nsssh" "10.88.0.$2" true
}

# site_client I SECONDS: the test has one site, in $S, which `client` uses from host I,
# SECONDS at most.
site_client () {
    S=$PWD/site DFS_CONFIG=$PWD/site/cluster.cfg verifier=client
    client_host=$1 client_seconds=$2
    export DFS_CONFIG
}
client () {
    on "$client_host" timeout "$client_seconds" dfs-client "$@"
}
# site_up N: hosts 1..N with files of their own; the client's reaches host 1.
site_up () {
    hosts_up "$1" && hosts_site "$1" && wait_until 10 host_reaches "$client_host" 1
}
# site_clean I…: what cluster_clean asks, of these hosts.
site_clean () {
    for site_i in "$@"; do cluster_clean "h$site_i" || return 1; done
}
