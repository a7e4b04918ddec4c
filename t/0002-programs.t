#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="What every program answers to a wrong word"
. "${srcdir:-.}/t/lib/cluster.sh"

for p in dfs-broker dfs-worker dfs-client dfs-cluster; do
    test_expect_success "$p --help and --version" '
        '$p' --help >out && grep -qi usage out &&
        '$p' --version >out && grep -q "[0-9]\.[0-9]" out
    '
    test_expect_success "$p: a wrong option is exit 2 with the usage, and not with all options" '
        test_expect_code 2 '$p' --no-such-option 2>err && cat err &&
        grep -q -e --no-such-option err && grep -q "^Usage: $p " err && grep -q "^Try .$p --help" err &&
        test $(wc -l <err) -eq 3
    '
done

test_expect_success 'an unknown verb is exit 2' '
    test_expect_code 2 dfs-client frobnicate /x 2>err && grep -q frobnicate err &&
    test_expect_code 2 dfs-cluster frobnicate /x 2>err
'

test_expect_success 'no configuration: the places that were tried are named' '
    (unset DFS_CONFIG && HOME=$PWD && export HOME &&
     test_expect_code 2 dfs-client ls / 2>err) &&
    grep -q cluster.cfg err
'

test_expect_success 'a typo in the configuration names file and line, everywhere' '
    dfs-cluster init "$PWD/c" --base-port 0 --workers 2 &&
    sed "s/replicas/replicsa/" c/cluster.cfg >c/bad.cfg &&
    line=$(grep -n replicsa c/bad.cfg | cut -d: -f1) &&
    test_expect_code 2 dfs-broker --config c/bad.cfg --node b1 --check 2>err &&
    grep -q "bad.cfg:$line: .*replicsa" err &&
    test_expect_code 2 dfs-worker --config c/bad.cfg --node w1 --check 2>err &&
    grep -q "bad.cfg:$line:" err &&
    test_expect_code 2 env DFS_CONFIG=c/bad.cfg dfs-client ls / 2>err &&
    grep -q "bad.cfg:$line:" err
'

test_expect_success '--check of a good configuration is silent, --dump-config can be read back' '
    dfs-broker --config c/cluster.cfg --node b1 --check &&
    dfs-worker --config c/cluster.cfg --node w1 --check &&
    dfs-broker --config c/cluster.cfg --node b1 --dump-config >c/dump.cfg &&
    dfs-broker --config c/dump.cfg --node b1 --check &&
    dfs-broker --config c/dump.cfg --node b1 --dump-config >c/dump2.cfg &&
    test_cmp c/dump.cfg c/dump2.cfg
'

test_expect_success '--check looks at the keys: one that is not there is an error of the configuration' '
    sed "s/keys = .*/keys = keyz/" c/cluster.cfg >c/keyz.cfg &&
    test_expect_code 2 dfs-broker --config c/keyz.cfg --node b1 --check 2>err && grep -q keyz err &&
    test_expect_code 2 dfs-worker --config c/keyz.cfg --node w1 --check 2>err && grep -q keyz err
'

test_expect_success 'a configuration that is a directory is named' '
    for p in "dfs-worker --node w1" "dfs-broker --node b1" "dfs-client ls"; do
        test_expect_code 2 $p --config "$PWD/c" 2>err && cat err && grep -q "$PWD/c: is a directory" err || return 1
    done &&
    : >file && test_expect_code 1 dfs-cluster init "$PWD/file" 2>err && cat err && grep -q "/file: not a directory$" err
'

test_expect_success 'a user without a key is named, and so is where it was looked for' '
    test_expect_code 2 env DFS_CONFIG="$PWD/c/cluster.cfg" dfs-client --user nobody ls / 2>err && cat err &&
    grep -q "no key of user nobody in .*c/keys" err
'

test_expect_success 'a node that the configuration does not have' '
    test_must_fail dfs-broker --config c/cluster.cfg --node b9 --check 2>err && grep -q b9 err &&
    test_must_fail dfs-worker --config c/cluster.cfg --node w9 --check 2>err && grep -q w9 err
'

# Prints the options of a --help that PAGE does not tell of: in the list item of VERB, or
# among those of every verb; without VERB, anywhere.
untold () {
    sed -nE 's/^ +(-(.), )?--([a-z-]+).*/\2 \3/p' | sed 's/^ /- /' >options &&
        test -s options &&
        awk -v verb="$2" '
            /^\.S[sh] / { item = verb == "" || /Options / }
            verb != "" && /^\.It Ic / { item = $3 == verb }
            item' "$1" >told || return
    while read -r short long; do
        grep -qE -- "Fl (Fl |-)$long([^a-z-]|\$)" told || echo "$1 $2 --$long"
        test "$short" = - || grep -qF -- "Fl \\&$short" told ||
            grep -qE -- "Fl [[:alnum:]]*[$short]" told || echo "$1 $2 -$short"
    done <options
}

test_expect_success 'the man pages tell of every option that --help has' '
    for p in dfs-client dfs-cluster; do
        $p --help >verbs && untold "$srcdir/doc/man/$p.1" every <verbs &&
        sed -n "/^Verbs:/,/^\$/s/^  \([a-z-]*\).*/\1/p" verbs >names && test $(wc -l <names) -ge 12 || echo $p
        while read -r v; do
            $p $v --help >help && untold "$srcdir/doc/man/$p.1" $v <help || echo $p $v
        done <names
    done >missing 2>&1 &&
    for p in dfs-broker dfs-worker; do
        $p --help >help && untold "$srcdir/doc/man/$p.8" "" <help || echo $p
    done >>missing 2>&1
    cat missing && test ! -s missing
'

test_expect_success 'the shell completes verbs, options and what admin does' '
    cat >complete.sh <<-\EOF &&
	. "$srcdir/etc/completion/dfs-client"
	said () {
	    COMP_WORDS=(dfs-client "$@") COMP_CWORD=$#
	    _dfs_complete dfs-client "${!#}"
	    echo ${COMPREPLY[*]}
	}
	said mk; said admin re; said put --no-
	EOF
    bash complete.sh >out && cat out && sed -n 1p out | grep -w mkdir &&
    test "$(sed -n 2p out)" = "rebalance reclaim remove repair" && sed -n 3p out | grep -e --no-clobber
'

test_done
