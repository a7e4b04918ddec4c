#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Space of what nothing refers to comes back, and nothing else goes"
. "${srcdir:-.}/t/lib/cluster.sh"

# short NAME GRACE: times so short that a test sees the end of them.
short () {
    sed -i -e "s/history = 24h/history = 1s/" -e "s/inline-max = 4KiB/inline-max = 0/" \
        -e "s/^    chunk-size = .*/&\n    upload-timeout = 1s\n    reclaim-grace = $2/" "$1/cluster.cfg"
}
# reclaim KEY: of status.
reclaim () {
    dfs-client status --json >status.json && json "reclaim.$1" status.json
}
reclaim_is () {
    test "$(reclaim "$1")" = "$2"
}
free_are () {
    test "$(reclaim chunks_free)" -eq "$1"
}
condemned_above () {
    test "$(reclaim chunks_condemned)" -gt "$1"
}
some_on_their_way () {
    test "$(reclaim chunks_free)" -gt 0 || test "$(json reclaim.chunks_condemned status.json)" -gt 0
}
nothing_left () {
    test "$(reclaim chunks_free)" -eq 0 && test "$(json reclaim.chunks_condemned status.json)" -eq 0 &&
        test "$(json reclaim.copies_dropping status.json)" -eq 0
}
stored_below () {
    dfs-client status --json >status.json && test "$(json bytes_stored status.json)" -lt "$1"
}
health_is () {
    dfs-client status --json >status.json && test "$(json health status.json)" = "$1"
}
# copies_below N: that the workers have, all together.
copies_below () {
    dfs-client status --json >status.json && perl -MJSON::PP -e '
        local $/; my $s = JSON::PP->new->utf8->decode(<STDIN>); my $n = 0;
        $n += $_->{chunks} for @{$s->{workers}}; exit !($n < $ARGV[0])' "$1" <status.json
}
test_expect_success 'three workers, two copies, short times' '
    dfs-cluster init "$PWD/c" --base-port 0 --workers 3 --replicas 2 --chunk-size 256KiB && short c 1s &&
    dfs-cluster start "$PWD/c" && DFS_CONFIG=$PWD/c/cluster.cfg && export DFS_CONFIG &&
    random_file keep 4000000 keep && random_file gone 16000000 gone &&
    dfs-client put keep /keep && dfs-client put gone /gone && stored_below 60000000
'

test_expect_success 'what is deleted gives its space back' '
    dfs-client rm /gone && wait_until 60 stored_below 12000000 && wait_until 30 nothing_left &&
    dfs-client get /keep - | cmp - keep && all_verified
'

test_expect_success 'put again while it is on its way out, it is whole' '
    for i in 1 2 3; do dfs-client put gone /again && dfs-client rm /again && wait_until 30 some_on_their_way || return 1; done &&
    dfs-client put gone /again && wait_until 30 nothing_left && dfs-client get /again - | cmp - gone &&
    all_verified && test "$(json replicas v.json)" -ge 156
'

test_expect_success 'worker and broker killed in the middle of it' '
    dfs-client rm /again && wait_until 30 some_on_their_way && dfs-cluster kill "$PWD/c" w1 KILL && dfs-cluster kill "$PWD/c" b1 KILL &&
    dfs-cluster start "$PWD/c" b1 && dfs-cluster kill "$PWD/c" b1 KILL &&
    dfs-cluster start "$PWD/c" b1 w1 && wait_until 90 copies_below 40 && wait_until 30 nothing_left &&
    dfs-client get /keep - | cmp - keep && wait_until 30 health_is ok
'

test_expect_success 'explained, by path and by chunk' '
    dfs-client admin reclaim explain --json /keep >e.json && test "$(json 0.state e.json)" = used &&
    id=$(json 0.id e.json) && dfs-client admin reclaim explain "$id" >e.txt && grep -q "used by" e.txt && grep -q "born" e.txt &&
    dfs-client admin reclaim explain "$(printf %.12s "$id")" >e.txt && grep -q "^$id: used by" e.txt &&
    test_expect_code 3 dfs-client admin reclaim explain 0123456789 && test_expect_code 3 dfs-client admin reclaim explain 012345 &&
    dfs-client explain --json /keep >e.json && test "$(json 0.policy e.json)" = default &&
    dfs-client explain /keep >e.txt && grep -q "^policy default, wanted: 2 copies" e.txt &&
    dfs-client admin reclaim status >e.txt && grep -q "^dropped since the broker started (.* ago): [0-9]* chunks" e.txt &&
    test_expect_code 3 dfs-client admin reclaim explain /nowhere
'

test_expect_success 'a namespace of before holds it; an operator lets it go on' '
    dfs-cluster stop "$PWD/c" && cp -r c/data/b1 b1.before && dfs-cluster start "$PWD/c" &&
    random_file later 32000000 later && dfs-client put later /later && dfs-cluster stop "$PWD/c" &&
    rm -rf c/data/b1 && cp -r b1.before c/data/b1 && dfs-cluster start "$PWD/c" &&
    wait_until 60 reclaim_is held true && dfs-client admin reclaim status >r.txt && grep -q "^held:" r.txt &&
    dfs-client status >s.txt && grep -q "note: reclaim is held" s.txt && dfs-client get /keep - | cmp - keep &&
    dfs-client admin reclaim resume && reclaim_is held false && wait_until 90 copies_below 40 &&
    dfs-client get /keep - | cmp - keep
'

test_expect_success 'it stops cleanly' 'cluster_down c'

# So many that more than one entry lifts, and more than one request asks for it.
test_expect_success 'undone: nothing is condemned until it is resumed' '
    dfs-cluster init "$PWD/u" --base-port 0 --workers 2 --replicas 2 --chunk-size 256KiB && short u 20s &&
    mkdir many && perl -e "for (1 .. 1500) { open my \$f, q(>), qq(many/\$_) or die; print \$f qq(file \$_\n) }" &&
    dfs-cluster start "$PWD/u" && DFS_CONFIG=$PWD/u/cluster.cfg && dfs-client put keep /f && dfs-client put -r many /many &&
    dfs-client explain --json /f >e.json && id=$(json 0.id e.json | cut -c1-16) &&
    dfs-client rm /f && dfs-client rm -r /many && wait_until 60 condemned_above 1100 &&
    dfs-client admin reclaim explain "$id" >e.txt && grep -q "^$id.*: condemned [0-9]* s ago, dropped " e.txt &&
    dfs-client admin reclaim undo && reclaim_is chunks_condemned 0 &&
    reclaim_is held true && dfs-client monitor --count 1 >mon </dev/null && grep -q "reclaim: held: " mon &&
    test "$(json reclaim.chunks_free status.json)" -gt 1100 &&
    dfs-client put keep /f && dfs-client get /f - | cmp - keep && wait_until 60 free_are 1500 &&
    dfs-client admin reclaim resume && reclaim_is held false && cluster_down u
'

test_done
