#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Copies that a death takes away are made again, without anybody's help"
. "${srcdir:-.}/t/lib/cluster.sh"

# status_has FIELD VALUE: as status says now.
status_has () {
    dfs-client status --json >status.json && test "$(json "$1" status.json)" = "$2"
}
# redundant NODE STATE: NODE is in STATE, and nothing is short of copies.
redundant () {
    worker_is "$1" "$2" && test "$(json chunks_under_replicated status.json)" = 0 &&
        test "$(json chunks_lost status.json)" = 0
}
healthy () {
    redundant "$1" "$2" && test "$(json health status.json)" = ok
}
now_ms () {
    perl -MTime::HiRes=time -e 'printf "%d\n", time * 1000'
}
# since MS WHAT: prints the time that WHAT took, for a person to read.
since () {
    perl -MTime::HiRes=time -e 'printf "# %s: %.2f s\n", $ARGV[1], time - $ARGV[0] / 1000' "$1" "$2" >&5
}
# copies FILE N: each chunk of FILE has N copies on workers that are not dead.
copies () {
    dfs-client explain --json "$1" >e.json && perl -MJSON::PP -e '
        local $/; my $c = JSON::PP->new->utf8->decode(<STDIN>); die "none" unless @$c;
        for (@$c) { my %w = map { $_->{worker} => 1 } grep { ($_->{state} // "up") ne "dead" } @{$_->{replicas}};
            die "copies ", scalar keys %w unless keys %w >= $ARGV[0] }' "$2" <e.json
}
exec 5>&1

# A quarter of it, twice, is what each worker holds.
big=134217728
test -n "${DFS_LONG-}" && big=536870912

test_expect_success 'four workers, two copies, 3000 small chunks' '
    cluster_up c --workers 4 --replicas 2 --chunk-size 1MiB --inline-max 0 &&
    mkdir tree && perl -e "for (1 .. 3000) { open my \$f, q(>), qq(tree/\$_) or die; print \$f qq(chunk \$_ ) x 300 }" &&
    dfs-client put -r tree /tree
'

test_expect_success 'small chunks: redundant again after kill -9' '
    dfs-cluster kill "$PWD/c" w1 KILL && t0=$(now_ms) &&
    wait_until 30 redundant w1 dead && since $t0 "small chunks redundant after the kill" &&
    wait_until 30 healthy w1 dead && dfs-client get -r /tree tree.back && diff -r tree tree.back && rm -r tree.back
'

test_expect_success 'it returns: its copies count again' '
    dfs-cluster start "$PWD/c" w1 && wait_until 30 healthy w1 up
'

test_expect_success 'large chunks: redundant again after kill -9' '
    random_file big $big 1 && dfs-client put big /big &&
    dfs-cluster kill "$PWD/c" w2 KILL && t0=$(now_ms) &&
    wait_until 60 redundant w2 dead && since $t0 "large chunks redundant after the kill" && copies /big 2 &&
    dfs-client get /big - | cmp - big
'

test_expect_success 'its disk is emptied, and still marked: it is filled again' '
    find c/data/w2 -mindepth 1 ! -name dfs-mark -delete && test -e c/data/w2/dfs-mark &&
    dfs-cluster start "$PWD/c" w2 && wait_until 60 healthy w2 up && copies /big 2 &&
    dfs-client verify --json /big >v.json &&
    test "$(json corrupt v.json)" -eq 0 && test "$(json missing v.json)" -eq 0
'

test_expect_success 'a worker that is stopped, not killed, is dead after the timeout' '
    kill -STOP $(cluster_pid c w3) && t0=$(now_ms) &&
    wait_until 60 redundant w3 dead && since $t0 "redundant after SIGSTOP" &&
    kill -CONT $(cluster_pid c w3) && wait_until 30 healthy w3 up
'

test_expect_success 'the broker is killed during repair: it goes on' '
    dfs-cluster kill "$PWD/c" w4 KILL && wait_until 30 worker_is w4 dead &&
    dfs-cluster kill "$PWD/c" b1 KILL && dfs-cluster start "$PWD/c" b1 &&
    wait_until 60 healthy w4 dead && copies /big 2 &&
    dfs-cluster start "$PWD/c" w4 && wait_until 60 healthy w4 up
'

# flip NODE: changes bytes in the middle of every volume of a stopped node.
flip () {
    for v in $(find "c/data/$1" -type f -size +2000k ! -name "*.mdb"); do
        perl -e '
            my ($f) = @ARGV; open my $h, "+<:raw", $f or die; my $size = -s $h;
            for my $i (1 .. 5) { my $at = int($size / 40 * $i); seek $h, $at, 0; read $h, my $b, 1;
                seek $h, $at, 0; print $h chr(ord($b) ^ 0x40); }' "$v" || return 1
    done
}
test_expect_success 'damaged copies are replaced when they are found' '
    dfs-cluster stop "$PWD/c" w1 && flip w1 && dfs-cluster start "$PWD/c" w1 && wait_until 30 healthy w1 up &&
    { dfs-client verify --json /big >v.json; true; } &&
    test "$(($(json corrupt v.json) + $(json missing v.json)))" -gt 0 &&
    wait_until 60 healthy w1 up && dfs-client verify --json /big >v.json &&
    test "$(json corrupt v.json)" -eq 0 && test "$(json missing v.json)" -eq 0 && copies /big 2
'

# lost_files OPERATOR N: of status; all files were looked at.
lost_files () {
    dfs-client status --json >status.json && test "$(json files_lost status.json)" "$1" "$2" &&
        test "$(json files_lost_known status.json)" = true
}
some_lost () {
    dfs-client explain --json "$1" >e.json && grep -q "\"lost\": true" e.json
}
test_expect_success 'chunks without a live copy: critical, their files are listed, exit 7; they heal when a worker is back' '
    dfs-client cp /big /big-too &&
    for n in w1 w2 w3; do dfs-cluster kill "$PWD/c" $n KILL || return 1; done &&
    wait_until 30 status_has health critical && test "$(json chunks_lost status.json)" -gt 0 &&
    wait_until 30 lost_files -ge 2 && test "$(json lost_files.0 status.json)" = /big &&
    test "$(json lost_files.1 status.json)" = /big-too && dfs-client status >s.txt &&
    grep -q "^lost: [0-9]* files" s.txt && grep -q "^  /big-too$" s.txt &&
    dfs-client analyze --json >a.json && test "$(json lost_files.1.path a.json)" = /big-too &&
    test "$(json lost_files.1.chunks_lost a.json)" -gt 0 && dfs-client analyze >a.txt &&
    test "$(grep -c "/big" a.txt)" -ge 4 && some_lost /big && dfs-client explain /big >e.txt && grep -q LOST e.txt &&
    test_expect_code 7 dfs-client get /big lost 2>err && test ! -e lost && grep -qE "[0-9a-f]{16}" err &&
    dfs-cluster start "$PWD/c" && wait_until 60 healthy w3 up && dfs-client get /big - | cmp - big &&
    wait_until 30 lost_files -eq 0 && test "$(json chunks_lost status.json)" -eq 0 &&
    test_must_fail some_lost /big
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
