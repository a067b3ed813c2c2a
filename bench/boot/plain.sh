#!/bin/sh
# What an administrator does with a fresh Debian: addresses by DHCP, a root file system, an initramfs and a boot loader's menu. All
# else is as the packages have it. Usage: plain.sh ROOT
set -eu
root=$1

printf '[Match]\nType=ether\n\n[Network]\nDHCP=yes\n' >"$root/etc/systemd/network/lan.network"
chroot "$root" systemctl --quiet enable systemd-networkd.service systemd-resolved.service ssh.service
echo 'LABEL=root / ext4 defaults 0 1' >"$root/etc/fstab"
: >"$root/etc/machine-id"
rm -f "$root/etc/hostname"

set -- "$root"/usr/lib/modules/*/
release=$(basename "$1")
cp "$root/boot/vmlinuz-$release" "$root/boot/vmlinuz"
chroot "$root" dracut --quiet --force --no-hostonly --kver "$release" /boot/initrd.img
mkdir "$root/boot/syslinux"
printf 'TIMEOUT 1\nDEFAULT plain\nLABEL plain\n\tKERNEL /boot/vmlinuz\n\tINITRD /boot/initrd.img\n\tAPPEND %s\n' "$PLAIN_ARGUMENTS" >"$root/boot/syslinux/syslinux.cfg"
