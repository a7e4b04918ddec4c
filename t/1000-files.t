#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Files of every size and name go in and come back the same"
. "${srcdir:-.}/t/lib/cluster.sh"

test_expect_success 'a cluster of one worker' '
    cluster_up c --workers 1 --replicas 1 --chunk-size 1MiB --inline-max 0
'

test_expect_success 'sizes around every border' '
    for n in 0 1 4095 4096 4097 65535 65536 65537 1048575 1048576 1048577 3145728 5000001; do
        random_file f$n $n $n &&
        dfs-client put f$n /f$n &&
        dfs-client get /f$n back$n &&
        cmp f$n back$n &&
        test "$(stat -c %s f$n)" = "$(dfs-client stat --json /f$n | perl -ne "print \$1 if /\"size\": *(\d+)/")" ||
        return 1
    done
'

test_expect_success 'names: spaces, UTF-8, bytes that are not, 255 bytes' '
    echo data >f &&
    long=$(perl -e "print \"n\" x 255") &&
    bad=$(printf "b\\377\\376d") &&
    for n in "two words" "späß-日本語" "$bad" "$long" "-dash" "quote\"s" "back\\\\slash"; do
        dfs-client put f "/$n" && dfs-client cat "/$n" >out && cmp f out || return 1
    done &&
    dfs-client ls / >out && grep -q "two words" out && grep -q "späß-日本語" out &&
    dfs-client ls --json / >list.json &&
    perl -MJSON::PP -e "local \$/; JSON::PP->new->utf8->decode(<STDIN>)" <list.json
'

test_expect_success 'names that cannot be' '
    test_expect_code 2 dfs-client put f "/${long}x" &&
    test_expect_code 2 dfs-client put f "/a/../b" &&
    test_expect_code 2 dfs-client mkdir "/."
'

test_expect_success 'stdin and stdout' '
    dfs-client put - /piped <f5000001 && dfs-client get /piped - >out && cmp f5000001 out
'

test_expect_success 'ranges' '
    dfs-client get --range 1048570-1048579 /f5000001 - >out &&
    tail -c +1048571 f5000001 | head -c 10 >want && cmp want out &&
    dfs-client get --range 4999990- /f5000001 - >out && tail -c 11 f5000001 >want && cmp want out
'

test_expect_success 'put over an existing file replaces it; update wants one; --no-clobber refuses' '
    echo one >one && echo two >two &&
    dfs-client put one /over && dfs-client put two /over &&
    dfs-client cat /over >out && test_cmp two out &&
    dfs-client update one /over && dfs-client cat /over >out && test_cmp one out &&
    test_expect_code 3 dfs-client update one /not-there &&
    test_expect_code 4 dfs-client put --no-clobber two /over &&
    dfs-client cat /over >out && test_cmp one out
'

test_expect_success '--if-version decides who wins' '
    v=$(dfs-client stat --json /over | perl -ne "print \$1 if /\"version\": *(\d+)/") &&
    dfs-client put --if-version $v two /over &&
    test_expect_code 4 dfs-client put --if-version $v one /over &&
    dfs-client cat /over >out && test_cmp two out
'

test_expect_success 'append' '
    dfs-client append one /over && cat two one >want &&
    dfs-client cat /over >out && test_cmp want out
'

test_expect_success 'a directory where a file is expected, and the other way round' '
    dfs-client mkdir /dir &&
    test_must_fail dfs-client cat /dir 2>err && grep -q "/dir" err &&
    test_must_fail dfs-client put f /over/below &&
    dfs-client put f /dir && dfs-client cat /dir/f >out && cmp f out &&
    test_must_fail dfs-client get /dir . &&
    test_must_fail dfs-client rmdir /over &&
    test_expect_code 4 dfs-client rmdir /dir &&
    test_must_fail dfs-client rm /dir
'

test_expect_success 'mv, cp, rm, mkdir -p, rmdir' '
    dfs-client mkdir -p /a/b/c && dfs-client mkdir -p /a/b/c &&
    test_expect_code 4 dfs-client mkdir /a &&
    dfs-client cp /over /a/b/copy && dfs-client mv /a/b/copy /a/b/c/moved &&
    dfs-client cat /a/b/c/moved >out && test_cmp want out &&
    test_expect_code 3 dfs-client cat /a/b/copy &&
    dfs-client mv /a/b /a/d && dfs-client cat /a/d/c/moved >out && test_cmp want out &&
    test_must_fail dfs-client mv /a /a/d/inside &&
    dfs-client rm /a/d/c/moved && dfs-client rmdir /a/d/c &&
    test_expect_code 3 dfs-client rm /a/d/c/moved &&
    dfs-client rm -r /a && test_expect_code 3 dfs-client stat /a
'

test_expect_success 'the same content is stored once' '
    dfs-client status --json >s1 &&
    dfs-client put f5000001 /again && dfs-client put f5000001 /and-again &&
    dfs-client status --json >s2 &&
    test "$(json chunks s1)" = "$(json chunks s2)" &&
    test "$(json files s2)" -eq $(($(json files s1) + 2))
'

test_expect_success 'a source that is not there, or is a directory' '
    test_expect_code 3 dfs-client put nowhere /x 2>err && grep -q nowhere err &&
    mkdir -p d && test_must_fail dfs-client put d /x 2>err && grep -q d err &&
    test_expect_code 3 dfs-client get /nowhere x 2>err && grep -q /nowhere err && test ! -e x
'

test_expect_success 'a source that may not be read, a target that may not be written' '
    echo secret >locked && chmod 0 locked &&
    test_expect_code 5 as_mortal dfs-client put locked /locked 2>err &&
    grep "^dfs-client: put: /locked: open locked: Permission denied" err && test_expect_code 3 dfs-client stat /locked 2>err &&
    mkdir shut && chmod 500 shut &&
    test_expect_code 5 as_mortal dfs-client get /f1 shut/x 2>err && grep -i "shut.*permission denied" err &&
    test -z "$(ls -A shut)"
'

mkdir small && mount -t tmpfs -o size=1m tmpfs small 2>/dev/null && test_set_prereq TMPFS
test_expect_success TMPFS 'a target directory that is full: nothing is left there' '
    test_must_fail dfs-client get /f5000001 small/x 2>err &&
    grep "No space" err && test -z "$(ls -A small)"
'
test_have_prereq TMPFS && umount small

test_expect_success 'restarted, everything is still there' '
    dfs-cluster restart "$PWD/c" &&
    for n in 0 1 4096 5000001; do
        dfs-client get /f$n again$n && cmp f$n again$n || return 1
    done
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
