import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Sets how nice the sessions of processes are (autogroups, sched(7)) until the input ends, a minute at most. Users may take that back,
 * unlike what renice does; all of them together may change it ten times a second.
 */
const STAND_BACK = `
[ "$(cat /proc/sys/kernel/sched_autogroup_enabled)" = 1 ] || exit 0
set_all() {
  nice=$1
  tries=$2
  shift 2
  for pid; do
    until { echo "$nice" >"/proc/$pid/autogroup"; } 2>/dev/null; do
      tries=$((tries - 1))
      [ -w "/proc/$pid/autogroup" ] && [ "$tries" -gt 0 ] || break
      sleep 0.1
    done
  done
}
trap '' HUP INT TERM
set_all 13 50 "$@"
timeout -s KILL 60 cat >/dev/null
set_all 0 600 "$@"
`;

/**
 * Has sessions stand back behind all others until it is disposed: of a busy processor they get a twentieth of what others get, which keeps
 * a cluster alive beside one that is reset again and again. It is undone also where this process is killed. Where the kernel groups
 * processes otherwise, as by the control groups of systemd, nothing changes.
 *
 * node:child_process and not the command runner: what that starts ends with kvci.
 *
 * @param pids one of each session, of whoever runs this
 */
export async function standBack(pids: readonly number[]): Promise<AsyncDisposable> {
  if (pids.length === 0) return new AsyncDisposableStack();
  const child = spawn('sh', ['-c', STAND_BACK, 'sh', ...pids.map(String)], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  const ended = new Promise<void>((resolve) => {
    child.once('close', () => {
      resolve();
    });
  });
  await once(child, 'spawn');
  // Its own end, if somebody ends it, is no failure.
  child.stdin.on('error', () => undefined);
  child.unref();
  return {
    // The next one begins when nothing of this is left.
    [Symbol.asyncDispose]: async () => {
      child.ref();
      child.stdin.end();
      await ended;
    },
  };
}
