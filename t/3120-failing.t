#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Disks that fail under their workers: named, not written again, emptied or left out, nothing lost"
. "${srcdir:-.}/t/lib/mounts.sh"
. "${srcdir:-.}/t/lib/cluster.sh"
mounts_prereq

# A disk that will fail: a file system in a file on another one, which an error turns
# read-only; the kernel gives EIO then for what is written, and still reads the rest.
bad_disk () {
    mkdir "bad.$1" && truncate -s 256M "bad.$1.img" && mounts_loop "$PWD/bad.$1.img" "$PWD/bad.$1" &&
        mount -o remount,errors=remount-ro "bad.$1" && truncate -s 160M "bad.$1/img" &&
        mounts_loop "$PWD/bad.$1/img" "$2" -O ^has_journal
}
break_disk () {
    echo 1 >"/sys/fs/ext4/$(mounts_device "bad.$1")/trigger_fs_error"
}

test_expect_success EXT4ERR 'four workers; the disk of w1 and the second one of w2 will fail' '
    dfs-cluster init "$PWD/c" --base-port 0 --workers 4 --replicas 2 --chunk-size 1MiB --inline-max 0 &&
    perl -pi -e "s{(data = data/w)2\$}{\${1}2, data/w2b}; s{(data = .*/w[1-4]b?)\$}{\$1\n        capacity = 256MiB}" c/cluster.cfg &&
    mkdir keep && mv c/data/w1/* keep && bad_disk 1 "$PWD/c/data/w1" && mv keep/* c/data/w1 && sync -f c/data/w1 &&
    bad_disk 2 "$PWD/c/data/w2b" && DFS_CONFIG=$PWD/c/cluster.cfg && export DFS_CONFIG &&
    dfs-worker --node w2 --format "$PWD/c/data/w2b" && dfs-cluster start "$PWD/c" &&
    for i in 1 2 3 4 5; do random_file f$i 4000000 $i && dfs-client put f$i /f$i || return 1; done
'

all_there () {
    for i in "$@"; do rm -f back && dfs-client get /f$i back && cmp f$i back || return 1; done
}
repaired () {
    dfs-client status --json >s.json && test "$(json chunks_under_replicated s.json)" -eq 0 &&
        test "$(json chunks_lost s.json)" -eq 0 &&
        test "$(json repair.waiting s.json)" -eq 0 && test "$(json repair.queued s.json)" -eq 0 && test "$(json repair.active s.json)" -eq 0
}
# enough NODE: each chunk has two copies that are not on NODE.
enough () {
    for f in /f1 /f2 /f3 /f4 /f5; do
        dfs-client explain --json $f >e.json && perl -MJSON::PP -e "
            local \$/; my \$e = decode_json(<STDIN>);
            for (@\$e) { exit 1 if 2 > grep { \$_->{worker} ne \"$1\" } @{\$_->{replicas}} }" <e.json || return 1
    done
}
left_out () {
    dfs-client status --json >s.json && grep -q "\"trouble\": *\"[^\"]*w2b" s.json
}

test_expect_success EXT4ERR 'writes of w1 fail: the put does not; it is called failing' '
    break_disk 1 && n=5 && until condition_is w1 failing; do
        n=$((n + 1)) && test $n -lt 40 && random_file f$n 4000000 $n && dfs-client put f$n /f$n || return 1
    done && health_is degraded && dfs-client status >text && grep "w1" text | grep -q failing && all_there 1 3 5 $n
'

test_expect_success EXT4ERR 'what it has is still read, and is soon on two others' '
    wait_until 60 enough w1 && wait_until 60 repaired && all_there $(seq $n) && condition_is w1 failing
'

test_expect_success EXT4ERR 'the second disk of w2 fails: it alone is left out, w2 goes on' '
    break_disk 2 && m=$n && until left_out; do
        m=$((m + 1)) && test $m -lt $((n + 40)) && random_file f$m 4000000 $m && dfs-client put f$m /f$m || return 1
    done && wait_until 60 worker_is w2 up && condition_is w2 ok && dfs-client status | grep "^note: w2: .*w2b"
'

test_expect_success EXT4ERR 'what only it had is made anew from other copies' '
    wait_until 60 repaired && all_there $(seq $m) &&
    all_verified && test "$(json replicas v.json)" -ge $((m * 8))
'

test_expect_success EXT4ERR 'restarted without its disks all is as it was' '
    dfs-cluster stop "$PWD/c" w2 && umount c/data/w2b && dfs-cluster start "$PWD/c" w2 && wait_until 60 left_out &&
    wait_until 60 repaired && all_there $(seq $m)
'

test_expect_success EXT4ERR 'it stops cleanly' 'cluster_down c && mounts_down'

test_done
