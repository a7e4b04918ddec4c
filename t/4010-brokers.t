#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Three brokers: a leader is killed, stopped, asked to hand over; a minority refuses"
. "${srcdir:-.}/t/lib/cluster.sh"
C=$PWD/c/cluster.cfg

# Load from several clients, and its end: no error, and all that was acknowledged is there.
load () {
    load_n=$((${load_n:-0} + 1)) && led=led$load_n && mkdir $led || return 1
    "$builddir/t/lib/ledger" run "$C" $led "$1" 1000 >load 2>load.err &
    load_pid=$!
    wait_until 30 test -s $led/0
}
load_ends () {
    touch $led/stop && wait $load_pid
    load_code=$?
    cat load load.err && test $load_code -eq 0 && "$builddir/t/lib/ledger" check "$C" $led
}
# A case that failed leaves no load running for the next ones.
case_failed () {
    kill $load_pid && wait $load_pid
}
acks_go_on () {
    lines=$(cat $led/* | wc -l) && wait_until 30 more_than "$lines"
}
more_than () {
    test "$(cat $led/* | wc -l)" -gt "$1"
}
leaderless () {
    dfs-client status --timeout 1 >text && grep -q "no broker does" text
}
says_down () {
    health_is degraded && dfs-client status >text && grep -q "is down" text
}
# milliseconds of the longest pause between two acknowledgements
pause () {
    sed -n "s/.*longest_gap_ms //p" load
}

test_expect_success 'three brokers elect one; status shows them' '
    cluster_up c --brokers 3 --workers 3 --chunk-size 64KiB && wait_until 30 health_is ok &&
    who_leads >first && who_follows >others && test $(wc -l <others) -eq 2 &&
    dfs-client status >text && cat text && grep -q "^b2 .*\(leader\|follower\)" text &&
    dfs-client admin brokers --json >json && test "$(json 2.voter json)" = true
'

test_expect_success 'files are stored and read; small ones inline, as there are enough votes' '
    echo small >small && dfs-client put small /small && random_file big 1000000 1 && dfs-client put big /big &&
    dfs-client cat /small >out && test_cmp small out && dfs-client cat /big >out && cmp big out &&
    dfs-client status --json >st && test "$(json bytes_inline st)" -gt 0
'

test_expect_success 'a follower reads what it has when that will do' '
    dfs-client stat --stale --json /big >st && test "$(json size st)" = 1000000 &&
    dfs-client get --stale /big out && cmp big out && dfs-client ls --stale / >names && grep -q big names
'

test_expect_success 'kill -9 of the leader under load: no error, nothing lost' '
    load 4 && dfs-cluster kill c "$(who_leads)" KILL && acks_go_on && wait_until 30 leader &&
    load_ends && echo "# longest pause: $(pause) ms" && test "$(pause)" -lt 30000
'

test_expect_success 'the killed broker comes back and catches up' '
    wait_until 60 says_down && dfs-cluster start c && wait_until 60 health_is ok
'

test_expect_success 'another broker leads when asked, and nobody notices' '
    load 3 && to=$(who_follows | head -n 1) && dfs-client admin brokers transfer "$to" && wait_until 60 leads_when_asked "$to" &&
    dfs-client admin brokers transfer && acks_go_on && load_ends && echo "# longest pause: $(pause) ms"
'

test_expect_success 'a leader that stops is left; when it goes on, it follows' '
    load 3 && stopped=$(who_leads) && dfs-cluster kill c "$stopped" STOP && acks_go_on &&
    dfs-cluster kill c "$stopped" CONT && acks_go_on && load_ends && echo "# longest pause: $(pause) ms" &&
    wait_until 60 health_is ok
'

test_expect_success 'each broker is restarted, one after the other' '
    load 3 && dfs-cluster restart --rolling c b1 b2 b3 && load_ends &&
    echo "# longest pause: $(pause) ms"
'

two_down () {
    dfs-client status --timeout 1 >text && test "$(grep -c "is down$" text)" = 2
}
test_expect_success 'a minority refuses changes and current reads with exit 6, and says why' '
    for b in $(who_follows); do dfs-cluster kill c $b KILL || return 1; done &&
    wait_until 30 leaderless &&
    test_expect_code 6 dfs-client mkdir --timeout 2 /no 2>err && cat err && grep -q "no broker leads" err &&
    test_expect_code 6 dfs-client stat --timeout 2 /big 2>err && grep -q "not running" err &&
    dfs-client stat --stale /big && wait_until 30 two_down && cat text && grep -q "no broker does" text
'

test_expect_success 'with a majority it goes on, and nothing half-done is there' '
    dfs-cluster start c && wait_until 60 health_is ok && test_expect_code 3 dfs-client stat /no &&
    dfs-client cat /big >out && cmp big out && for l in led[0-9]*; do "$builddir/t/lib/ledger" check "$C" $l || return 1; done
'

test_expect_success 'all stop by themselves, and their namespaces are sound' '
    cluster_down c && for b in b1 b2 b3; do dfs-broker --config "$C" --node $b --fsck || return 1; done
'

test_done
