# Follows the clock of the machine, which is that of the host, in a node that is saved and goes on later: the kernel takes the time of
# the saving for now, and nothing tells it. Bash alone, without a process for each look; ends with the node.
exec 3<> <(:)
while :; do
  read -rt 0.3 -u 3
  read -r clock </sys/class/rtc/rtc0/since_epoch || exit
  ((clock - EPOCHSECONDS > 1 || EPOCHSECONDS - clock > 1)) || continue
  # At once to the second, then as it begins the next one.
  date --utc --set="@$clock" >/dev/null
  next=$clock
  while [ "$next" = "$clock" ]; do
    read -rt 0.02 -u 3
    read -r next </sys/class/rtc/rtc0/since_epoch
  done
  date --utc --set="@$next" >/dev/null
done
