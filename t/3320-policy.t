#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Files and directories say how many copies they have, and it changes on live data"
. "${srcdir:-.}/t/lib/cluster.sh"

# copies FILE N: each chunk of FILE has N copies exactly.
copies () {
    dfs-client explain --json "$1" >e.json && perl -MJSON::PP -e '
        local $/; my $c = JSON::PP->new->utf8->decode(<STDIN>); die "none" unless @$c;
        for (@$c) { my %w = map { $_->{worker} => 1 } @{$_->{replicas}};
            die "copies ", scalar keys %w unless keys %w == $ARGV[0] }' "$2" <e.json
}
status_has () {
    dfs-client status --json >status.json && test "$(json "$1" status.json)" = "$2"
}

test_expect_success 'four workers, two copies' '
    cluster_up c --workers 4 --replicas 2 --chunk-size 256KiB --inline-max 0 &&
    random_file a 5000000 a && random_file b 5000000 b && random_file d 3000000 d
'

test_expect_success 'one file with three copies' '
    dfs-client put --replicas 3 a /a && copies /a 3 && dfs-client stat --json /a >s.json &&
    test "$(json replicas s.json)" -eq 3 && dfs-client put b /b && copies /b 2 &&
    dfs-client admin policy list --json >p.json && test "$(json 1.name p.json)" = copies-3
'

test_expect_success 'a directory: what is made in it has its copies' '
    dfs-client admin policy create gold --replicas 4 && dfs-client mkdir /gold &&
    dfs-client admin policy assign gold /gold && dfs-client put d /gold/d &&
    copies /gold/d 4 && mkdir -p t/deep && cp d t/deep/d && echo x >>t/deep/d && dfs-client put -r t /gold &&
    copies /gold/t/deep/d 4 && test_expect_code 4 dfs-client admin policy create gold --replicas 3 &&
    test_expect_code 3 dfs-client admin policy assign silver /gold
'

test_expect_success 'fewer copies than the default; content that is there already gets its own' '
    dfs-client admin policy create one --replicas 1 --min-replicas 1 && dfs-client mkdir /one &&
    dfs-client admin policy assign one /one && random_file g 2000000 g && dfs-client put g /one/g &&
    copies /one/g 1 && mkdir -p twin/a twin/z && random_file twin/a/x 700000 tw && cp twin/a/x twin/z/x &&
    dfs-client mkdir /twin && dfs-client mkdir /twin/z && dfs-client admin policy assign gold /twin/z &&
    dfs-client put -r twin / && copies /twin/z/x 4 && dfs-client get /twin/a/x - | cmp - twin/a/x
'

test_expect_success 'what is put over a file keeps the copies of the file' '
    dfs-client put --replicas 3 a /kept && dfs-client put b /kept && copies /kept 3 &&
    dfs-client stat --json /kept >s.json && test "$(json replicas s.json)" -eq 3
'

test_expect_success 'policies made at the same moment are all there' '
    pids= && for i in 1 2 3 4 5 6; do dfs-client admin policy create at$i --replicas $((i % 3 + 2)) & pids="$pids $!"; done &&
    for p in $pids; do wait $p || return 1; done && dfs-client admin policy list >list &&
    for i in 1 2 3 4 5 6; do grep -q "at$i .*" list || return 1; done
'

test_expect_success 'raised on live data' '
    dfs-client admin policy assign copies-3 /b && wait_until 20 copies /b 3 &&
    wait_until 20 status_has chunks_under_replicated 0 && status_has health ok
'

test_expect_success 'the default is raised: every file of it follows' '
    random_file e 2000000 e && dfs-client put e /e && copies /e 2 &&
    dfs-client admin policy set default --replicas 3 && wait_until 20 copies /e 3
'

test_expect_success 'lowered: what is too many is counted, and nothing is lost' '
    dfs-client admin policy set default --replicas 2 &&
    n=$(($(dfs-client explain --json /e | tr "{" "\n" | grep -c "\"index\""))) &&
    wait_until 20 status_has chunks_surplus $n && dfs-client status >s.txt && grep -q "more copies than asked for" s.txt &&
    for f in a b e; do dfs-client get /$f - | cmp - $f || return 1; done
'

test_expect_success 'more copies than workers: refused, or named as short' '
    test_expect_code 2 dfs-client put --replicas 9 a /no 2>err && grep -q "more than 8" err &&
    test_expect_code 2 dfs-client admin policy create no --replicas 9 2>err && grep -q "more than 8" err &&
    { dfs-client put --replicas 5 a /no; test $? -eq 6; } && test_expect_code 3 dfs-client stat /no
'

rule_named () { # and nothing is said to be queued for it
    dfs-client status >s.txt && grep -q "rule not met: 5 copies for [0-9]* chunks: only 4 workers" s.txt &&
        status_has repair.queued 0
}
test_expect_success 'a policy with more copies than workers: taken with a warning, and status says why' '
    dfs-client admin policy set copies-3 --replicas 5 2>warning && grep -q "5 copies, and there are 4 workers" warning &&
    wait_until 60 rule_named && dfs-client admin policy set copies-3 --replicas 3 2>warning && ! test -s warning &&
    wait_until 60 status_has chunks_under_replicated 0
'

test_expect_success 'a policy is removed when nothing is under it, and its number is not given again' '
    { dfs-client admin policy remove gold 2>err; test $? -eq 1; } &&
    grep -q "gold: is in use: [0-9]* directories, [0-9]* files, .*[0-9]* chunks" err &&
    dfs-client put d /gold/still && copies /gold/still 4 &&
    test_expect_code 2 dfs-client admin policy remove default && test_expect_code 3 dfs-client admin policy remove silver &&
    dfs-client admin policy create brief --replicas 2 && dfs-client admin policy list --json >before &&
    dfs-client admin policy remove brief --json >j && test "$(json name j)" = brief &&
    test_expect_code 3 dfs-client admin policy assign brief /gold && dfs-client admin policy create next --replicas 2 &&
    dfs-client admin policy list --json >after && ! grep -q brief after &&
    perl -MJSON::PP -e "my %id; for my \$f (qw(before after)) { local \$/; open my \$h, q(<), \$f; \$id{\$_->{name}} = \$_->{id} for @{JSON::PP->new->utf8->decode(<\$h>)} }
        die qq(used again) unless \$id{next} > \$id{brief}"
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
