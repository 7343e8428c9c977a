#!/bin/sh
# Boots systemd as the first process of namespaces of its own: unshare -fpmuiCn sh boot.sh ROOT PREPARE
# ROOT is an empty folder. What is written goes to memory: this machine's files are seen, and stay as they are.
# PREPARE is a program that is run with the new root's path before the start.
set -e
mount -t tmpfs -o mode=755 tmpfs "$1"
mkdir "$1/upper" "$1/work" "$1/root"
mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
root="$1/root"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys" # what the kernel is told would hold for all
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
echo 0123456789abcdef0123456789abcdef >"$root/etc/machine-id"
"$2" "$root"
cd "$root"
mkdir -p old
pivot_root . old
umount -l /old
mount --make-rshared / # as at the start of a machine: what is mounted for a service gets there
exec setpriv --bounding-set=-sys_time,-sys_module,-sys_rawio,-syslog,-mac_admin env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /usr/lib/systemd/systemd --system --unit=tested.target --log-target=journal --show-status=no
