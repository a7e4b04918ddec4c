#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="A cluster on two hosts grows onto a third while it serves"
. "${srcdir:-.}/t/lib/cluster.sh"
. "${srcdir:-.}/t/lib/hosts.sh"

site_client 4 60

test_expect_success HOSTS 'two hosts serve, a third has nothing' '
    site_up 4 &&
    on 4 dfs-cluster init "$S" --host 10.88.0.1 --workers-on 10.88.0.1,10.88.0.2 --replicas 2 \
        --chunk-size 1MiB --inline-max 0 &&
    on 4 dfs-cluster deploy "$S" && on 4 dfs-cluster start "$S" &&
    random_file big 12000000 1 && client put big /big && test ! -e h3/cluster.cfg
'

test_expect_success HOSTS 'a host that does not answer: nothing is added' '
    host_cut 3 && cp h4/cluster.cfg before &&
    test_must_fail on 4 dfs-cluster add-worker "$S" w3 --host 10.88.0.3 2>err && cat err &&
    grep -q "10.88.0.3" err && cmp before h4/cluster.cfg && test ! -e h4/keys/worker-w3 && host_heal 3
'

test_expect_success HOSTS 'add-worker: its host gets what it needs, and it serves' '
    wait_until 10 host_reaches 4 3 &&
    on 4 dfs-cluster add-worker "$S" w3 --host 10.88.0.3 >out && grep "w3: serving on 10.88.0.3:9010" out &&
    test_expect_code 4 on 4 dfs-cluster add-worker "$S" w3 --host 10.88.0.3 2>err && grep -q "exists already" err &&
    test "$(stat -c %a h3/keys/worker-w3_secret)" = 600 && test -f h3/data/w3/dfs-mark &&
    test_must_fail ls h3/keys/worker-w1_secret &&
    w3_up () { client status --json >status.json &&
        perl -MJSON::PP -e "local \$/; my \$s = decode_json(<STDIN>);
            for (@{\$s->{workers}}) { exit 0 if \$_->{name} eq q(w3) && \$_->{state} eq q(up) } exit 1" <status.json; } &&
    wait_until 30 w3_up
'

test_expect_success HOSTS 'it takes new files, and what a dead host had' '
    random_file new 9000000 2 && client put new /new && client explain --json /new >e.json && grep -q w3 e.json &&
    on 4 dfs-cluster kill "$S" w2 KILL &&
    whole () { client status --json >s.json && test "$(json chunks_under_replicated s.json)" -eq 0 &&
        test "$(json repair.queued s.json)" -eq 0 &&
        perl -MJSON::PP -e "local \$/; my \$s = decode_json(<STDIN>);
            for (@{\$s->{workers}}) { exit 0 if \$_->{name} eq q(w2) && \$_->{state} eq q(dead) } exit 1" <s.json; } &&
    wait_until 60 whole &&
    client get /big big2 && cmp big big2 && client get /new new2 && cmp new new2
'

test_expect_success HOSTS 'stop ends all hosts' '
    on 4 dfs-cluster stop "$S" && site_clean 1 2 3
'

test_done
