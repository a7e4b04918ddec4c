# SPDX-License-Identifier: MPL-2.0
# What a failed case leaves in the test's output, so that it need not happen twice: what it
# printed and ran (a trace, under bash), what the cluster says of itself, the last lines of
# each node's log. Sourced by cluster.sh, after sharness.

diagnose_reports='Sanitizer|runtime error:|Assertion'
diagnose_cases=$SHARNESS_TEST_DIRECTORY/cases

# Without -v sharness throws away what cases print; it is kept until the case has passed.
if test -z "$verbose"; then
    exec 3>>"$diagnose_cases" 4>&3
    if test -n "$BASH_VERSION"; then
        diagnose_trace=t
        BASH_XTRACEFD=4
    fi
fi

test_eval_ () {
    diagnose_eval "$@" </dev/null >&3 2>&4
    {
        diagnose_code=$?
        set +x
    } 4>/dev/null
    return $diagnose_code
}
# A function of its own: a case may return.
diagnose_eval () {
    if test -n "$diagnose_trace" && test "$*" != :; then
        eval "set -x; $*"
    else
        eval "$*"
    fi
}

# What sharness does, with all this before it. A test that defines case_failed ends there
# what its case began and would have ended: its load, above all.
test_failure_ () {
    diagnose "$1"
    if command -v case_failed >/dev/null; then
        case_failed >/dev/null 2>&1
    fi
    test_failure=$(($test_failure + 1))
    say_color error "not ok $test_count - $1"
    shift
    echo "$@" | sed -e 's/^/#	/'
    test -z "$immediate" || {
        EXIT_OK=t
        exit 1
    }
}

diagnose () {
    {
        echo "FAILED at $(date +%T), load $(cut -d ' ' -f 1-3 /proc/loadavg): $1"
        for diagnose_log in "$SHARNESS_TRASH_DIRECTORY"/*/logs/*.log; do
            test -f "$diagnose_log" || continue
            echo "--- ${diagnose_log#"$SHARNESS_TRASH_DIRECTORY/"}"
            tail -n 5 "$diagnose_log"
        done
        # A test on hosts names its own client.
        echo "--- status" && ${verifier:-timeout 20 dfs-client} status --timeout 5 2>&1 | head -n 20
        for diagnose_log in "$SHARNESS_TRASH_DIRECTORY"/*/logs/*.log; do
            test -f "$diagnose_log" && grep -qE "$diagnose_reports" "$diagnose_log" || continue
            echo "--- ${diagnose_log#"$SHARNESS_TRASH_DIRECTORY/"}"
            grep -E -A 40 "$diagnose_reports" "$diagnose_log" | head -n 40
        done
        if test -z "$verbose"; then
            echo "--- the case"
            tac "$diagnose_cases" | sed '/^expecting success: /q' | tac | tail -n 35
        fi
    } </dev/null 2>&1 | cut -c 1-250 | sed 's/^/# /'
}
