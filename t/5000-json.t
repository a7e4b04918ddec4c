#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="The JSON that scripts rely on: keys and types"
. "${srcdir:-.}/t/lib/cluster.sh"

# has FILE KEY…: an object, or each object of an array, has these keys and they are set.
has () {
    perl -MJSON::PP -e '
        my $f = shift; open my $h, "<", $f or die; local $/; my $v = JSON::PP->new->utf8->decode(<$h>);
        my @o = ref $v eq "ARRAY" ? @$v : ($v); die "empty\n" unless @o;
        for my $o (@o) { for (@ARGV) { die "no $_ in $f\n" unless defined $o->{$_} } }' "$@"
}
# sub FILE KEY: prints a part of it as JSON.
sub () {
    json "$2" "$1"
}

test_expect_success 'a cluster with something in it' '
    cluster_up c --workers 2 --replicas 2 --chunk-size 64KiB &&
    random_file f 200000 1 && dfs-client mkdir /d && dfs-client put f /d/f
'
test_expect_success 'ls' '
    dfs-client ls --json /d >j && has j name path type size mtime version &&
    test "$(json 0.path j)" = /d/f && test "$(json 0.type j)" = file && test "$(json 0.size j)" -eq 200000
'
test_expect_success 'stat' '
    dfs-client stat --json /d/f >j &&
    has j name path type size mtime version chunks replicas chunk_size owner mode sha256_tree &&
    test "$(json chunks j)" -eq 4 && test "$(json replicas j)" -eq 2 && test "$(json chunk_size j)" -eq 65536
'
test_expect_success 'sha256_tree is equal for equal content' '
    dfs-client put f /d/g && a=$(dfs-client stat --json /d/f >j && json sha256_tree j) &&
    b=$(dfs-client stat --json /d/g >j && json sha256_tree j) && test "$a" = "$b" && test ${#a} -eq 64
'
test_expect_success 'status' '
    dfs-client status --json >j &&
    has j cluster health epoch brokers workers files chunks bytes_logical bytes_stored \
        chunks_under_replicated chunks_lost chunks_surplus repair &&
    sub j brokers >b && has b name endpoint role && test "$(json 0.role b)" = leader &&
    sub j workers >w && has w name endpoint state condition location chunks bytes_used bytes_free &&
    sub j repair >r && has r queued active bytes_per_second eta_seconds &&
    test "$(json health j)" = ok && json epoch j | grep -qE "^[0-9]+\.[0-9]+$" &&
    test "$(json files j)" -eq 2 && test "$(json chunks j)" -eq 4
'
test_expect_success 'verify, explain, du, df, analyze' '
    dfs-client verify --json /d/f >j && has j chunks replicas bytes corrupt missing repaired &&
    test "$(json replicas j)" -eq 8 && test "$(json bytes j)" -eq 200000 &&
    dfs-client explain --json /d/f >j && has j index id size replicas &&
    json 0.replicas j >r && has r worker location &&
    dfs-client du --json /d >j && dfs-client df --json >j && dfs-client analyze --json >j
'
test_expect_success 'aliases' '
    dfs-client upload f /u && dfs-client download /u u && cmp f u && dfs-client list / >l && grep -q u l &&
    dfs-client search u / >l && grep -q u l && dfs-client delete /u && test_expect_code 3 dfs-client stat /u
'
test_expect_success 'add-worker joins a running cluster' '
    dfs-cluster add-worker "$PWD/c" w3 && wait_until 15 worker_is w3 up &&
    dfs-cluster status "$PWD/c" >out && grep -q w3 out && dfs-cluster status --json "$PWD/c" >j &&
    dfs-cluster env "$PWD/c" >env && grep -q "export DFS_CONFIG=" env && dfs-cluster logs "$PWD/c" w3 >l && test -s l
'
test_expect_success 'stat of a file that its writer cut otherwise' '
    dfs-client put --chunk-size 128KiB f /cut && dfs-client stat --json /cut >j &&
    test "$(json chunk_size j)" -eq 131072 && test "$(json chunks j)" -eq 2
'
test_expect_success 'analyze tells what only history holds from what files hold' '
    dfs-client analyze --json >before && dfs-client rm /cut && dfs-client analyze --json >after &&
    test "$(json unique_of_files.chunks after)" -eq $(($(json unique_of_files.chunks before) - 2)) &&
    test "$(json kept_by_history.chunks after)" -eq $(($(json kept_by_history.chunks before) + 2)) &&
    test "$(json kept_by_history.bytes after)" -eq $(($(json kept_by_history.bytes before) + 200000)) &&
    dfs-client analyze >text && grep -q "^kept by history" text
'
test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
