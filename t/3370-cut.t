#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="A worker that is cut off, wholly or in part, or killed, in the middle of put, get, repair, drain, rebalance and reclaim"
. "${srcdir:-.}/t/lib/cluster.sh"
. "${srcdir:-.}/t/lib/hosts.sh"

# Broker b1 is on host 1, worker wI on host I+1, the client on host 8. Three copies: two
# workers that are away at once take no chunk's last copy.
# CUT_ONLY="put:cut drain:deaf": these only (with DFS_LONG); CUT_ROUNDS: so many times.
test -z "$DFS_LONG" || test_set_prereq LONG
site_client 8 120
cluster () {
    on 8 dfs-cluster "$@"
}
n=0
part=${DFS_LONG:+64}
part=${part:-16}

# says EXPRESSION: it holds of status ($s) and its workers by name (%w).
says () {
    client status --timeout 5 --json >s.json && perl -MJSON::PP -e '
        local $/; our $s = decode_json (<STDIN>); our %w = map { $_->{name} => $_ } @{$s->{workers}};
        my $is = eval $ARGV[0]; die $@ if $@; exit !$is' "$1" <s.json
}
redundant='$s->{chunks_under_replicated} == 0 && $s->{chunks_lost} == 0 && $s->{repair}{queued} + $s->{repair}{active} == 0'
copying='$s->{repair}{bytes_per_second} > 0'
reclaimed='$s->{reclaim}{chunks_free} + $s->{reclaim}{chunks_condemned} == 0'
# Those that are there have what is needed, and nothing else.
exact='eval { my $n = 0; $n += $_->{chunks} for grep { $_->{state} ne "dead" } values %w; $n == 3 * $s->{chunks} }'
# All is well and nothing is going on.
settled="$redundant && $reclaimed && $exact"' && $s->{health} eq "ok" && $s->{chunks_moving} + $s->{chunks_surplus} == 0 &&
    $s->{reclaim}{copies_dropping} == 0 && !$s->{rebalance}{active} && (grep { $_->{state} eq "up" } values %w) == 6'

# watch: as long as it is not stopped, every chunk of /keep has its three copies, on
# workers there or not, and /keep can be read.
cat >watch <<-\EOS
	cd "$1" || exit 1
	while test ! -e watch.stop; do
	    timeout 120 dfs-client explain --json /keep >watch.json && perl -MJSON::PP -e '
	        local $/; my $c = decode_json (<STDIN>); die "none\n" unless @$c;
	        for (@$c) { my @r = map { "$_->{worker} $_->{state}" } @{$_->{replicas}};
	            die "chunk $_->{id}: @r\n" if @r < 3 }' <watch.json || { echo "explain at $(date +%T)"; exit 1; }
	    timeout 120 dfs-client get /keep - | cmp - keep || { echo "get at $(date +%T)"; exit 1; }
	    echo round >>watch.rounds
	done
EOS
watch_begin () {
    rm -f watch.stop watch.rounds && { on 8 nice sh watch "$PWD" >watch.log 2>&1 & watching=$!; }
}
watch_end () {
    touch watch.stop && { wait $watching; watch_code=$?; cat watch.log; } && test $watch_code -eq 0 && test -s watch.rounds
}
# What a failed case leaves is ended, so that the next one is not its victim.
case_failed () {
    touch watch.stop
    exec 9>&- 7<&-
    wait $watching
    test -z "$how" || fault_ends $how $victim $host
    cluster start "$S"
    client admin undrain w6
}

# --- what is cut ---

