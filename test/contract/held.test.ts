import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, readFile, readlink, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { REPOSITORY, run, temporaryFolder } from '../cli/run-kvci.ts';

/* templates/snapshot/held.sh beside a double of a node's control groups, whose files are plain, and a process in place of kubelet. */

const BURSTABLE = 'sys/fs/cgroup/kubepods.slice/kubepods-burstable.slice';
const SYSTEM = 'sys/fs/cgroup/system.slice';
const API = `${BURSTABLE}/kubepods-burstable-podapi.slice`;
const DNS = `${BURSTABLE}/kubepods-burstable-poddns.slice`;
const OWN = 'sys/fs/cgroup/kubepods.slice/kubepods-podown.slice';
const SCHEDULER = `${BURSTABLE}/kubepods-burstable-podscheduler.slice`;
const CONTAINERD = `${SYSTEM}/containerd.service`;
const KUBELET = `${SYSTEM}/kubelet.service`;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let kubelet: ReturnType<typeof spawn>;

const put = async (path: string, text: string): Promise<void> => {
  const place = join(folder.path, path);
  await mkdir(dirname(place), { recursive: true });
  await writeFile(place, text);
};
const group = async (path: string, weight: number): Promise<void> => {
  await put(`${path}/cpu.weight`, `${weight}\n`);
  await put(`${path}/cpu.idle`, '0\n');
  await put(`${path}/cgroup.freeze`, '0\n');
};
const pod = async (path: string, weight: number, pid: number, program: string): Promise<void> => {
  await group(path, weight);
  await put(`${path}/cri-containerd-0.scope/cgroup.procs`, `${pid + 1}\n`);
  await put(`proc/${pid + 1}/comm`, 'pause\n');
  await put(`${path}/cri-containerd-1.scope/cgroup.procs`, '');
  await put(`${path}/cri-containerd-1.scope/container/cgroup.procs`, `${pid}\n`);
  await put(`proc/${pid}/comm`, `${program}\n`);
};
/** A template that knows its files in the double. */
const template = async (name: string): Promise<string> =>
  (await readFile(join(REPOSITORY, 'templates/snapshot', name), 'utf8')).replaceAll(/\/(?=(?:sys|proc|run)\/)/g, `${folder.path}/`);
const held = async (words: string): Promise<number | null> => {
  const { code, stderr } = await run('bash', ['-c', `${await template('held.sh')}\n${words}`], {
    cwd: folder.path,
    env: { PATH: `${folder.path}/bin:${process.env['PATH'] ?? ''}` },
  });
  expect(stderr).toBe('');
  return code;
};
const weights = async (): Promise<Record<string, string>> => {
  const of = async (path: string): Promise<readonly [string, string]> => [
    path,
    `${await read(`${path}/cpu.idle`)} ${await read(`${path}/cpu.weight`)}`,
  ];
  return Object.fromEntries(await Promise.all([BURSTABLE, API, SCHEDULER, DNS, OWN, CONTAINERD, KUBELET, SYSTEM].map(of)));
};
const read = async (path: string): Promise<string> => (await readFile(join(folder.path, path), 'utf8')).trim();
const stateOf = async (pid = 0): Promise<string> => /\) (\S)/.exec(await readFile(`/proc/${pid}/stat`, 'utf8'))?.[1] ?? '';

beforeEach(async () => {
  folder = await temporaryFolder();
  kubelet = spawn('sleep', ['infinity']);
  await mkdir(join(folder.path, 'run'));
  await put('bin/systemctl', `#!/bin/sh\necho ${kubelet.pid ?? 0}\n`);
  await chmod(join(folder.path, 'bin/systemctl'), 0o755);
  await group(BURSTABLE, 79);
  await pod(API, 98, 1001, 'kube-apiserver');
  await pod(SCHEDULER, 10, 1011, 'kube-scheduler');
  await put('proc/1011/cmdline', 'kube-scheduler\0--leader-elect=true\0');
  await pod(DNS, 4, 1021, 'coredns');
  await pod(OWN, 39, 1031, 'nginx');
  await group(CONTAINERD, 200);
  await group(KUBELET, 100);
  await group(SYSTEM, 100);
});

afterEach(async () => {
  kubelet.kill('SIGKILL');
  await once(kubelet, 'exit');
  await folder[Symbol.asyncDispose]();
});

const BEFORE = {
  [BURSTABLE]: '0 79',
  [API]: '0 98',
  [SCHEDULER]: '0 10',
  [DNS]: '0 4',
  [OWN]: '0 39',
  [CONTAINERD]: '0 200',
  [KUBELET]: '0 100',
  [SYSTEM]: '0 100',
};
const HELD = { ...BEFORE, [SCHEDULER]: '1 10', [DNS]: '1 4', [OWN]: '1 39', [CONTAINERD]: '1 200', [SYSTEM]: '0 30' };

describe('a node that is held back', () => {
  it('lets all stand back but what comes first, and has it all as it was afterwards', async () => {
    expect(await held('hold')).toBe(0);
    expect(await weights()).toEqual(HELD);
    await expect.poll(() => stateOf(kubelet.pid)).toBe('T');
    // As the kernel does.
    await put(`${DNS}/cpu.weight`, '100\n');
    expect(await held('let_go')).toBe(0);
    await expect.poll(() => stateOf(kubelet.pid)).toBe('S');
    expect(await held('catch_up')).toBe(0);
    expect(await weights()).toEqual(BEFORE);
  });

  it('keeps what was there first when it is held twice', async () => {
    await held('hold');
    await held('hold');
    expect(await weights()).toEqual(HELD);
    await held('let_go; catch_up');
    expect(await weights()).toEqual(BEFORE);
  });

  it('passes over groups that have ended meanwhile, and what never was held', async () => {
    await held('hold');
    await rm(join(folder.path, DNS), { recursive: true });
    expect(await held('let_go; catch_up; let_go; catch_up')).toBe(0);
    expect(await read(`${CONTAINERD}/cpu.weight`)).toBe('200');
  });

  it('has controllers stand still that are patient', async () => {
    await put('proc/1011/cmdline', 'kube-scheduler\0--leader-elect=true\0--leader-elect-renew-deadline=45s\0');
    await held('hold');
    expect(await read(`${SCHEDULER}/cgroup.freeze`)).toBe('1');
    expect(await weights()).toEqual({ ...HELD, [SCHEDULER]: BEFORE[SCHEDULER] });
    await held('let_go; catch_up');
    expect(await read(`${SCHEDULER}/cgroup.freeze`)).toBe('0');
    expect(await weights()).toEqual(BEFORE);
  });

  it('is let go when the node shuts down', async () => {
    await held('hold');
    await put('sys/class/rtc/rtc0/since_epoch', `${Math.round(Date.now() / 1000)}\n`);
    const script = `${await template('held.sh')}\n${await template('follow-clock.sh')}`;
    const follows = spawn('bash', ['-c', script], { stdio: 'ignore' });
    const ended = once(follows, 'exit');
    // By then it knows what to do. Before bash begins, its loader reads files by the same number.
    await expect.poll(() => readlink(`/proc/${follows.pid ?? 0}/fd/3`).catch(() => '')).toMatch(/^pipe:/);
    follows.kill('SIGTERM');
    await ended;
    expect(await weights()).toEqual(BEFORE);
    await expect.poll(() => stateOf(kubelet.pid)).toBe('S');
  });

  it('is told where no kubelet runs', async () => {
    await put('bin/systemctl', '#!/bin/sh\necho 0\n');
    expect(await held('hold')).toBe(1);
  });
});
