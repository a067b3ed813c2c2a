import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { describe, expect, it, onTestFinished } from 'vitest';

import { expectations, factsFileSchema } from '../expectations.ts';
import { KUBELET_FACTS } from './kubelet.ts';

/** What the whole batch of questions gets. */
const ASK_SECONDS = 600;

/** Stands for what a node has beside bash; ten seconds pass in every sleep. */
const NODE = `
systemctl() { echo "systemctl $*" >>"$LOG"; }
journalctl() { echo 'last words'; }
sleep() { SECONDS=$((SECONDS + 10)); }
`;

/** A kubelet's port: answers what it is told to; undefined where nobody listens. */
async function port(answer: (() => string) | undefined): Promise<number> {
  const server = createServer((_request, response) => response.end(answer?.()));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port: number } = server.address() as AddressInfo;
  const close = promisify(server.close.bind(server));
  if (answer === undefined) await close();
  else onTestFinished(() => close());
  return number;
}

/** Runs the question in this host's bash, with all its places in a folder. */
async function trial(healthz: (() => string) | undefined, pods: (() => string) | undefined) {
  const folder = await mkdtemp(join(tmpdir(), 'kvci-kubelet-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const path of ['run', 'usr/lib/kvci', 'var/lib/kubelet']) await mkdir(join(folder, path), { recursive: true });
  await writeFile(join(folder, 'usr/lib/kvci/images.list'), 'registry.k8s.io/pause:3.10 sha256:0\n');
  const [question] = KUBELET_FACTS[0]!.asks(expectations('machine', factsFileSchema.parse({})));
  const script = question!.script
    .replaceAll(/(?<=[ =<>"])\/(run|usr|var)\//g, `${folder}/$1/`)
    .replaceAll('10248', String(await port(healthz)))
    .replaceAll('10255', String(await port(pods)));
  const log = join(folder, 'log');
  const { stdout } = await promisify(execFile)('bash', ['-c', `${NODE}${script}\necho "seconds $SECONDS"`], {
    env: { ...process.env, LOG: log },
  });
  const lines = stdout.trimEnd().split('\n');
  return { told: lines.slice(0, -1), seconds: Number(lines.at(-1)?.replace('seconds ', '')), log: await readFile(log, 'utf8') };
}

describe('a standalone kubelet', () => {
  it('that never answers is told with its last words, long before the questions time out', async () => {
    const { told, seconds, log } = await trial(undefined, undefined);
    expect(told).toEqual(['healthz none', 'pod none', 'last words']);
    expect(seconds).toBeLessThan(ASK_SECONDS / 2);
    expect(log).toContain('systemctl stop kubelet.service');
  });

  it('that answers and runs no pod is, too', async () => {
    const { told, seconds } = await trial(
      () => 'ok',
      () => '{"items":[{"status":{"phase":"Pending"}}]}',
    );
    expect(told).toEqual(['healthz ok', 'pod none', 'last words']);
    expect(seconds).toBeLessThan(ASK_SECONDS / 2);
  });

  it('that does not end its pod holds nobody up', async () => {
    const { told, seconds } = await trial(
      () => 'ok',
      () => '{"items":[{"status":{"phase":"Running"}}]}',
    );
    expect(told).toEqual(['healthz ok', 'pod running', 'last words']);
    expect(seconds).toBeLessThan(ASK_SECONDS / 2);
  });

  it('that is well is waited for no longer than it takes', async () => {
    const answers = ['{"items":[{"status":{"phase":"Running"}}]}', '{"items":null}'];
    const { told, seconds, log } = await trial(
      () => 'ok',
      () => answers.shift() ?? '',
    );
    expect({ told, answers }).toEqual({ told: ['healthz ok', 'pod running', 'last words'], answers: [] });
    expect(seconds).toBeLessThan(ASK_SECONDS / 2);
    expect(log.split('\n').filter((line) => !line.endsWith('daemon-reload'))).toEqual([
      expect.stringMatching(/^systemctl start .*kubelet.service$/),
      'systemctl stop kubelet.service',
      '',
    ]);
  });
});
