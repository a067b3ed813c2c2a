#!/bin/sh
# Makes the inside of a sandbox and stays as its pid 1. Started by src/sandbox/launch.ts as root of new user, mount, pid, ipc,
# uts and cgroup namespaces (and network, when private), whose ids are mapped already.
#
#   init.sh prepare TREE STAGE NETWORK CGROUPS SCRATCH [ACTION SOURCE TARGET]...
#
# TREE     folder of the tools image, or empty: the host's own root stays, with a /proc of this pid namespace
# STAGE    an empty folder of the host: mount point for what only this sandbox sees
# NETWORK  host | private        CGROUPS  yes | no
# SCRATCH  folder of the host for /tmp and /var/tmp, or empty: /tmp in memory
# ACTION   ro | rw: bind SOURCE of the host at TARGET inside; copy: the file's content as it is now;
#          set: write SOURCE, a value, to the kernel's setting TARGET, where there is such a setting
#
#   init.sh contain [DEVICE]...
#
# As pid 1 of a container, whose inside its engine has made: opens devices to whoever runs commands in there.
#
# Writes "ready" to standard output when all stands, and ends with standard input, unless told to stay.
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# Pid 1 waits in wait(2) and not in read(2): it has to reap whatever is orphaned in here.
serve() {
  echo ready
  exec 3<&0 </dev/null
  while read -r word; do
    if [ "$word" = stay ]; then exec sleep infinity <&- >&- 2>&-; fi
  done <&3 &
  exec 3<&-
  wait $!
}

# Overlay keeps the tree as it is whatever is written; the upper folder is in memory and goes with the sandbox.
prepare() {
  init=$0 tree=$1 stage=$2 network=$3 cgroups=$4 scratch=$5
  shift 5
  if [ -z "$tree" ]; then
    mount -t proc proc /proc
    serve
    return
  fi
  mount -t tmpfs -o mode=755 sandbox "$stage"
  cd "$stage"
  mkdir lower upper work root
  mount --bind "$tree" lower
  mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work,userxattr tools root
  cd root
  mount -t proc proc proc
  mount_sys "$network"
  if [ "$cgroups" = yes ]; then mount -t cgroup2 cgroup2 sys/fs/cgroup; fi
  mount_dev
  mount -t tmpfs -o mode=755 run run
  if [ -n "$scratch" ]; then
    mount --rbind "$scratch" tmp
    mount --rbind "$scratch" var/tmp
  else
    mount -t tmpfs -o mode=1777 tmp tmp
  fi
  mkdir run/host
  cp "$init" run/init.sh
  pivot_root . run/host
  cd /
  # The tree's own shell, so that nothing of the host stays in use.
  exec /bin/sh /run/init.sh furnish "$network" "$@"
}

# The network namespace's own sysfs where the kernel allows it; the host's shows the host's devices.
mount_sys() {
  if [ "$1" = private ] && mount -t sysfs sysfs sys 2>/dev/null; then return; fi
  mount --rbind /sys sys
}

mount_dev() {
  mount -t tmpfs -o mode=755 dev dev
  mkdir dev/net dev/pts dev/shm dev/mqueue
  for node in null zero full random urandom tty fuse kvm net/tun vhost-net vhost-vsock; do
    if [ ! -c "/dev/$node" ]; then continue; fi
    : >"dev/$node"
    mount --bind "/dev/$node" "dev/$node"
  done
  mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts dev/pts
  mount -t tmpfs -o mode=1777 shm dev/shm
  mount -t mqueue mqueue dev/mqueue
  ln -s pts/ptmx dev/ptmx
  ln -s /proc/self/fd dev/fd
  ln -s /proc/self/fd/0 dev/stdin
  ln -s /proc/self/fd/1 dev/stdout
  ln -s /proc/self/fd/2 dev/stderr
}

# With the tree as root and the host below /run/host: links inside lead to the inside.
furnish() {
  network=$1
  shift
  while [ $# -gt 0 ]; do
    if [ "$1" = set ]; then
      if [ -e "$3" ]; then echo "$2" >"$3"; fi
    else
      furnish_one "$1" "/run/host$2" "$3"
    fi
    shift 3
  done
  umount -l /run/host
  rmdir /run/host
  rm /run/init.sh
  if [ "$network" = private ]; then ip link set lo up; fi
  serve
}

furnish_one() {
  mkdir -p "$(dirname "$3")"
  if [ "$1" = copy ]; then
    rm -f "$3"
    cat "$2" >"$3"
    return
  fi
  if [ -d "$2" ]; then mkdir -p "$3"; elif [ ! -e "$3" ]; then : >"$3"; fi
  mount --rbind "$2" "$3"
  if [ "$1" = ro ]; then
    # A mount of the host keeps its own restrictions (nosuid, nodev...): leaving one out would be refused.
    options=$(findmnt --noheadings --first-only --output VFS-OPTIONS --mountpoint "$3" --direction backward)
    mount -o "remount,bind,ro,${options#rw,}" "$3"
  fi
}

# In a user namespace devices are the host's own and stay as they are. Whether it is to stay is told by a file: of standard input
# engines promise the end alone.
contain() {
  for device in "$@"; do chmod 0666 "$device" 2>/dev/null || :; done
  echo ready
  exec 3<&0 </dev/null
  {
    cat <&3 >/dev/null
    if [ -e /dev/shm/kvci-stay ]; then exec sleep infinity <&- >&- 2>&-; fi
  } &
  exec 3<&-
  wait $!
}

"$@"
