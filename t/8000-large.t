#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="A gigabyte in bounded memory"
. "${srcdir:-.}/t/lib/cluster.sh"

# Sanitizers need memory of their own: the bounds hold for the ordinary build.
limit=131072
sed -n 's/^MODE_CFLAGS = //p' "$builddir/Makefile" | grep -q fsanitize && limit=0
size=1073741824
test $limit -gt 0 || size=268435456

# rss_of PID FILE: samples the highest VmHWM until the process ends.
rss_watch () {
    while hwm=$(sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$1/status" 2>/dev/null) && test -n "$hwm"; do
        echo "$hwm" >"$2"
        perl -e 'select undef, undef, undef, 0.02'
    done
}

test_expect_success 'a cluster' 'cluster_up c --workers 3 --replicas 2'

test_expect_success '1 GiB in and out (less with sanitizers), the client under 128 MiB' '
    random_file big $size 1 &&
    { dfs-client put big /big & p=$!; rss_watch $p put.rss; wait $p; } &&
    { dfs-client get /big back & p=$!; rss_watch $p get.rss; wait $p; } && cmp big back &&
    echo "# put $(cat put.rss) KiB, get $(cat get.rss) KiB" &&
    if test $limit -gt 0; then
        test "$(cat put.rss)" -lt $limit && test "$(cat get.rss)" -lt $limit
    fi
'

test_expect_success 'chunks of 64 MiB as well, from a pipe' '
    rm -f back && cluster_down c && rm -rf c &&
    cluster_up l --workers 2 --replicas 2 --chunk-size 64MiB &&
    { dfs-client put - /big <big & p=$!; rss_watch $p put.rss; wait $p; } &&
    { dfs-client get /big - >back & p=$!; rss_watch $p get.rss; wait $p; } && cmp big back &&
    echo "# put $(cat put.rss) KiB, get $(cat get.rss) KiB" &&
    if test $limit -gt 0; then
        test "$(cat put.rss)" -lt $limit && test "$(cat get.rss)" -lt $limit
    fi &&
    if test $limit -gt 0; then
        for n in w1 w2; do
            hwm=$(sed -n "s/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p" /proc/$(cluster_pid l $n)/status) &&
            echo "# $n $hwm KiB" && test "$hwm" -lt 262144 || return 1
        done
    fi
'

test_expect_success 'it stops cleanly' 'cluster_down l'

test_done
