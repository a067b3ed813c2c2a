#!/bin/sh
# Turns a root file system made of Debian packages into the root of an image-mode host, in place.
# Usage: layout.sh ROOT     ROOT is "/" inside a Containerfile.
# https://bootc-dev.github.io/bootc/bootc-images.html, https://ostreedev.github.io/ostree/adapting-existing/
set -eu
export LC_ALL=C
umask 022
root=${1%/}
here=$(dirname "$0")

in_root() {
  if [ -n "$root" ]; then chroot "$root" "$@"; else "$@"; fi
}

fail() {
  echo "layout: $*" >&2
  exit 1
}

# The kernel, its config (kubeadm reads it there) and a generic initramfs stand together; /boot belongs to the boot loader.
kernel() {
  set -- "$root"/usr/lib/modules/*/
  [ $# -eq 1 ] && [ -d "$1" ] || fail "expected exactly one kernel in /usr/lib/modules, found: $*"
  modules=${1%/}
  release=${modules##*/}
  if [ ! -e "$modules/vmlinuz" ]; then
    mv "$root/boot/vmlinuz-$release" "$modules/vmlinuz"
    mv "$root/boot/config-$release" "$modules/config"
  fi
  chmod 0644 "$modules/vmlinuz" "$modules/config"
  in_root depmod "$release"
  in_root dracut --quiet --force --kver "$release" "/usr/lib/modules/$release/initramfs.img"
  chmod 0644 "$modules/initramfs.img"
  find "$root/boot" -mindepth 1 -delete
  rm -f "$root"/vmlinuz "$root"/vmlinuz.old "$root"/initrd.img "$root"/initrd.img.old
}

# What names one machine or one build is made at boot instead.
identity() {
  # In a Containerfile an engine has mounts of its own on these; the image keeps what the base has below.
  for file in hostname resolv.conf; do
    if ! mountpoint -q "$root/etc/$file"; then rm -f "$root/etc/$file"; fi
  done
  rm -f "$root"/etc/.resolv.conf.systemd-resolved.bak "$root"/etc/.pwd.lock \
    "$root"/etc/passwd- "$root"/etc/group- "$root"/etc/shadow- "$root"/etc/gshadow- "$root"/etc/subuid- "$root"/etc/subgid- \
    "$root"/etc/ssh/ssh_host_*
  : > "$root/etc/machine-id"
  : > "$root/etc/fstab"
  printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n' > "$root/etc/hosts"
  chmod 0644 "$root/etc/machine-id" "$root/etc/fstab" "$root/etc/hosts"
  if [ -e "$root/etc/iscsi/initiatorname.iscsi" ]; then echo GenerateName=yes > "$root/etc/iscsi/initiatorname.iscsi"; fi
}

# The package database describes /usr and is part of the image; /var belongs to the host.
package_database() {
  [ -d "$root/var/lib/dpkg" ] && [ ! -L "$root/var/lib/dpkg" ] || return 0
  rm -f "$root"/var/lib/dpkg/*-old "$root"/var/lib/dpkg/lock "$root"/var/lib/dpkg/lock-frontend "$root"/var/lib/dpkg/triggers/Lock
  mkdir -p "$root/usr/lib/sysimage"
  mv "$root/var/lib/dpkg" "$root/usr/lib/sysimage/dpkg"
  ln -s ../../usr/lib/sysimage/dpkg "$root/var/lib/dpkg"
}

# Top-level folders that hold state become links into /var.
links() {
  mkdir -p "$root/sysroot"
  ln -sfn sysroot/ostree "$root/ostree"
  for pair in home:home root:roothome opt:opt srv:srv mnt:mnt usr/local:usrlocal; do
    path=$root/${pair%%:*} name=${pair#*:}
    if [ -L "$path" ]; then continue; fi
    mkdir -p "$path"
    rm -rf "$root/var/$name"
    mv "$path" "$root/var/$name"
    case $path in */usr/local) up=../ ;; *) up= ;; esac
    ln -s "${up}var/$name" "$path"
  done
}

# /var is empty in the image and made at every boot from tmpfiles.d: folders and links as lines of their own, files from a copy
# under /usr/share/factory. The file's name sorts first, so that link targets such as /var/roothome exist before anything uses them.
state() {
  rm -rf "$root"/var/cache/* "$root"/var/log/* "$root"/var/tmp/* "$root"/var/tmp/.[!.]* "$root"/var/backups/* "$root"/var/run "$root"/var/lock \
    "$root"/var/lib/apt/* "$root"/var/lib/dracut "$root"/var/lib/systemd/* "$root"/var/lib/dbus/machine-id "$root"/var/roothome/.ssh \
    "$root"/var/lib/pam "$root"/var/lib/python "$root"/var/lib/shells.state "$root"/var/lib/ucf
  declared=$(cat "$root"/usr/lib/tmpfiles.d/*.conf | awk '$1 !~ /^#/ && NF > 1 { print $2 }')
  lines=$root/usr/lib/tmpfiles.d/00-kvci-var.conf
  factory=$root/usr/share/factory
  echo '# What the packages of this image keep in /var.' > "$lines"
  (cd "$root" && find var -mindepth 1 | sort) | while IFS= read -r path; do
    case "
$declared
" in *"
/$path
"*) continue ;; esac
    if [ -L "$root/$path" ]; then
      echo "L /$path - - - - $(readlink "$root/$path")"
    elif [ -d "$root/$path" ]; then
      echo "d /$path $(stat -c '%#a %u %g' "$root/$path") -"
    elif [ -f "$root/$path" ]; then
      mkdir -p "$factory/$(dirname "$path")"
      cp -p "$root/$path" "$factory/$path"
      echo "C /$path $(stat -c '%#a %u %g' "$root/$path") - /usr/share/factory/$path"
    else
      fail "/$path is of a kind that tmpfiles.d cannot make"
    fi
  done >> "$lines"
  find "$root/var" -mindepth 1 -delete
}

leftovers() {
  rm -rf "$root"/usr/share/info "$root"/usr/share/lintian "$root"/usr/share/bug "$root"/usr/share/pixmaps
  find "$root/run" "$root/tmp" -mindepth 1 -xdev -delete 2>/dev/null || true
}

find "$here/root" -type f | while IFS= read -r file; do install -D -m 0644 "$file" "$root/${file#"$here/root/"}"; done
identity
kernel
package_database
links
state
leftovers
