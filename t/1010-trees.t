#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Whole trees keep their shape, modes, times and links"
. "${srcdir:-.}/t/lib/cluster.sh"

test_expect_success 'a cluster of three workers' 'cluster_up c --workers 3 --replicas 2'

test_expect_success 'a tree with everything in it' '
    mkdir -p tree/empty "tree/with space/deep" tree/mode &&
    for i in 1 2 3; do random_file tree/f$i $((i * 70000)) $i || return 1; done &&
    echo x >tree/mode/private && chmod 0600 tree/mode/private &&
    echo x >tree/mode/run && chmod 0755 tree/mode/run && chmod 0700 tree/mode &&
    ln -s f1 tree/link && ln -s /absolute/nowhere tree/dangling && ln -s ../f2 tree/empty-link &&
    ln -s mode tree/dirlink &&
    : >tree/empty/zero && touch -d "2001-02-03 04:05:06.789" tree/f2 &&
    touch -d "1999-12-31 23:59:59" tree/mode && touch -d "1965-01-02 03:04:05.250" tree/f3 &&
    touch -h -d "1950-06-07 08:09:10.5" tree/dangling && touch -d "2250-01-02 03:04:05" tree/empty &&
    dfs-client put -r tree /tree && dfs-client get -r /tree back &&
    diff -r --no-dereference tree back
'

shape () {
    (cd "$1" && find . -printf "%p %y %m %T@ %l\n" | sort)
}
test_expect_success 'modes, times and link targets are the same' '
    shape tree >want && shape back >got && test_cmp want got &&
    dfs-client stat --json /tree/f3 >out && test "$(json mtime out)" = 1965-01-02T03:04:05.250000000Z &&
    dfs-client ls -l /tree >out && grep "1965-01-02 03:04:05.* f3$" out
'

test_expect_success 'in a copy within the cluster as well' '
    dfs-client cp -r /tree /copy && dfs-client get -r /copy copy && shape copy >got && test_cmp want got &&
    dfs-client rm -r /copy
'

# A directory that is there takes what is copied into itself, as cp does; the tree goes to
# where it came from before.
test_expect_success 'put -r again and get -r over it change nothing' '
    dfs-client status --json >s && n=$(json files s) chunks=$(json chunks s) &&
    mkdir up && cp -a tree up/ && (cd up && dfs-client put -r tree /) &&
    dfs-client status --json >s && test "$(json files s)" -eq $n && test "$(json chunks s)" -eq $chunks &&
    test_expect_code 3 dfs-client stat /tree/tree 2>err &&
    mkdir down && cp -a back down/tree && dfs-client get -r /tree down && test "$(ls -A down)" = tree &&
    shape down/tree >got && test_cmp want got && diff -r --no-dereference tree down/tree
'

test_expect_success 'what cannot be stored is named, the rest is' '
    mkdir odd && echo x >odd/file && mkfifo odd/pipe &&
    test_expect_code 1 dfs-client put -r odd /odd 2>err && grep -q pipe err &&
    dfs-client cat /odd/file >out && echo x >want && test_cmp want out &&
    rm odd/pipe && echo y >odd/locked && mkdir odd/shut && echo z >odd/shut/in && echo w >odd/last &&
    chmod 0 odd/locked odd/shut &&
    test_expect_code 1 as_mortal dfs-client put -r odd /odd2 2>err && chmod 700 odd/shut &&
    grep "odd/locked: Permission denied" err && grep "odd/shut: Permission denied" err &&
    test $(wc -l <err) -eq 2 && dfs-client cat /odd2/last >out && echo w >want && test_cmp want out &&
    test_expect_code 3 dfs-client stat /odd2/locked 2>err
'

test_expect_success 'a path that is too long is one of many: it is named, and the rest is stored' '
    perl -e "my \$n = q(d) x 250; mkdir q(long) or die; chdir q(long) or die; open my \$f, q(>), q(top) or die; print \$f qq(x\n);
        for (1 .. 16) { mkdir \$n or die; chdir \$n or die } open \$f, q(>), q(deep) or die" &&
    top=/$(printf "%0200d" 7) && test_expect_code 1 dfs-client put -r long "$top" 2>err && test -s err &&
    dfs-client cat "$top/top" >out && echo x >want && test_cmp want out &&
    rm -rf long && test_expect_code 3 dfs-client put -r long "$top" 2>err
'

test_expect_success 'what is there stays until the new thing can take its place' '
    echo real >real && chmod 0640 real && ln -s real name && dfs-client put tree/f1 /over && dfs-client get /over name &&
    test -L name && cmp tree/f1 real && dfs-client get /over /dev/stdout >out && cmp tree/f1 out && test -L /dev/stdout &&
    mkdir keep && echo mine >keep/link && chmod 0500 keep &&
    test_expect_code 5 as_mortal dfs-client get -r /tree/link keep/link 2>err && grep keep/link err &&
    echo mine >want && test_cmp want keep/link && chmod 0700 keep
'

test_expect_success 'no set-user-ID program of somebody else' '
    echo "#!/bin/sh" >suid && chmod 6755 suid && dfs-client put suid /suid && dfs-client get /suid suid2 &&
    test "$(stat -c %a suid2)" = 755
'

test_expect_success 'closed standard descriptors are nobody else'"'"'s' '
    test_must_fail dfs-client cat /over >&- && dfs-client get /over again >&- 2>&- </dev/null && cmp tree/f1 again
'

test_expect_success 'ten thousand small files' '
    mkdir many && perl -e "
        for my \$d (0..9) { mkdir qq(many/\$d);
            for my \$i (0..999) { open my \$f, q(>), qq(many/\$d/\$i) or die;
                print \$f qq(\$d \$i ), \"x\" x (\$i * 3); } }" &&
    dfs-client put -r many /many && dfs-client get -r /many many.back &&
    diff -r many many.back &&
    test "$(dfs-client find --json "*" /many | perl -ne "\$n++ while /\"type\": *\"file\"/g; END { print \$n }")" -eq 10000
'

test_expect_success 'find and du' '
    dfs-client find "99?" /many >out && test "$(wc -l <out)" -eq 100 &&
    dfs-client du --json /many >du.json && want=$(find many -type f -printf "%s\n" | awk "{n+=\$1} END {print n}") &&
    grep -q "$want" du.json
'

test_expect_success 'rm -r takes all away at once' '
    dfs-client rm -r /many && test_expect_code 3 dfs-client stat /many &&
    dfs-client find "99?" / >out && test ! -s out
'

test_expect_success 'ten clients at once' '
    for i in 1 2 3 4 5 6 7 8 9 10; do
        (random_file p$i 3000000 p$i && dfs-client put p$i /p$i && dfs-client get /p$i q$i && cmp p$i q$i && : >ok$i) &
    done; wait &&
    for i in 1 2 3 4 5 6 7 8 9 10; do test -e ok$i || return 1; done
'

test_expect_success 'two writers of one path: one of them is there, whole' '
    random_file one 5000000 one && random_file two 5000000 two &&
    { dfs-client put one /same & dfs-client put two /same; wait; } &&
    dfs-client get /same got && { cmp -s got one || cmp got two; }
'

test_expect_success 'it stops cleanly' 'cluster_down c'

test_done
