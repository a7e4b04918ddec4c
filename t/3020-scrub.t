#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Damage under a running worker is found, and replaced without anybody's doing"
. "${srcdir:-.}/t/lib/cluster.sh"

test_expect_success 'a cluster of three workers, two copies, quick background scrub off' '
    dfs-cluster init "$PWD/c" --base-port 0 --workers 3 --replicas 2 --chunk-size 1MiB \
        --inline-max 0 &&
    printf "\nscrub\n    rate = 0\n" >>c/cluster.cfg &&
    dfs-cluster start "$PWD/c" && DFS_CONFIG=$PWD/c/cluster.cfg && export DFS_CONFIG &&
    random_file big 12000000 1 && dfs-client put big /big
'

# flip NODE: changes bits of every volume of a node, running or not; at a distance which
# is no fraction of what a chunk takes, so that some hit the bytes of chunks.
flip () {
    for v in c/data/"$1"/volumes/*.vol; do
        perl -e '
            my ($f) = @ARGV; open my $h, "+<:raw", $f or die; my $size = -s $h;
            for (my $at = 100003; $at < $size; $at += 1500007) { sysseek $h, $at, 0;
                sysread $h, my $b, 1; sysseek $h, $at, 0;
                syswrite $h, chr(ord($b) ^ 0x40); }' "$v" || return 1
    done
}

test_expect_success 'nothing was verified yet, and explain says so' '
    dfs-client explain --json /big >e.json &&
    perl -MJSON::PP -e "local \$/; my \$e = decode_json(<STDIN>);
        for (@\$e) { for (@{\$_->{replicas}}) { die if defined \$_->{verified_at} } }" <e.json
'

test_expect_success 'verify finds what was flipped under a running worker, and counts what came back' '
    flip w1 && { dfs-client verify --json /big >v.json; test $? -eq 7; } &&
    test "$(json corrupt v.json)" -gt 0 &&
    test "$(json repaired v.json)" -eq "$(json corrupt v.json)"
'

test_expect_success 'then it is clean, two copies of all' '
    dfs-client verify --json /big >v.json && test "$(json corrupt v.json)" -eq 0 &&
    test "$(json missing v.json)" -eq 0 && test "$(json replicas v.json)" -ge 24 &&
    dfs-client get /big back && cmp big back
'

test_expect_success 'explain shows when each copy was verified' '
    dfs-client explain --json /big >e.json &&
    perl -MJSON::PP -e "local \$/; my \$e = decode_json(<STDIN>);
        for (@\$e) { for (@{\$_->{replicas}}) { die unless defined \$_->{verified_at} } }" <e.json
'

damaged () {
    dfs-client status --json >s.json &&
    perl -MJSON::PP -e '
        local $/; my $s = decode_json(<STDIN>); my $n = 0;
        $n += $_->{scrub_damaged} for @{$s->{workers}}; exit !($n > 0)' <s.json
}
scrubbed () { # every worker, and the broker knows what they found
    dfs-client status --json >s.json &&
    perl -MJSON::PP -e '
        local $/; my $s = decode_json(<STDIN>);
        for (@{$s->{workers}}) { exit 1 if $_->{scrub_passes} || !$_->{scrubbed} }' <s.json
}
repaired () {
    dfs-client status --json >s.json && test "$(json chunks_under_replicated s.json)" -eq 0 &&
        test "$(json repair.queued s.json)" -eq 0 && test "$(json repair.active s.json)" -eq 0
}

test_expect_success 'admin scrub finds it as well, and nobody has to do anything more' '
    flip w2 && dfs-client admin scrub && wait_until 60 damaged && wait_until 60 scrubbed &&
    wait_until 60 repaired &&
    dfs-client verify --json /big >v.json && test "$(json corrupt v.json)" -eq 0 &&
    test "$(json missing v.json)" -eq 0
'

test_expect_success 'one worker alone; a worker that is not there' '
    dfs-client admin scrub w3 >out && grep -q "^1 worker" out &&
    test_expect_code 3 dfs-client admin scrub nobody &&
    test_expect_code 2 dfs-client admin polish
'

hits () {
    dfs-client status --json >s.json &&
    perl -MJSON::PP -e '
        local $/; my $s = decode_json(<STDIN>); my $n = 0;
        $n += $_->{cache_hits} for @{$s->{workers}}; exit !($n > 0)' <s.json
}

test_expect_success 'hot chunks are served from memory' '
    for i in 1 2 3 4 5; do dfs-client get /big back && cmp big back || return 1; done &&
    wait_until 60 hits
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
