/**
 * A mark in the environment of a command and of all that it starts. Neither container engines nor SSH servers end a command for
 * us: whoever leaves only stops listening. What carries the mark can be found and ended.
 */
export const EXEC_MARK = 'KVCI_EXEC';

/** Ends every process with a mark: politely, and by force after three seconds. What is gone in between is gone. */
const END_MARKED = `
attempt=1
while [ "$attempt" -le 31 ]; do
  signal=0 found=
  [ "$attempt" -ne 1 ] || signal=TERM
  [ "$attempt" -ne 31 ] || signal=KILL
  for environ in $(grep -lzxF "${EXEC_MARK}=$1" /proc/[0-9]*/environ 2>/dev/null); do
    pid=\${environ#/proc/} found=yes
    kill -s "$signal" "\${pid%/environ}" 2>/dev/null || :
  done
  [ -n "$found" ] || exit 0
  sleep 0.1
  attempt=$((attempt + 1))
done
`;

/** The command, for the place where the marked ones run, that ends them all. */
export function endMarkedArgv(mark: string): readonly [string, ...string[]] {
  return ['sh', '-c', END_MARKED, 'sh', mark];
}
