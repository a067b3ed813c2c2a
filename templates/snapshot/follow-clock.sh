# Follows the clock of the machine, which is that of the host, in a node that is saved and goes on later: the kernel takes the time of
# the saving for now, and nothing tells it. Bash alone, without a process for each look; ends with the node.
# A save holds kubelet back, so that it renews its lease as soon as it goes on: it is let go once the clock is right, or when nobody
# has done so for long. Its process id is in this file meanwhile.
held=/run/kvci-held
patience=60
looks=0
exec 3<> <(:)

let_go() {
  local kubelet
  looks=0
  if [ -s "$held" ] && read -r kubelet <"$held"; then
    : >"$held"
    kill -CONT "$kubelet"
  fi
}

while :; do
  read -rt 0.3 -u 3
  if [ -s "$held" ] && ((++looks > patience)); then let_go; fi
  read -r clock </sys/class/rtc/rtc0/since_epoch || exit
  ((clock - EPOCHSECONDS > 1 || EPOCHSECONDS - clock > 1)) || continue
  # At once to the second, then as it begins the next one.
  date --utc --set="@$clock" >/dev/null
  let_go
  next=$clock
  while [ "$next" = "$clock" ]; do
    read -rt 0.02 -u 3
    read -r next </sys/class/rtc/rtc0/since_epoch
  done
  date --utc --set="@$next" >/dev/null
done
