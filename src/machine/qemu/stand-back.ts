import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * Sets how nice sessions are (autogroup in sched(7)), the processes of which are named after the first word, until the input ends. A user
 * may do that ten times a second, and may take it back, unlike what renice does. Kernels without such groups have no such files.
 */
const STAND_BACK = `
set_all() {
  nice=$1
  shift
  for pid; do
    tries=0
    until { echo "$nice" >"/proc/$pid/autogroup"; } 2>/dev/null; do
      tries=$((tries + 1))
      [ -w "/proc/$pid/autogroup" ] && [ "$tries" -lt 20 ] || break
      sleep 0.1
    done
  done
}
trap '' HUP INT TERM
set_all 19 "$@"
cat >/dev/null
set_all 0 "$@"
`;

/**
 * Has processes stand back behind all others of this host until it is disposed: they get what is left. It is undone also where this
 * process is killed.
 *
 * node:child_process and not the command runner: what that starts ends with kvci.
 *
 * @param pids of sessions that belong to whoever runs this
 */
export async function standBack(pids: readonly number[]): Promise<Disposable> {
  if (pids.length === 0) return { [Symbol.dispose]: () => undefined };
  const child = spawn('sh', ['-c', STAND_BACK, 'sh', ...pids.map(String)], {
    cwd: '/',
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  child.stdin.on('error', () => undefined);
  await once(child, 'spawn');
  child.unref();
  return {
    [Symbol.dispose]: () => {
      child.stdin.end();
    },
  };
}
