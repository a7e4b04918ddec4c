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

# Prints those names that come in which doc/protocol does not have as PATTERN says (NAME in it
# stands for the name), and that there are fewer names than LEAST.
undescribed () { # LEAST PATTERN WHAT
    cat doc/protocol/*.md >"$SHARNESS_TRASH_DIRECTORY/protocol"
    awk -v least="$1" -v pattern="$2" -v what="$3" '
        FILENAME != "-" { text = text "\n" $0; next }
        { n++; here = pattern; sub (/NAME/, $1, here) }
        text !~ here { print what " in doc/protocol: " $1 }
        END { if (n < least) print "only " n + 0 " names were found" }
    ' "$SHARNESS_TRASH_DIRECTORY/protocol" -
}

test_expect_success 'doc/protocol names every message' '
    sed -nE "s/^message ([A-Za-z]+).*/\1/p" msgs/control.proto msgs/entry.proto |
        undescribed 100 "\`NAME[^A-Za-z]" "not" | none
'

# The types of the fields of the oneof in a message of a file.
types () {
    awk -v message="$2" '
        $1 == "message" { here = $2 == message }
        $1 == "}" { one = 0 }
        here && one && $1 !~ /^\/\// { print $1 }
        $1 == "oneof" { one = 1 }' "$1"
}

test_expect_success 'doc/protocol has a row for each body of an envelope and each operation' '
    { types msgs/control.proto Envelope; types msgs/entry.proto Op; } |
        undescribed 70 "\n[|] \`NAME\` [|]" "no row" | none
'

if command -v mandoc >/dev/null; then
    test_expect_success 'man pages are clean' '
        for f in doc/man/*.[1-8]; do
            mandoc -T lint -W warning "$f" || echo "$f"
        done | none
    '
fi

test_done
