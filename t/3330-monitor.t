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

# in_terminal.pl HOW: runs the monitor on a terminal of 80x24, ends it by a key or a signal. The broker
# may take minutes to answer (--timeout): nothing here may wait for it.
cat >in_terminal.pl <<'PL'
use strict; use POSIX ":sys_wait_h";
my ($how) = @ARGV;
open my $pty, "+<", "/dev/ptmx" or die "ptmx: $!";
my $unlock = pack "i", 0; ioctl $pty, 0x40045431, $unlock or die "unlock: $!";
my $num = pack "I", 0; ioctl $pty, 0x80045430, $num or die "number: $!";
my $name = "/dev/pts/" . unpack "I", $num;
open my $tty, "+<", $name or die "$name: $!";
my $size = pack "SSSS", 24, 80, 0, 0; ioctl $tty, 0x5414, $size or die "size: $!";
sub modes { my $t = "\0" x 64; ioctl $tty, 0x5401, $t or die "modes: $!"; return substr $t, 0, 36 }
sub broker { system ("dfs-cluster", "kill", "$ENV{PWD}/c", "b1", $_[0]) == 0 or die "kill b1\n" }
my $before = modes ();
broker ("STOP") if $how eq "frozen";
my $pid = fork // die;
if (!$pid) {
    open STDIN, "<&", $tty; open STDOUT, ">&", $tty; close $pty; close $tty;
    exec "dfs-client", "monitor", "--timeout", "600", "--interval", "100"; die;
}
my $text = "";
$SIG{ALRM} = sub { kill "KILL", $pid; broker ("CONT") if $how =~ /^fr/; die "never ended, shown last: " . substr ($text, -2000) . "\n" };
alarm 60;
sub gather { my $rin = ""; vec ($rin, fileno $pty, 1) = 1;
    select (my $r = $rin, undef, undef, $_[0]) > 0 or return 0;
    sysread $pty, my $more, 65536 or return 0; $text .= $more; return 1 }
sub shown { my ($what, $times) = @_;
    while ((() = $text =~ /$what/g) < $times) { gather (0.1) or waitpid ($pid, WNOHANG) != $pid or die "it ended: $text\n" } }
sub clean { 1 while gather (0.2);
    die "modes were left changed\n" unless modes () eq $before;
    die "the other screen was left on\n" unless $text =~ /\e\[\?1049l$/ && $text =~ /\e\[\?25h/ }
sub state { open my $f, "<", "/proc/$pid/stat" or die; return <$f> =~ /\) (\w)/ ? $1 : "" }
my $enter = qr/\e\[\?1049h/;
if ($how eq "frozen") { shown (qr/no answer for \d/, 2) } else { shown (qr/w3/, 3) }
die "no change of modes\n" if modes () eq $before;
if ($how eq "freeze") { # the numbers stay, with a word about their age
    broker ("STOP"); shown (qr/no answer for [\d.]+s, what follows is of \d\d:\d\d:\d\d.*w3/s, 1);
    broker ("CONT"); shown (qr/no answer for/, 1); $text = ""; shown (qr/\e\[H\d\d:\d\d:\d\d  dfs/, 1);
    broker ("STOP"); shown (qr/no answer for/, 1);
}
if ($how eq "stop") {
    kill "TSTP", $pid; gather (0.1) until state () =~ /[TZ]/;
    die "it ended\n" if state () eq "Z"; clean ();
    $text = ""; kill "CONT", $pid; shown (qr/$enter.*w3/s, 1); die "not taken again\n" if modes () eq $before;
}
$how =~ /^[A-Z]+$/ ? kill ($how, $pid) : syswrite ($pty, "q");
gather (0.1) until waitpid ($pid, WNOHANG) == $pid;
my $status = $?;
clean ();
broker ("CONT") if $how =~ /^fr/;
die "it scrolled\n" if ($text =~ /\n(?:[^\e\n]*\e\[K)?$/);
die "status $status\n" if $status;
PL

test_expect_success 'on a terminal: ended by q, the terminal is as before' 'perl in_terminal.pl q'
test_expect_success 'ended by Ctrl-C' 'perl in_terminal.pl INT'
test_expect_success 'ended by a signal' 'perl in_terminal.pl TERM'
test_expect_success 'stopped by Ctrl-Z: the shell has its terminal, and it is taken again' 'perl in_terminal.pl stop'
test_expect_success 'a broker that says nothing: it is said, old numbers have their time, q ends it' 'perl in_terminal.pl freeze'
test_expect_success 'begun while the broker says nothing: q ends it as well' 'perl in_terminal.pl frozen'

test_expect_success 'it shows a death' '
    dfs-cluster kill "$PWD/c" w2 KILL && wait_until 20 worker_is w2 dead &&
    dfs-client monitor --count 1 >out </dev/null && plain out | grep -q "w2 *dead"
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
