#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="The background scrub alone finds damage, and it is repaired with nobody asking"
. "${srcdir:-.}/t/lib/cluster.sh"

test_expect_success 'three workers without scrub, two copies' '
    dfs-cluster init "$PWD/c" --base-port 0 --workers 3 --replicas 2 --chunk-size 1MiB --inline-max 0 &&
    printf "\nscrub\n    rate = 0\n" >>c/cluster.cfg &&
    dfs-cluster start "$PWD/c" && DFS_CONFIG=$PWD/c/cluster.cfg && export DFS_CONFIG &&
    random_file big 20000000 1 && dfs-client put big /big
'

flip () {
    for v in c/data/"$1"/volumes/*.vol; do
        perl -e '
            my ($f) = @ARGV; open my $h, "+<:raw", $f or die; my $size = -s $h;
            for (my $at = 100003; $at < $size; $at += 1500007) { sysseek $h, $at, 0;
                sysread $h, my $b, 1; sysseek $h, $at, 0;
                syswrite $h, chr(ord($b) ^ 0x40); }' "$v" || return 1
    done
}
# found N: the scrubs of all workers have looked at all copies, and found damage.
found () {
    dfs-client status --json >s.json && perl -MJSON::PP -e '
        local $/; my $s = decode_json(<STDIN>); my ($all, $bad) = (0, 0);
        for (@{$s->{workers}}) { $all += $_->{scrubbed}; $bad += $_->{scrub_damaged} }
        exit !($all >= 40 && $bad > 0)' <s.json
}
repaired () {
    dfs-client status --json >s.json && test "$(json chunks_under_replicated s.json)" -eq 0 &&
        test "$(json repair.queued s.json)" -eq 0 && test "$(json repair.active s.json)" -eq 0
}
# whole: explain knows two copies of each chunk, each verified since the damage.
whole () {
    repaired && dfs-client explain --json /big >e.json && perl -MJSON::PP -e '
        local $/; my $e = decode_json(<STDIN>);
        for (@$e) { exit 1 if @{$_->{replicas}} < 2; for (@{$_->{replicas}}) { exit 1 unless defined $_->{verified_at} } }' <e.json
}

test_expect_success 'bits flipped while a worker is down; then the scrub has a rate' '
    dfs-cluster stop "$PWD/c" && flip w1 && perl -pi -e "s/rate = 0/rate = 256MiB/" c/cluster.cfg &&
    dfs-cluster start "$PWD/c"
'

test_expect_success 'damage is found and made good without any command' '
    wait_until 60 found && wait_until 60 whole
'

test_expect_success 'every copy is whole then' '
    all_verified && test "$(json replicas v.json)" -ge 40 &&
    dfs-client get /big back && cmp big back
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
