#!/bin/sh
# SPDX-License-Identifier: MPL-2.0
test_description="Hosts reached by ssh itself: an sshd on each, a key, a config"
. "${srcdir:-.}/t/lib/cluster.sh"
. "${srcdir:-.}/t/lib/hosts.sh"

S=$PWD/site
DFS_CONFIG=$S/cluster.cfg
export DFS_CONFIG
sshd=$(PATH=$PATH:/usr/sbin command -v sshd) && command -v ssh-keygen >/dev/null && test_set_prereq SSHD

sshd_end () {
    for sshd_file in "$SHARNESS_TRASH_DIRECTORY"/sshd?.pid; do
        test ! -s "$sshd_file" || kill "$(cat "$sshd_file")"
    done
}
cleanup sshd_end

# sshd wants paths without spaces.
ln -s "$PWD" "$SHARNESS_TEST_DIRECTORY/here"
H=$SHARNESS_TEST_DIRECTORY/here

test_expect_success HOSTS,SSHD 'two hosts with sshd' '
    hosts_up 3 && hosts_site 3 && mkdir -p /run/sshd &&
    ssh-keygen -q -t ed25519 -N "" -f hostkey && ssh-keygen -q -t ed25519 -N "" -f userkey &&
    for i in 1 2; do
        cat >sshd$i.cfg <<-EOS &&
		ListenAddress 10.88.0.$i
		HostKey $H/hostkey
		PidFile $H/sshd$i.pid
		AuthorizedKeysFile $H/userkey.pub
		StrictModes no
		UsePAM no
		PermitRootLogin prohibit-password
		EOS
        on $i "$sshd" -f "$H/sshd$i.cfg" -E "$H/sshd$i.log" || return 1
    done &&
    cat >ssh.cfg <<-EOS &&
	IdentityFile $H/userkey
	UserKnownHostsFile $H/known
	StrictHostKeyChecking accept-new
	BatchMode yes
	EOS
    DFS_SSH="ssh -F $H/ssh.cfg" && export DFS_SSH &&
    wait_until 10 on 3 $DFS_SSH 10.88.0.2 true
'

test_expect_success HOSTS,SSHD 'deployed, started, used and stopped over ssh' '
    on 3 dfs-cluster init "$S" --host 10.88.0.1 --workers-on 10.88.0.1,10.88.0.2 &&
    on 3 dfs-cluster deploy "$S" && on 3 dfs-cluster start "$S" &&
    random_file some 3000000 1 && on 3 dfs-client put some /some && on 3 dfs-client get /some back && cmp some back &&
    on 3 dfs-cluster status "$S" >out && test $(grep -c running out) -eq 3 &&
    on 3 dfs-cluster logs "$S" >log && grep -q node=w2 log &&
    on 3 dfs-cluster stop "$S" && site_clean 1 2
'

test_done
