#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="What is done with a stopped worker's disk: dump, index made anew, quarantine reversed"
. "${srcdir:-.}/t/lib/cluster.sh"

# The golden store: chunks 0, 1, 3 and 4 live, chunk 2 dropped and still there.
test_expect_success 'a worker with the store that format 1 wrote' '
    cp -R "$srcdir/t/data/store-1" w1 && chmod -R u+w w1 && cat >cluster.cfg <<-EOF
	cluster
	    name = gold
	    id = 07070707070707070707070707070707
	    security = none
	policy
	    replicas = 1
	brokers
	    b1
	        host = 127.0.0.1
	        port = 0
	        data = b1
	workers
	    w1
	        host = 127.0.0.1
	        port = 0
	        data = w1
	EOF
    DFS_CONFIG=$PWD/cluster.cfg && export DFS_CONFIG && dfs-worker --node w1 --check
'

test_expect_success 'dump names volumes, batches and records' '
    dfs-worker -q --node w1 --dump >dump && grep -q "^disk 0101.* node=w1" dump &&
    grep -q "^volume 00000001" dump && grep -q "batch 1 " dump && test "$(grep -c "^  chunk " dump)" -eq 4 &&
    grep -q "^  seal " dump && grep -q "^  gone " dump && ! grep -q BAD dump
'

test_expect_success 'dump points at a flipped bit, and goes on' '
    at=$(sed -n "s/^  chunk  *seq=4 at=\([0-9]*\) .*/\1/p" dump) && cp -R w1 hurt &&
    perl -e "open my \$h, \"+<:raw\", \$ARGV[0] or die; seek \$h, \$ARGV[1], 0; read \$h, my \$b, 1; seek \$h, \$ARGV[1], 0; print \$h chr(ord(\$b) ^ 8)" \
        w1/volumes/00000001.vol $((at + 150)) &&
    dfs-worker -q --node w1 --dump >bad && test "$(grep -c BAD bad)" -eq 1 && grep "seq=4 " bad | grep -q BAD-CRC &&
    test "$(wc -l <bad)" -eq "$(wc -l <dump)" && rm -rf w1 && mv hurt w1
'

test_expect_success 'the quarantine lists the dropped chunk' '
    dfs-worker -q --node w1 --quarantine >list && test "$(wc -l <list)" -eq 1 &&
    grep -q "^chunk=[0-9a-f]\{64\} length=200 birth=5 since=20..-..-..T..:..:..Z$" list
'

test_expect_success 'a copy is taken back by the beginning of its name, once' '
    chunk=$(sed "s/^chunk=//; s/ .*//" list) && short=$(printf %.12s "$chunk") &&
    test_expect_code 2 dfs-worker -q --node w1 --restore abc &&
    test_expect_code 3 dfs-worker -q --node w1 --restore 0123456789 &&
    dfs-worker -q --node w1 --restore "$short" >out && grep -q "^1 " out &&
    dfs-worker -q --node w1 --quarantine >list && ! test -s list &&
    test_expect_code 3 dfs-worker -q --node w1 --restore "$short" &&
    dfs-worker -q --node w1 --restore all >out && grep -q "^0 " out &&
    dfs-worker -q --node w1 --dump >dump && grep "^  back " dump | grep -q "$chunk"
'

test_expect_success 'the index made anew from the volumes alone knows all of it' '
    rm -rf w1/index && dfs-worker --node w1 --rebuild-index 2>log && ! grep -q " error " log &&
    test -s w1/index/data.mdb && dfs-worker -q --node w1 --quarantine >list && ! test -s list
'

test_expect_success 'damage in the index is noticed and it is made anew, too' '
    perl -e "open my \$h, \"+<:raw\", \$ARGV[0] or die; for (my \$i = 0; \$i < -s \$h; \$i += 64) { seek \$h, \$i, 0; print \$h \"junk\" }" w1/index/data.mdb &&
    dfs-worker --node w1 --quarantine >list 2>log && grep -q index_damaged log && ! test -s list
'

test_done
