# What a node does in which order when it goes on from what was saved. Its API server and etcd come first, then its kubelet, which renews
# the node's lease, and all others take what is left: to an emulated processor each program is new again, and translating it takes long.
# Controllers that have 45 seconds to renew their own lease, as those of emulated clusters, stand still.
held=/run/kvci-held     # the process id of a kubelet that is held back
behind=/run/kvci-behind # control groups that stand back, or still, one a line, each after its weight

# Before the node is saved. Answers 1 where no kubelet runs.
hold() {
  local kubelet
  kubelet=$(systemctl show --property=MainPID --value kubelet.service) || return
  alone
  stand_back
  # Written down first: whoever finds it afterwards lets it go.
  if [ "$kubelet" != 0 ]; then echo "$kubelet" >"$held" && kill -STOP "$kubelet"; fi
  exec 9>&-
  [ "$kubelet" != 0 ]
}

# Once its clock is right: kubelet is due to renew the lease, and does so at once.
let_go() {
  local kubelet
  [ -s "$held" ] || return 0
  alone
  if read -r kubelet <"$held"; then kill -CONT "$kubelet"; fi
  : >"$held"
  exec 9>&-
}

# A while later, or where the node was not saved after all.
catch_up() {
  local group weight
  [ -s "$behind" ] || return 0
  alone
  while read -r weight group; do
    # A group forgets its weight when it is idle. What has ended meanwhile is gone.
    { echo 0 >"$group/cgroup.freeze"; echo 0 >"$group/cpu.idle"; echo "$weight" >"$group/cpu.weight"; } 2>/dev/null
  done <"$behind"
  : >"$behind"
  exec 9>&-
}

# Until descriptor 9 is closed: a save may begin while the node still catches up with the last one.
alone() {
  exec 9>/run/kvci-held.lock
  flock 9
}

stand_back() {
  local pod service
  local slice=/sys/fs/cgroup/system.slice
  for pod in /sys/fs/cgroup/kubepods.slice/kubepods-pod*.slice /sys/fs/cgroup/kubepods.slice/*/kubepods-*-pod*.slice; do
    case $(rank_of "$pod") in
      first) ;;
      still) weigh "$pod" cgroup.freeze 1 ;;
      *) weigh "$pod" cpu.idle 1 ;;
    esac
  done
  for service in "$slice"/*.service; do
    case $service in */kubelet.service | */ssh*.service) ;; *) weigh "$service" cpu.idle 1 ;; esac
  done
  # Pods have about a hundred.
  weigh "$slice" cpu.weight 30
}

# By the names of its programs, of which a kernel keeps 15 letters.
rank_of() {
  local processes pid name
  for processes in "$1"/*/cgroup.procs "$1"/*/*/cgroup.procs; do
    { read -r pid <"$processes" && read -r name <"/proc/$pid/comm"; } 2>/dev/null || continue
    case $name in
      kube-apiserver | etcd) echo first && return ;;
      kube-controller | kube-scheduler)
        ! grep -qzxe --leader-elect-renew-deadline=45s "/proc/$pid/cmdline" || { echo still && return; }
        ;;
    esac
  done
}

# Changes what counts for a group, and writes down its weight; one that stands back already is left as it is.
weigh() {
  local now weight
  { read -r now <"$1/$2" && read -r weight <"$1/cpu.weight"; } 2>/dev/null || return 0
  [ "$now" != "$3" ] || return 0
  echo "$weight $1" >>"$behind"
  echo "$3" >"$1/$2"
}
