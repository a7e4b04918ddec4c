#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Copies stand in different racks; where they cannot, it is said, and mended later"
. "${srcdir:-.}/t/lib/cluster.sh"

# racks FILE N: the copies of each chunk of FILE stand in N racks.
racks () {
    dfs-client explain --json "$1" >e.json && perl -MJSON::PP -e '
        local $/; my $c = JSON::PP->new->utf8->decode(<STDIN>); die "none" unless @$c;
        for (@$c) { my %r = map { (split m{/}, $_->{location})[1] => 1 } @{$_->{replicas}};
            die "racks ", scalar keys %r unless keys %r == $ARGV[0] }' "$2" <e.json
}
unmet () {
    dfs-client status --json >s.json && test "$(json placement_unmet.0.level s.json)" -eq 2 &&
        test "$(json placement_unmet.0.example s.json)" = dc/r1 && test "$(json placement_unmet.0.chunks s.json)" -gt 0
}
all_met () {
    dfs-client status --json >s.json && test "$(json placement_unmet s.json)" = "[]"
}
explained_met () {
    dfs-client explain "$1" >e.txt && grep -q "wanted: 2 copies of each chunk, in different failure domains: met" e.txt
}
note () {
    dfs-client status >s.txt && grep -q "$1" s.txt
}

test_expect_success 'four workers in two racks: copies stand in both' '
    dfs-cluster init "$PWD/c" --base-port 0 --workers 4 --replicas 2 --chunk-size 256KiB --inline-max 0 &&
    sed -i -e "s,local/w1,dc/r1/a," -e "s,local/w2,dc/r1/b," -e "s,local/w3,dc/r2/c," -e "s,local/w4,dc/r2/d," c/cluster.cfg &&
    dfs-cluster start "$PWD/c" && DFS_CONFIG=$PWD/c/cluster.cfg && export DFS_CONFIG &&
    random_file a 5000000 a && dfs-client put a /a && racks /a 2
'

test_expect_success 'a rack is away: new files are stored all the same, and status says which rule is unmet' '
    dfs-cluster kill "$PWD/c" w3 KILL && dfs-cluster kill "$PWD/c" w4 KILL &&
    wait_until 20 worker_is w3 dead && wait_until 20 worker_is w4 dead &&
    random_file b 5000000 b && dfs-client put b /b && racks /b 1 &&
    wait_until 20 note "rule not met: copies in different domains of level 2 .such as dc/r1.*chunks" && wait_until 20 unmet &&
    dfs-client explain /b >e.txt && grep -q "wanted: 2 copies .*not met" e.txt && grep -q "one domain of level 2" e.txt &&
    dfs-client explain --json /b >e.json && test "$(json 0.rule e.json)" = crowded && test "$(json 0.unmet_level e.json)" -eq 2 &&
    test "$(json 0.wanted e.json)" -eq 2
'

test_expect_success 'it is back: mended without anybody' '
    dfs-cluster start "$PWD/c" && wait_until 30 racks /b 2 &&
    wait_until 20 sh -c "! dfs-client status | grep -q \"rule not met\"" && wait_until 20 all_met &&
    wait_until 20 explained_met /b &&
    dfs-client get /b - | cmp - b
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
