# SPDX-License-Identifier: MPL-2.0
# Small file systems of a test's own, in a mount namespace that ends with the test,
# whatever happens to it. Sourced before cluster.sh. Prerequisites: MOUNTS, the right to
# mount; EXT4ERR, an ext4 that can be told to have met an error.

if test -z "${MOUNTS_READY-}" && unshare -m --propagation private true 2>/dev/null; then
    MOUNTS_READY=1
    export MOUNTS_READY
    exec unshare -m --propagation private "${TEST_SHELL_PATH:-sh}" "$0" "$@"
fi

# mounts_loop IMAGE DIR [mkfs option…]: an ext4 on DIR in the file IMAGE, which exists.
mounts_loop () {
    mounts_image=$1 mounts_dir=$2
    shift 2
    mkfs.ext4 -q -m 0 "$@" "$mounts_image" && mkdir -p "$mounts_dir" &&
        mount -o loop "$mounts_image" "$mounts_dir"
}

# mounts_device DIR: its loop device, as /sys/fs/ext4 knows it.
mounts_device () {
    findmnt -n -o SOURCE "$1" | sed "s|.*/||"
}

# mounts_prereq: to be called when cluster.sh has been sourced.
mounts_prereq () {
    test -n "${MOUNTS_READY-}" || return 0
    mkdir -p mounts.try && truncate -s 16M mounts.img &&
        mounts_loop "$PWD/mounts.img" "$PWD/mounts.try" >/dev/null 2>&1 &&
        { test ! -w "/sys/fs/ext4/$(mounts_device mounts.try)/trigger_fs_error" ||
            test_set_prereq EXT4ERR; } &&
        umount mounts.try && test_set_prereq MOUNTS
    rm -rf mounts.try mounts.img
}

# worker_condition NODE: as status says.
worker_condition () {
    dfs-client status --json >status.json 2>/dev/null &&
        perl -MJSON::PP -e '
            local $/; my $s = JSON::PP->new->utf8->decode(<STDIN>);
            for (@{$s->{workers}}) { print "$_->{condition}\n" if $_->{name} eq $ARGV[0] }' \
            "$1" <status.json
}
condition_is () {
    test "$(worker_condition "$1")" = "$2"
}
health_is () {
    dfs-client status --json >status.json 2>/dev/null && test "$(json health status.json)" = "$1"
}

# mounts_down: what is still mounted below the test's directory.
mounts_down () {
    sed -n "s|^[^ ]* \($(pwd -P | sed 's/ /\\\\040/g')/[^ ]*\) .*|\1|p" /proc/mounts |
        while read -r mounts_dir; do umount -l "$(printf '%b' "$mounts_dir")"; done
}
