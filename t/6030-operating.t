#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="The operator's guide: its commands do what it says"
. "${srcdir:-.}/t/lib/cluster.sh"
. "${srcdir:-.}/t/lib/hosts.sh"

test_expect_success HOSTS 'three hosts, known by name, and one to manage them' '
    hosts_up 4 && hosts_site 4 &&
    for i in 1 2 3 4; do
        printf "127.0.0.1 localhost\n10.88.0.1 store1\n10.88.0.2 store2\n10.88.0.3 store3\n" >h$i.hosts || return 1
    done
'

# Each block is a file of its own; their commands run in one shell, as a reader types them.
test_expect_success HOSTS 'its blocks marked run, in order' '
    sed -n "/^\`\`\`sh run\$/,/^\`\`\`\$/p" "$srcdir/doc/operating.md" | grep -v "^\`\`\`" >guide &&
    test $(wc -l <guide) -gt 15 &&
    { echo set -ex; echo "DIR=\$HOSTS_SITE"; cat guide; } >guide.sh &&
    on 4 timeout 120 sh guide.sh >out 2>err || { cat out err; false; }
'

test_expect_success HOSTS 'nothing is left running, nothing was complained about' '
    for i in 1 2 3; do cluster_clean h$i && test -z "$(ls h$i/run | grep ready)" || return 1; done
'

test_done
