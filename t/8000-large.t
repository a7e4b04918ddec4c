#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Much more than memory may be used for it (a gigabyte with DFS_LONG)"
. "${srcdir:-.}/t/lib/cluster.sh"

# Sanitizers need memory of their own: the bounds hold for the ordinary build.
limit=131072
size=536870912
test -z "$DFS_LONG" || size=1073741824
sed -n 's/^MODE_CFLAGS = //p' "$builddir/Makefile" | grep -q fsanitize && limit=0 && size=201326592

# rss_watch PID FILE: samples the highest VmHWM until the process ends.
rss_watch () {
    perl -e '
        while (open my $f, "<", "/proc/$ARGV[0]/status") {
            my ($hwm) = map { /^VmHWM:\s*(\d+)/ ? $1 : () } <$f>;
            last unless defined $hwm;
            $most = $hwm;
            select undef, undef, undef, 0.02;
        }
        print "$most\n"' "$1" >"$2"
}

test_expect_success 'a cluster' 'cluster_up c --workers 3 --replicas 2'

test_expect_success "$((size >> 20)) MiB in and out, the client under 128 MiB" '
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
