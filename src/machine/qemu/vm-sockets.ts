import { once } from 'node:events';
import { createConnection } from 'node:net';
import type { Duplex } from 'node:stream';

import { KvciError } from '../../core/errors.ts';
import { openQmp, type QmpClient, type QmpEvent } from './qmp.ts';
import type { VmSandbox } from './vm-sandbox.ts';

/** @param signal ends the connection, also while another one is served @throws KvciError `machine-ended`, `qmp-lost`, `cancelled` */
export async function connectMonitor(
  sandbox: Pick<VmSandbox, 'outside'>,
  path: string,
  name: string,
  onEvent: (event: QmpEvent) => void,
  signal?: AbortSignal,
): Promise<QmpClient> {
  return openQmp(await connectSocket(sandbox, path, name), onEvent, signal);
}

/** A socket of a machine. @throws KvciError `machine-ended` */
export async function connectSocket(sandbox: Pick<VmSandbox, 'outside'>, path: string, name: string): Promise<Duplex> {
  const stream = createConnection(sandbox.outside(path));
  try {
    await once(stream, 'connect');
    return stream;
  } catch (error) {
    throw machineEnded(name, error);
  }
}

export function machineEnded(name: string, cause?: unknown): KvciError {
  return new KvciError('notFoundOrExists', 'machine-ended', `the machine ${name} has ended`, { facts: { machine: name }, cause });
}
