import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { createInterface } from 'node:readline';
import { expect, it } from 'vitest';

import { systemClock } from '../../host/clock.ts';
import { readVerdict, writeVerdict } from './kvm.ts';
import { watchVm } from './vm.ts';
import type { VmRecord } from './vm-record.ts';
import type { VmSandbox, VmSandboxParts } from './vm-sandbox.ts';

const QEMU = 'QEMU emulator version 10.0.2';
const RECORD: VmRecord = { addresses: { ipv4: '192.168.66.101' }, accelerator: 'kvm', firmware: 'direct', cpus: 1, memory: 2 ** 30 };

it('an internal error of QEMU ends the machine, and no other one trusts KVM', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'kvci-vm-'));
  const monitor = createServer((client) => {
    client.write('{"QMP": {}}\n');
    createInterface({ input: client }).on('line', (line) => {
      const { execute, id } = JSON.parse(line) as { readonly execute: string; readonly id: number };
      client.write(`${JSON.stringify({ return: execute === 'query-status' ? { status: 'internal-error' } : {}, id })}\n`);
      if (execute === 'quit') client.end();
    });
  });
  try {
    monitor.listen(join(folder, 'events.qmp'));
    await once(monitor, 'listening');
    await writeVerdict(folder, { qemu: QEMU, usable: true, reason: 'a kernel has started under it' });
    const parts = {
      clock: systemClock,
      events: () => undefined,
      directories: { state: folder, cache: folder },
      architecture: 'amd64',
    } as const;
    const runner = {
      where: 'tools sandbox',
      run: (argv: readonly [string, ...string[]]) => Promise.resolve({ argv, exitCode: 0, stdout: `${QEMU}\n`, stderr: '', ms: 1 }),
    };
    const sandbox = { runner, record: { folder }, outside: (file: string) => join(folder, basename(file)) };
    const vm = await watchVm(parts as unknown as VmSandboxParts, sandbox as unknown as VmSandbox, 'node01', RECORD);
    await vm.ended;
    expect(vm.failure()).toMatchObject({ code: 'kvm-unusable', exitCode: 3 });
    expect(await readVerdict(folder, QEMU)).toMatchObject({ usable: false, reason: 'node01 was ended by an internal error of QEMU' });
    await vm[Symbol.asyncDispose]();
  } finally {
    monitor.close();
    await rm(folder, { recursive: true });
  }
});