others () {
    for other in 1 2 3 4 5 6 7 8; do test $other -eq $1 || echo $other; done
}
# apart I J…, together I J…: host I and these, both ways.
apart () {
    host_hush "$@" && apart_i=$1 && shift && for apart_j in "$@"; do host_hush $apart_j $apart_i || return 1; done
}
together () {
    host_hear "$@" && apart_i=$1 && shift && for apart_j in "$@"; do host_hear $apart_j $apart_i || return 1; done
}
workers () {
    others $1 | sed -e /1/d -e /8/d
}
# fault_begins HOW NODE HOST, fault_ends HOW NODE HOST.
fault_begins () {
    case $1 in
    cut) host_cut $3 ;;
    mute) host_hush $3 $(others $3) ;;
    deaf) for deaf_from in $(others $3); do host_hush $deaf_from $3 || return 1; done ;;
    broker) apart $3 1 ;;
    workers) apart $3 $(workers $3) ;;
    client) apart $3 8 ;;
    kill) cluster kill "$S" $2 KILL ;;
    esac
}
fault_ends () {
    case $1 in
    cut) host_heal $3 ;;
    mute) host_hear $3 $(others $3) ;;
    deaf) for deaf_from in $(others $3); do host_hear $deaf_from $3 || return 1; done ;;
    broker) together $3 1 ;;
    workers) together $3 $(workers $3) ;;
    client) together $3 8 ;;
    kill) cluster start "$S" $2 ;;
    esac
}
# The states that NODE went through, from line $mark of the broker's log on.
went () {
    tail -n +$mark h1/logs/b1.log | sed -n "s/.*worker_state .*node=$1 state=\([a-z]*\) .*/\1/p" | tr "\n" " "
}
noted () {
    case $(went $1) in *"suspect dead "*) ;; *) return 1 ;; esac
}
# fault_seen HOW NODE: who is away is suspect first and then dead; the others are not.
fault_seen () {
    case $1 in
    workers | client) says "\$w{$2}{state} =~ /up|draining|suspect/" ;;
    *) wait_until 60 noted $2 && says "\$w{$2}{state} eq 'dead'" ;;
    esac
}

# --- what goes on: it begins and is under way; it goes on while the worker is away; it ends ---

# feed PARTS: of the file, 64 KiB each.
feed () {
    dd bs=64k iflag=fullblock count=$(($1 * part)) <&7 >&9 2>/dev/null
}
put_begins () {
    random_file file.$n $((4 * part * 65536)) $n && rm -f fifo && mkfifo fifo && says 1 &&
    put_before=$(json bytes_stored s.json) && { client put - /put-$n <fifo 2>put.err & putting=$!; } &&
    exec 9>fifo 7<file.$n && feed 1 && wait_until 60 says "\$s->{bytes_stored} > $put_before + $((part * 65536))"
}
put_early () {
    feed 1
}
put_goes_on () {
    feed 2 && exec 9>&- 7<&- && { wait $putting; put_code=$?; cat put.err; } && test $put_code -eq 0 &&
    client get /put-$n - | cmp - file.$n
}
put_ends () {
    client get /put-$n - | cmp - file.$n && client rm /put-$n
}

get_begins () {
    rm -f fifo && mkfifo fifo && { client get /keep - >fifo 2>get.err & getting=$!; } && exec 9<fifo && head -c 1000000 <&9 >head.back
}
get_early () {
    cat <&9 >rest.back && exec 9<&- && { wait $getting; get_code=$?; cat get.err; } && test $get_code -eq 0 &&
    cat head.back rest.back | cmp - keep
}
get_goes_on () {
    client get /keep - | cmp - keep
}
get_ends () {
    :
}

# Another worker has died.
repair_begins () {
    cluster kill "$S" w1 KILL && wait_until 60 says "\$w{w1}{state} eq 'dead' && $copying"
}
repair_early () {
    says "\$s->{chunks_under_replicated} > 0"
}
repair_goes_on () {
    wait_until 60 says "$redundant && \$w{w1}{state} eq 'dead'"
}
repair_ends () {
    cluster start "$S" w1
}

drain_begins () {
    client admin drain w6 && wait_until 60 says "$copying && \$s->{chunks_moving} > 0"
}
drain_early () {
    says "!\$w{w6}{drained}"
}
drain_goes_on () {
    wait_until 60 says "\$w{w6}{drained} && $redundant"
}
drain_ends () {
    says "\$w{w6}{drained}" && client admin undrain w6
}

# The one that is drained is the one that is cut off.
leave_begins () {
    drain_begins
}
leave_early () {
    drain_early
}
leave_goes_on () {
    wait_until 60 says "$redundant"
}
leave_ends () {
    wait_until 60 says "\$w{w6}{drained} && \$w{w6}{state} eq 'draining'" && client admin undrain w6
}

