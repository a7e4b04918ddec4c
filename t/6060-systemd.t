#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="The units are ones that systemd takes, and the daemons tell it what it waits for"
. "${srcdir:-.}/t/lib/cluster.sh"

command -v systemd-analyze >/dev/null && test_set_prereq SYSTEMD

test_expect_success SYSTEMD 'systemd finds nothing wrong with the units' '
    for unit in broker worker; do
        sed -e "s|@bindir@|$builddir/$unit|" -e "s|@sysconfdir@|/etc|" \
            "$srcdir/etc/systemd/dfs-$unit@.service.in" >dfs-$unit@.service || return 1
        systemd-analyze verify --man=no "$PWD/dfs-$unit@x.service" 2>err; cat err
        if grep "dfs-$unit@" err; then return 1; fi
    done
'

test_expect_success 'a cluster' 'cluster_up c --workers 1 --replicas 1'

test_expect_success 'SIGHUP: the log says more, the cache has room; a file that is wrong changes nothing' '
    cp c/cluster.cfg good && dfs-client ls / && test_must_fail grep " debug " c/logs/b1.log c/logs/w1.log &&
    printf "\nlog\n    level = debug\ncache\n    size = 5MiB\n" >>c/cluster.cfg &&
    dfs-cluster kill "$PWD/c" b1 HUP && dfs-cluster kill "$PWD/c" w1 HUP &&
    wait_until 30 grep "reloaded.*cache=5242880" c/logs/w1.log && wait_until 30 grep reloaded c/logs/b1.log &&
    debugs () { echo x | dfs-client put - /x && grep " debug " c/logs/b1.log && grep " debug " c/logs/w1.log; } &&
    wait_until 30 debugs &&
    echo "nonsense" >>c/cluster.cfg &&
    kill -HUP $(cluster_pid c w1) $(cluster_pid c b1) &&
    wait_until 30 grep "reload_failed.*nonsense" c/logs/w1.log && wait_until 30 grep "reload_failed.*nonsense" c/logs/b1.log &&
    cp good c/cluster.cfg && dfs-client cat /x >x && test "$(cat x)" = x
'

test_expect_success 'it stops' 'cluster_down c'

# notified NODE-PROGRAM NODE: runs it as systemd would, until it has said all it must.
notified () {
    perl -MIO::Socket::UNIX -MSocket -e '
        my ($program, $node) = @ARGV;
        unlink "notify";
        my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "notify") or die "notify: $!";
        $ENV{NOTIFY_SOCKET} = "notify"; $ENV{WATCHDOG_USEC} = 1000000;
        my $pid = fork // die; exec $program, "--node", $node unless $pid;
        my @want = ("READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"); my ($said, $ok) = ("", 1);
        $SIG{ALRM} = sub { $ok = 0; kill "TERM", $pid; $SIG{ALRM} = "DEFAULT"; alarm 10 };
        alarm 60;
        while (defined $s->recv($said, 4096)) {
            print "$said\n";
            if (@want) { $ok &&= $said eq $want[0]; shift @want; kill "TERM", $pid unless @want }
            last if $said eq "STOPPING=1";
        }
        waitpid $pid, 0; exit !($ok && !@want && $? == 0);' "$1" "$2"
}

test_expect_success 'ready, signs of life while it serves, the end' '
    notified dfs-broker b1 && notified dfs-worker w1
'

test_done
