#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="The live view fits 80 columns, follows the cluster and leaves the terminal clean"
. "${srcdir:-.}/t/lib/cluster.sh"

test_expect_success 'a cluster of three workers' '
    cluster_up c --workers 3 --replicas 2 --chunk-size 256KiB --inline-max 0 &&
    random_file a 3000000 a && dfs-client put a /a
'

# plain FILE: rows without the escapes.
plain () {
    perl -pe 's/\e\[[?0-9;]*[A-Za-z]//g; s/\r//g' "$1"
}

test_expect_success 'without a terminal it prints plain screens of at most 80 columns and 24 rows' '
    dfs-client monitor --count 2 --interval 100 >out </dev/null && plain out >text && grep -q "w3" text &&
    perl -CSD -ne "chomp; die length if length > 80" text && test "$(wc -l <text)" -le 48 &&
    grep -q "repair:" text && grep -q HEAT text
'

# in_terminal SIGNAL: runs the monitor on a terminal of 80x24, ends it by SIGNAL or "q".
cat >in_terminal.pl <<'PL'
use strict; use IO::Handle; require "syscall.ph" if 0;
my ($how) = @ARGV;
open my $pty, "+<", "/dev/ptmx" or die "ptmx: $!";
my $unlock = pack "i", 0; ioctl $pty, 0x40045431, $unlock or die "unlock: $!";
my $num = pack "I", 0; ioctl $pty, 0x80045430, $num or die "number: $!";
my $name = "/dev/pts/" . unpack "I", $num;
open my $tty, "+<", $name or die "$name: $!";
my $size = pack "SSSS", 24, 80, 0, 0; ioctl $tty, 0x5414, $size or die "size: $!";
sub modes { my $t = "\0" x 64; ioctl $tty, 0x5401, $t or die "modes: $!"; return substr $t, 0, 36 }
my $before = modes ();
my $pid = fork // die;
if (!$pid) {
    open STDIN, "<&", $tty; open STDOUT, ">&", $tty; close $pty; close $tty;
    exec "dfs-client", "monitor", "--interval", "100"; die;
}
my $text = ""; my $until = time + 20; my $told;
$SIG{ALRM} = sub { die "never ended\n" }; alarm 30;
while (1) {
    my $rin = ""; vec ($rin, fileno $pty, 1) = 1;
    if (select my $r = $rin, undef, undef, 0.1) { sysread $pty, my $more, 65536 or last; $text .= $more }
    if (!$told && ($text =~ s/(w3)/$1/g) >= 3) {
        die "no change of modes\n" if modes () eq $before;
        $how eq "q" ? syswrite ($pty, "q") : kill $how, $pid; $told = 1;
    }
    last if $told && waitpid ($pid, 1) == $pid;
    die "not shown\n" if time > $until && !$told;
}
my $status = $?;
while (1) { my $rin = ""; vec ($rin, fileno $pty, 1) = 1; last unless select my $r = $rin, undef, undef, 0.2; sysread $pty, my $more, 65536 or last; $text .= $more }
die "modes were left changed\n" unless modes () eq $before;
die "the other screen was left on\n" unless $text =~ /\e\[\?1049l$/ && $text =~ /\e\[\?25h/;
die "it scrolled\n" if ($text =~ /\n(?:[^\e\n]*\e\[K)?$/);
print $status >> 8, "\n";
PL

test_expect_success 'on a terminal: ended by q, the terminal is as before' 'perl in_terminal.pl q'
test_expect_success 'ended by Ctrl-C' 'perl in_terminal.pl INT'
test_expect_success 'ended by a signal' 'perl in_terminal.pl TERM'

test_expect_success 'it shows a death' '
    dfs-cluster kill "$PWD/c" w2 KILL && wait_until 20 worker_is w2 dead &&
    dfs-client monitor --count 1 >out </dev/null && plain out | grep -q "w2 *dead"
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
