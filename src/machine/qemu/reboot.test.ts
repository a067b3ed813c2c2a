import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';

import type { Clock } from '../../core/clock.ts';
import { cancelled, KvciError } from '../../core/errors.ts';
import { CommandError } from '../../host/command-error.ts';
import type { CommandRunner } from '../../host/types.ts';
import type { NodeHandle } from '../types.ts';
import { rebootMachine } from './reboot.ts';

const DEADLINE_MS = 60_000;
const AGAIN = { name: 'node01' } as NodeHandle;

/** Time passes by waiting alone. */
function waitingClock(): Clock {
  let passed = 0;
  return {
    now: () => passed,
    monotonic: () => passed,
    wait: async (ms) => {
      passed += ms;
      await turn();
    },
  };
}

/** A machine that answers; @param command what `systemctl reboot` comes to @param bootId for the how manieth time it is asked */
function machine(command: () => Promise<void>, bootId: (time: number) => string, signal = new AbortController().signal) {
  let asked = 0;
  const result = (argv: readonly [string, ...string[]], exitCode: number, stdout: string, stderr = '') => ({
    argv,
    exitCode,
    stdout,
    stderr,
    ms: 1,
  });
  const runner: Pick<CommandRunner, 'run'> = {
    run: async (argv) => {
      if (argv[0] === 'cat') return result(argv, 0, bootId(asked++));
      await command();
      return result(argv, 0, '');
    },
  };
  const node = () => (signal.aborted ? Promise.reject(cancelled(signal)) : Promise.resolve(AGAIN));
  return rebootMachine({ name: 'node01', node, runner, clock: waitingClock() }, DEADLINE_MS, signal);
}

function refused(): Promise<void> {
  const argv = ['systemctl', 'reboot'] as const;
  return Promise.reject(new CommandError('node01', { argv, exitCode: 1, stdout: '', stderr: 'Failed to connect to bus', ms: 1 }));
}

it('a machine has rebooted when it answers as another boot, whatever the command came to', async () => {
  const lost = (): Promise<void> => Promise.reject(new KvciError('failed', 'ssh-lost', 'lost'));
  for (const command of [lost, refused, () => Promise.resolve()]) {
    expect(await machine(command, (time) => (time < 4 ? 'one' : 'two'))).toBe(AGAIN);
  }
});

it('a machine that answers all the time and does not reboot is waited for no longer than asked', async () => {
  await expect(machine(refused, () => 'one')).rejects.toMatchObject({
    code: 'machine-not-reachable',
    exitCode: 4,
    message: expect.stringMatching(/^node01 has not rebooted within 60 s: .*Failed to connect to bus/s) as string,
    facts: { machine: 'node01', cause: 'no-reboot' },
  });
  await expect(
    machine(
      () => Promise.resolve(),
      () => 'one',
    ),
  ).rejects.toMatchObject({
    message: 'node01 has not rebooted within 60 s: it answers, and is the same boot',
  });
});

it('whoever cancels does not wait', async () => {
  const controller = new AbortController();
  const rebooted = machine(
    () => Promise.resolve(),
    (time) => (time === 5 && controller.abort(), 'one'),
    controller.signal,
  );
  await expect(rebooted).rejects.toMatchObject({ code: 'cancelled' });
});
