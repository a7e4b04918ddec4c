# SPDX-License-Identifier: MPL-2.0
# A private cluster for one test file: sourced first, after test_description is set.
# Ports are picked by the kernel, everything lives in the test's own trash directory, and
# nothing is left running whatever happens.

: "${builddir:=$(cd "$(dirname "$0")/../build" 2>/dev/null && pwd)}"
: "${srcdir:=$(cd "$(dirname "$0")/.." && pwd)}"
PATH=$builddir/client:$builddir/broker:$builddir/worker:$PATH
export PATH
# Trash directories stand beside the build, not beside the source.
SHARNESS_TEST_DIRECTORY=${TMPDIR:-/tmp}/dfs-t-$$
mkdir -p "$SHARNESS_TEST_DIRECTORY"
export SHARNESS_TEST_DIRECTORY
: "${SHARNESS:=/usr/share/sharness/sharness.sh}"
. "$SHARNESS"
. "$srcdir/t/lib/diagnose.sh"

# Whatever was started is ended by its pid from the ready files, also when a test fails.
cluster_kill_all () {
    for cluster_ready in "$SHARNESS_TRASH_DIRECTORY"/*/run/*.ready; do
        test -f "$cluster_ready" || continue
        cluster_pid=$(sed -n 's/^pid //p' "$cluster_ready")
        case $(cat "/proc/$cluster_pid/comm" 2>/dev/null) in
        dfs-*) kill -KILL "$cluster_pid" ;;
        esac
    done
}
cluster_cleanup () {
    cluster_status=$?
    cluster_kill_all
    for cluster_pid in $(jobs -p); do
        kill "$cluster_pid" 2>/dev/null # a load that a failed case has left
    done
    cd / && rm -rf "$SHARNESS_TEST_DIRECTORY"
    return $cluster_status
}
cleanup cluster_cleanup
# sharness cleans up only when all went well. (-i leaves all for the one who looks.)
cluster_end () {
    cluster_code=$?
    test -n "$immediate" || test "${test_failure:-0}" -eq 0 || eval "$final_cleanup"
    (exit $cluster_code)
    die
}
trap cluster_end EXIT

# cluster_up NAME [init options]: makes and starts ./NAME and points DFS_CONFIG at it.
cluster_up () {
    cluster_name=$1
    shift
    dfs-cluster init "$PWD/$cluster_name" --base-port 0 "$@" &&
        dfs-cluster start "$PWD/$cluster_name" &&
        DFS_CONFIG=$PWD/$cluster_name/cluster.cfg &&
        export DFS_CONFIG
}

# cluster_down NAME: stops it; every daemon must have ended by itself, with nothing for a
# sanitizer to complain about in any log.
cluster_down () {
    dfs-cluster stop "$PWD/$1" && cluster_clean "$1"
}
cluster_clean () {
    for cluster_log in "$PWD/$1"/logs/*.log; do
        if grep -E "$diagnose_reports" "$cluster_log"; then
            echo "$cluster_log: see above" >&2
            return 1
        fi
    done
}

# cluster_pid NAME NODE: its process id.
cluster_pid () {
    sed -n 's/^pid //p' "$PWD/$1/run/$2.ready"
}

# wait_until SECONDS COMMAND…: until it succeeds; fails when it never does.
# (What it tried is not traced, but the last try is shown.)
wait_until () {
    case $- in *x*) wait_traced=t ;; *) wait_traced= ;; esac
    { set +x; } 4>/dev/null
    wait_for "$@"
    { wait_code=$?; test -z "$wait_traced" || set -x; } 4>/dev/null
    return $wait_code
}
# At first it looks often, later less so: looking takes time from what is waited for.
wait_for () {
    wait_left=$(($1 * 20)) wait_tries=0
    shift
    while ! "$@" >/dev/null 2>&1; do
        wait_tries=$((wait_tries + 1))
        wait_left=$((wait_left - 1 - (wait_tries > 20)))
        test $wait_left -gt 0 || {
            echo "never became true: $*" >&2
            (test -z "$wait_traced" || set -x; "$@" >&2) || return 1
            echo "but now it is" >&2
            return 1
        }
        if test $wait_tries -le 20; then sleep 0.05; else sleep 0.15; fi
    done
}

# json FILTER FILE: a value of a JSON file, by a path of keys and numbers such as
# workers.0.state.
json () (
    { set +x; } 4>/dev/null
    exec perl -MJSON::PP -e '
        my ($path, $file) = @ARGV;
        open my $f, "<", $file or die "$file: $!\n";
        local $/; my $v = JSON::PP->new->utf8->decode(<$f>);
        for my $k (split /\./, $path) {
            $v = ref $v eq "ARRAY" ? $v->[$k] : ref $v eq "HASH" ? $v->{$k} : die "no $k\n";
        }
        die "no $path\n" unless defined $v;
        print ref $v ? JSON::PP->new->canonical->encode($v) : $v, "\n";' "$1" "$2"
)

# worker_state NODE: as status says.
worker_state () (
    { set +x; } 4>/dev/null
    dfs-client status --json >status.json 2>/dev/null &&
        perl -MJSON::PP -e '
            local $/; my $s = JSON::PP->new->utf8->decode(<STDIN>);
            for (@{$s->{workers}}) { print "$_->{state}\n" if $_->{name} eq $ARGV[0] }' \
            "$1" <status.json
)
worker_is () {
    test "$(worker_state "$1")" = "$2"
}

# all_verified: every copy is where it is said to be, and whole; v.json has the counts.
# A test on hosts names its own client.
all_verified () {
    ${verifier:-dfs-client} verify --json >v.json || {
        cat v.json
        return 1
    }
}

# as_mortal COMMAND…: file permissions hold for it, whoever runs the test.
as_mortal () {
    if test "$(id -u)" -eq 0; then
        setpriv --bounding-set=-dac_override,-dac_read_search "$@"
    else
        "$@"
    fi
}

# random_file PATH BYTES SEED: the same bytes for the same seed, quickly.
random_file () {
    openssl enc -aes-128-ctr -nosalt -pass "pass:$3" -pbkdf2 -iter 1 -in /dev/zero 2>/dev/null |
        head -c "$2" >"$1"
}

# --- several brokers ---

# broker_field NODE FIELD: of a broker, as status says ("true" and "false" as words).
broker_field () (
    { set +x; } 4>/dev/null
    dfs-client status --timeout 5 --json >brokers.json 2>/dev/null &&
        perl -MJSON::PP -e '
            local $/; my $s = JSON::PP->new->utf8->decode(<STDIN>);
            for (@{$s->{brokers}}) {
                my $v = $_->{$ARGV[1]};
                print((ref $v ? ($v ? "true" : "false") : defined $v ? $v : ""), "\n")
                    if $_->{name} eq $ARGV[0];
            }' "$1" "$2" <brokers.json
)
broker_is () {
    test "$(broker_field "$1" role)" = "$2"
}
# leads_when_asked NODE: it does; on a busy machine it may have lost the lead again by an
# election, and is asked again.
leads_when_asked () {
    broker_is "$1" leader || {
        dfs-client admin brokers transfer "$1"
        return 1
    }
}
# leader: its name; fails when none leads.
leader () (
    { set +x; } 4>/dev/null
    dfs-client status --timeout 5 --json >brokers.json 2>/dev/null &&
        perl -MJSON::PP -e '
            local $/; my $s = JSON::PP->new->utf8->decode(<STDIN>);
            my @l = grep { $_->{role} eq "leader" } @{$s->{brokers}};
            print "$l[0]{name}\n"; exit(@l != 1);' <brokers.json
)
# followers: names of those that do not lead, a line each; fails when none leads.
followers () (
    { set +x; } 4>/dev/null
    dfs-client status --timeout 5 --json >brokers.json 2>/dev/null &&
        perl -MJSON::PP -e '
            local $/; my $s = JSON::PP->new->utf8->decode(<STDIN>);
            print "$_->{name}\n" for grep { $_->{role} ne "leader" } @{$s->{brokers}};
            exit(@{$s->{brokers}} - 1 != grep { $_->{role} ne "leader" } @{$s->{brokers}});' <brokers.json
)
# who_leads, who_follows: the same, waited for: on a busy machine there may be an election
# at any time.
who_leads () {
    wait_until 60 eval "leader >who" && cat who
}
who_follows () {
    wait_until 60 eval "followers >who" && cat who
}
health_is () {
    dfs-client status --timeout 5 --json >brokers.json 2>/dev/null &&
        test "$(json health brokers.json)" = "$1"
}

# Sets $picked to one of N, from a sequence that $seed repeats.
pick () {
    seed=$(((seed * 1103515245 + 12345) % 2147483648))
    picked=$((seed / 65536 % $1))
}
