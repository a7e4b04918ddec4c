#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Rules of the source that a reader relies on"
. "${srcdir:-.}/t/lib/cluster.sh"

cd "$srcdir" || exit 1
sources () {
    find common msgs broker worker client -name '*.[ch]' ! -name '*.pb-c.*'
}
# Prints what breaks a rule; succeeds when there is nothing.
none () {
    cat >"$SHARNESS_TRASH_DIRECTORY/found"
    test ! -s "$SHARNESS_TRASH_DIRECTORY/found" || {
        cat "$SHARNESS_TRASH_DIRECTORY/found" >&2
        return 1
    }
}

test_expect_success 'each file says its licence' '
    { sources; find t etc scripts quickstart .ci -type f \( -name "*.c" -o -name "*.h" -o -name "*.sh" -o -name "*.t" \
        -o -name quickstart -o -name run -o -path "scripts/*" \) 2>/dev/null; } |
        while read -r f; do head -n 3 "$f" | grep -q SPDX-License-Identifier || echo "$f"; done | none
'

test_expect_success 'layers: nothing includes upwards or sideways' '
    {
        grep -nE "#include \"(msgs|broker|worker|client)/" -r common
        grep -nE "#include \"(broker|worker|client)/" -r msgs
        grep -nE "#include \"(worker|client)/" -r broker
        grep -nE "#include \"(broker|client)/" -r worker
        grep -nE "#include \"(broker|worker)/" -r client
    } | none
'

test_expect_success 'the core does no I/O' '
    grep -nE "#include <(zmq|czmq|pthread|fcntl|sys/socket|lmdb)" -r broker/core | none
'

test_expect_success 'tests do not sleep and hope' '
    grep -nE "^[^#]*\bsleep [0-9]" t/*.t | none
'

test_expect_success 'no file has two jobs (500 lines of code)' '
    sources | grep "\.c$" | xargs wc -l | awk "\$2 != \"total\" && \$1 > 500" | none
'

test_expect_success 'nothing is left undone in the words of the tree' '
    grep -nwE "TODO|FIXME|XXX|HACK" -r common msgs broker worker client | none
'

if command -v mandoc >/dev/null; then
    test_expect_success 'man pages are clean' '
        for f in doc/man/*.[1-8]; do
            mandoc -T lint -W warning "$f" || echo "$f"
        done | none
    '
fi

test_done
