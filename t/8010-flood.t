#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="100 stalled readers and 100 uploaders of 64 MiB chunks: one worker, bounded memory"
. "${srcdir:-.}/t/lib/cluster.sh"

limit=262144
sed -n 's/^MODE_CFLAGS = //p' "$builddir/Makefile" | grep -q fsanitize && limit=0

test_expect_success 'one worker with a file of two chunks' '
    cluster_up c --workers 1 --replicas 1 --chunk-size 64MiB &&
    random_file big 134217728 1 && dfs-client put big /big
'

test_expect_success 'the flood gets its streams and grants' '
    "$builddir/t/lib/flood" "$DFS_CONFIG" /big 100 100 8 8 >out && cat out &&
    test "$(sed -n "s/^streams //p" out)" -eq 100 && test "$(sed -n "s/^uploads //p" out)" -ge 50 &&
    test "$(sed -n "s/^mib //p" out)" -ge 300
'

test_expect_success 'the worker stayed within 256 MiB, the broker within 128' '
    w=$(sed -n "s/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p" /proc/$(cluster_pid c w1)/status) &&
    b=$(sed -n "s/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p" /proc/$(cluster_pid c b1)/status) &&
    echo "# worker $w KiB, broker $b KiB" &&
    if test $limit -gt 0; then test "$w" -lt $limit && test "$b" -lt 131072; fi
'

test -n "$DFS_LONG" && test_set_prereq LONG
test_expect_success LONG 'nor do uploaders who ignore their credit get more, without encryption' '
    dfs-cluster init "$PWD/n" --base-port 0 --workers 1 --replicas 1 --chunk-size 64MiB --security none &&
    dfs-cluster start "$PWD/n" && DFS_CONFIG=$PWD/n/cluster.cfg dfs-client put big /big &&
    "$builddir/t/lib/flood" "$PWD/n/cluster.cfg" /big 100 100 48 8 rude >out && cat out &&
    w=$(sed -n "s/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p" /proc/$(cluster_pid n w1)/status) &&
    echo "# worker $w KiB" && if test $limit -gt 0; then test "$w" -lt $limit; fi && cluster_down n
'

test_expect_success 'an ordinary client is served during and after it' '
    random_file f 5000000 2 &&
    { "$builddir/t/lib/flood" "$DFS_CONFIG" /big 20 20 8 20 >out & flood=$!; } &&
    wait_until 60 dfs-client put f /f && dfs-client get /f back && cmp f back &&
    kill $flood; wait $flood 2>/dev/null;
    dfs-client get /big big.back && cmp big big.back
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
