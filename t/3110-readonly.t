#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="A file system that turns read-only under a worker: named, still read, not written, nothing lost"
. "${srcdir:-.}/t/lib/mounts.sh"
. "${srcdir:-.}/t/lib/cluster.sh"
mounts_prereq

test_expect_success EXT4ERR 'three workers, one on a file system that errors turn read-only' '
    dfs-cluster init "$PWD/c" --base-port 0 --workers 3 --replicas 2 --chunk-size 1MiB --inline-max 0 &&
    mkdir keep && mv c/data/w1/* keep && truncate -s 256M img && mounts_loop "$PWD/img" "$PWD/c/data/w1" &&
    mount -o remount,errors=remount-ro c/data/w1 && mv keep/* c/data/w1 && sync -f c/data/w1 &&
    perl -pi -e "s{(data = data/w[23])\$}{\$1\n        capacity = 256MiB}" c/cluster.cfg && dfs-cluster start "$PWD/c" &&
    DFS_CONFIG=$PWD/c/cluster.cfg && export DFS_CONFIG &&
    for i in 1 2 3 4; do random_file f$i 8000000 $i && dfs-client put f$i /f$i || return 1; done
'

test_expect_success EXT4ERR 'the kernel remounts it in the middle of puts: the puts succeed, status says read-only' '
    { for i in 5 6 7 8 9; do random_file f$i 8000000 $i && dfs-client put f$i /f$i || exit 1; done & load=$!; } &&
    wait_until 60 dfs-client stat /f5 && echo 1 >"/sys/fs/ext4/$(mounts_device c/data/w1)/trigger_fs_error" &&
    wait $load && wait_until 60 condition_is w1 read-only && health_is degraded &&
    dfs-client status >text && grep "w1" text | grep -q "read-only"
'

test_expect_success EXT4ERR 'everything is there; what it has is still read' '
    for i in 1 2 3 4 5 6 7 8 9; do rm -f back && dfs-client get /f$i back && cmp f$i back || return 1; done &&
    all_verified
'

test_expect_success EXT4ERR 'new files go to the others' '
    random_file f10 8000000 10 && dfs-client put f10 /f10 && rm -f back && dfs-client get /f10 back && cmp f10 back &&
    dfs-client explain /f10 >where && ! grep -q w1 where
'

test_expect_success EXT4ERR 'writable again and restarted it is as before' '
    dfs-cluster stop "$PWD/c" w1 && umount c/data/w1 && { fsck.ext4 -y img >/dev/null; test $? -le 1; } &&
    mount -o loop img c/data/w1 && dfs-cluster start "$PWD/c" w1 && wait_until 60 condition_is w1 ok &&
    for i in 1 5 9 10; do rm -f back && dfs-client get /f$i back && cmp f$i back || return 1; done &&
    all_verified
'

test_expect_success EXT4ERR 'it stops cleanly' 'cluster_down c && mounts_down'

test_done
