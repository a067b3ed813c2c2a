import { KvciError } from '../../core/errors.ts';
import type { VmSandboxRecord } from './vm-record.ts';

/** What QMP's `query-status` answers. */
export function isStatus(answer: unknown, status: 'internal-error' | 'io-error'): boolean {
  return typeof answer === 'object' && answer !== null && 'status' in answer && answer.status === status;
}

/** QEMU halts a machine whose own disk finds no room on the host, and lets it go on when it is told to. */
export function diskFull(name: string, { folder }: Pick<VmSandboxRecord, 'folder'>, cause?: unknown): KvciError {
  return new KvciError('hostNotReady', 'disk-full', `${name} stands still: the disk of this host is full where the machine's own is`, {
    hint: `Make room at ${folder}; then the same command goes on.`,
    facts: { machine: name, folder },
    ...(cause === undefined ? {} : { cause }),
  });
}

/** A machine that has ended needs no command. */
export function unlessGone(error: unknown): undefined {
  if (error instanceof KvciError && ['machine-ended', 'qmp-lost'].includes(error.code)) return undefined;
  throw error;
}
