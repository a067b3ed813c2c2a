# Follows the clock of the machine, which is that of the host, in a node that is saved and goes on later: the kernel takes the time of
# the saving for now, and nothing tells it. Bash alone, without a process for each look; ends with the node. Comes after held.sh: what a
# save holds back is let go once the clock is right, when the node shuts down, or when nobody has done so for long.
patience=60 # looks
ahead=4     # seconds
looks=0
# What stands still does not end when it is told to.
trap 'let_go; catch_up; exit' TERM
exec 3<> <(:)

while :; do
  read -rt 0.3 -u 3
  if [ ! -s "$held" ] && [ ! -s "$behind" ]; then
    looks=0
  elif ((++looks > patience)); then
    let_go
    catch_up
  fi
  read -r clock </sys/class/rtc/rtc0/since_epoch || exit
  ((clock - EPOCHSECONDS > 1 || EPOCHSECONDS - clock > 1)) || continue
  # At once to half a second; exactly, as it begins the next one, when there is time for it.
  date --utc --set="@$clock.5" >/dev/null
  let_go
  read -rt "$ahead" -u 3
  # One that is saved again by now stands back for that.
  [ -s "$held" ] || catch_up
  read -r clock </sys/class/rtc/rtc0/since_epoch
  next=$clock
  while [ "$next" = "$clock" ]; do
    read -rt 0.02 -u 3
    read -r next </sys/class/rtc/rtc0/since_epoch
  done
  date --utc --set="@$next" >/dev/null
done