# A worker has lost its disk, and got an empty one.
rebalance_begins () {
    cluster kill "$S" w6 KILL && wait_until 60 says "\$w{w6}{state} eq 'dead' && $redundant" &&
    find h7/data/w6 -mindepth 1 ! -name dfs-mark -delete && cluster start "$S" w6 && client admin rebalance &&
    wait_until 60 says '$s->{rebalance}{active} && $w{w6}{state} eq "up" && $w{w6}{chunks} > 0'
}
rebalance_early () {
    says '$s->{rebalance}{active}'
}
rebalance_goes_on () {
    wait_until 60 says "$redundant"
}
# 5 points of the capacity are 25.6 chunks.
even='!grep { abs ($_->{chunks} - $s->{chunks} / 2) > 26 } values %w'
rebalance_ends () {
    client admin rebalance && wait_until 60 says "!\$s->{rebalance}{active} && $redundant" && wait_until 60 says "$even"
}

reclaim_begins () {
    random_file gone 12582912 gone-$n && client put gone /gone && client rm /gone &&
    wait_until 60 says '$s->{reclaim}{chunks_condemned} + $s->{reclaim}{copies_dropping} > 0'
}
reclaim_early () {
    says '$s->{reclaim}{chunks_condemned} + $s->{reclaim}{copies_dropping} > 0'
}
# Only what the absent one has is left to be dropped.
reclaim_goes_on () {
    wait_until 60 says "$redundant && $exact"
}
reclaim_ends () {
    :
}

# combination ACTIVITY HOW
combination () {
    victim=w2 host=3 && if test $1 = leave; then victim=w6 host=7; fi
    n=$((n + 1)) && watch_begin && ${1}_begins && mark=$(($(wc -l <h1/logs/b1.log) + 1)) &&
    fault_begins $2 $victim $host && ${1}_early && fault_seen $2 $victim && ${1}_goes_on &&
    fault_ends $2 $victim $host && wait_until 60 says "\$w{$victim}{state} =~ /up|draining/" && ${1}_ends &&
    wait_until 60 says "$settled" && watch_end && all_verified && test "$(json missing v.json)" -eq 0 &&
    test "$(json corrupt v.json)" -eq 0 && client get /keep - | cmp - keep
}

test_expect_success HOSTS 'one broker, six workers on a host each, three copies' '
    site_up 8 &&
    on 8 dfs-cluster init "$S" --host 10.88.0.1 --replicas 3 --chunk-size 256KiB --inline-max 0 \
        --workers-on "$(seq -f 10.88.0.%.0f -s , 2 7)" &&
    sed -i -e "s,^ *data = data/w.\$,&\n        capacity = 128MiB," h8/cluster.cfg &&
    { test -z "$DFS_LONG" || sed -i "s/history = .*/history = 1s\n    upload-timeout = 10s\n    reclaim-grace = 10s/" h8/cluster.cfg; } &&
    printf "repair\n    bandwidth = 1MiB\n" >>h8/cluster.cfg &&
    on 8 dfs-cluster deploy "$S" && on 8 dfs-cluster start "$S" &&
    random_file keep $((6 * part * 65536)) keep && client put keep /keep && wait_until 60 says "$settled"
'

# Both under way at once.
test_expect_success HOSTS 'put and get, a worker is cut off' '
    watch_begin && put_begins && mark=$(($(wc -l <h1/logs/b1.log) + 1)) && host_cut 3 && put_early && fault_seen cut w2 && put_goes_on &&
    host_heal 3 && wait_until 60 says "\$w{w2}{state} eq q(up)" && put_ends && wait_until 60 says "$redundant && \$s->{health} eq q(ok)" &&
    watch_end && all_verified
'

for how in cut mute deaf broker workers client kill; do
    for activity in put get drain leave rebalance repair reclaim; do
        test -z "$CUT_ONLY" || case " $CUT_ONLY " in *" $activity:$how "*) ;; *) continue ;; esac
        for round in $(seq "${CUT_ROUNDS:-1}"); do
            test_expect_success HOSTS,LONG "$activity: $how" "combination $activity $how"
        done
    done
done

test_expect_success HOSTS 'all stop' '
    on 8 dfs-cluster stop "$S" && site_clean 1 2 3 4 5 6 7
'

test_done
