/** It has a tenth of the processors where another machine wants all of them: sched(7), nice value. */
const NICE = '10';

/** QEMU leads a session of its own, whose share the kernel counts by that session's nice value where it groups tasks so. */
const YIELD = 'echo "$2" >"/proc/$(cat "$1")/autogroup"';

/** The command of a machine that lets others go before it. @param argv of QEMU */
export function yielding(argv: readonly [string, ...string[]]): [string, ...string[]] {
  return ['nice', '-n', NICE, ...argv];
}

/** The same of its session, once it runs. Fails where the kernel does not group tasks. @param pid the file with its pid */
export function yieldingSession(pid: string): [string, ...string[]] {
  return ['sh', '-c', YIELD, 'sh', pid, NICE];
}
