#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="make install puts everything where it belongs, under any DESTDIR"
. "${srcdir:-.}/t/lib/cluster.sh"

# libtool cannot install below a directory with a space in its name.
dest=$SHARNESS_TEST_DIRECTORY/root
ln -s "$dest" root

test_expect_success 'make install DESTDIR' '
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -C "$builddir" install DESTDIR="$dest" >log 2>&1 || { tail log; false; }
'

# From a tarball nobody can tell what is missing in it.
top=$(cd "$srcdir" && pwd)
test "$(git -C "$top" rev-parse --show-toplevel 2>/dev/null)" = "$top" && test_set_prereq GIT
test_expect_success GIT 'a tarball would have every file of the tree' '
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -C "$builddir" distdir distdir="$dest-dist" >log 2>&1 || { tail log; false; } &&
    (cd "$dest-dist" && find . -type f | sed "s,^\./,," | sort) >there && rm -rf "$dest-dist" &&
    git -C "$top" ls-files | grep -vx .gitignore | sort >wanted && comm -13 there wanted >missing && cat missing && test ! -s missing
'

prefix=$(sed -n 's/^prefix = //p' "$builddir/Makefile")
bin=$dest$prefix/bin

test_expect_success 'programs, library, headers, man pages, examples are there' '
    for f in bin/dfs-client bin/dfs-cluster bin/dfs-broker bin/dfs-worker lib/libdfs.so \
        include/dfs.h include/dfs_error.h lib/pkgconfig/dfs.pc share/zsh/site-functions/_dfs \
        share/bash-completion/completions/dfs-cluster; do
        test -e "root$prefix/$f" || { echo "$f"; return 1; }
    done &&
    find root/ -name "dfs-client.1*" | grep -q . && find root/ -name "cluster.cfg.5*" | grep -q . &&
    find root/ -path "*/examples/three-hosts.cfg" | grep -q . && find root/ -name operating.md | grep -q .
'

test_expect_success 'the installed programs find each other and run a cluster' '
    (PATH=$bin:/usr/bin:/bin && LD_LIBRARY_PATH=$PWD/root$prefix/lib && export PATH LD_LIBRARY_PATH &&
     "$bin/dfs-cluster" init "$PWD/i" --base-port 0 --workers 2 --replicas 2 &&
     "$bin/dfs-cluster" start "$PWD/i" && echo hi >f &&
     DFS_CONFIG=$PWD/i/cluster.cfg "$bin/dfs-client" put f /f &&
     DFS_CONFIG=$PWD/i/cluster.cfg "$bin/dfs-client" cat /f >out && test_cmp f out &&
     "$bin/dfs-cluster" stop "$PWD/i")
'

test_expect_success 'a program compiled against the installed library runs' '
    cat >prog.c <<-\EOF &&
	#include <dfs.h>
	#include <stdio.h>
	int main (void)
	{
	    dfs_error_t err;
	    printf ("%s\n", dfs_version ());
	    dfs_options_t options = {.config = "/nonexistent/cluster.cfg"};
	    return dfs_open (&options, &err) ? 1 : dfs_error_status (err.code);
	}
	EOF
    flags=$(sed -n "s/^MODE_CFLAGS = //p" "$builddir/Makefile") &&
    ${CC:-gcc} $flags -I"root$prefix/include" prog.c -o prog -L"root$prefix/lib" -ldfs &&
    { LD_LIBRARY_PATH=$PWD/root$prefix/lib ./prog >out; test $? -eq 2; } && grep -q "[0-9]" out
'

test_expect_success 'nothing but dfs_ is exported' '
    nm -D --defined-only "root$prefix/lib/libdfs.so" | awk "{print \$3}" |
        grep -vE "^(dfs_|_init|_fini|__bss_start|_edata|_end|__asan|__ubsan|__odr|$)" >other; test ! -s other
'

test_expect_success 'make uninstall takes all away' '
    env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -C "$builddir" uninstall DESTDIR="$dest" >log 2>&1 &&
    find root/ ! -type d >left && test ! -s left
'

test_done
