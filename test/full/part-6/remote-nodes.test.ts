import { createHash } from 'node:crypto';
import { cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { identify, isRunning, type ProcessIdentity } from '../../../src/host/processes.ts';
import { run, temporaryFolder } from '../../cli/run-kvci.ts';
import { wellDone } from '../../fixtures/kvci-calls.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { nodeImage } from '../../fixtures/node-image.ts';
import { podOn } from '../../fixtures/own-program-pods.ts';
import { type RemoteEngine, type RemoteKind, remoteProblem, startRemoteEngine } from '../../fixtures/remote-engine.ts';
import { smallImage } from '../../fixtures/small-image.ts';
import { sshProblem } from '../../fixtures/ssh-server.ts';
import { startKvci } from '../../fixtures/started-kvci.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';
import { until } from '../../fixtures/traces.ts';

/*
 * Nodes in a real engine of another host, reached by a real sshd and by TCP with TLS: clusters Ready, used from here, disturbed, and gone.
 */

const NAME = 'kvci-remote';
const skip = isMissing('root', remoteProblem()) || isMissing('ssh', sshProblem());
interface Failure {
  readonly error: { readonly code: string; readonly exitCode: number };
}

describe.skipIf(skip).each<RemoteKind>(['podman', 'docker'])('nodes in a %s of another host', (kind) => {
  let engine: RemoteEngine;
  let image: string;
  let done: (...args: readonly string[]) => Promise<string>;
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;

  beforeAll(async () => {
    folder = await temporaryFolder();
    image = (await nodeImage('1.36')).digest;
    engine = await startRemoteEngine(kind, await toolsTree());
    done = wellDone(engine.kvci);
  });

  afterAll(async () => {
    await engine.plugIn();
    await engine.mend();
    await engine.kvci('down', NAME);
    await engine[Symbol.asyncDispose]();
    await folder[Symbol.asyncDispose]();
  });

  const asked = (url: string, ...more: readonly string[]): readonly string[] => [
    ...['up', NAME, '--provider', 'kind', '--engine', url, '--image', image, '--output', 'json'],
    ...more,
  ];

  /** The nodes that the API tells of as Ready, by a kubeconfig that somebody keeps. */
  const ask = async (): Promise<string> => {
    const [file, ...before] = engine.there;
    const script = new URL('../../fixtures/ask-api.ts', import.meta.url).pathname;
    const { code, stdout, stderr } = await run(file, [...before, process.execPath, script, join(folder.path, 'kubeconfig')]);
    expect(code, stderr).toBe(0);
    return stdout.trim();
  };

  /** The ssh that leads to the cluster, as its record has it. */
  const owned = async (): Promise<ProcessIdentity> => {
    const text = await readFile(join(engine.state, 'ssh-forwards', `${NAME}.json`), 'utf8');
    return (JSON.parse(text) as { readonly process: ProcessIdentity }).process;
  };

  const keepKubeconfig = async (): Promise<string> => {
    const text = await done('kubeconfig', NAME);
    await writeFile(join(folder.path, 'kubeconfig'), text);
    return text;
  };

  const nothingIsThere = async (): Promise<void> => {
    for (const list of ['list', 'volumes', 'networks'] as const) expect(await engine.containers[list]({ 'io.kvci.run': '' })).toEqual([]);
  };

  /** Brings one up, and disturbs that once a step has begun. */
  const disturbedAt = async (step: string, url: string, disturb: () => Promise<unknown>) => {
    const [file, ...before] = engine.there;
    const up = startKvci([...asked(url), '--progress', 'json'], {
      cwd: folder.path,
      env: engine.environment,
      through: [file, ...before],
    });
    await up.said(`"type":"step.start","step":"${step}"`);
    await disturb();
    return { ...(await up.ended()), lines: up.lines };
  };

  const lostAt = async (step: string, url: string, lose: () => Promise<void>): Promise<Failure & { readonly code: number | null }> => {
    const { code, stdout } = await disturbedAt(step, url, lose);
    return { code, ...(JSON.parse(stdout) as Failure) };
  };

  describe('over ssh', () => {
    it('are Ready, and a port of this host alone leads to their API', async () => {
      const up = await engine.kvci(...asked(engine.ssh));
      expect(up.code, up.stderr).toBe(0);
      expect(up.stderr).not.toContain('is open to everybody');
      expect(await keepKubeconfig()).toMatch(/server: https:\/\/127\.0\.0\.1:2\d{4}\n/);
      expect(await ask()).toBe('node01');
      const [node] = await engine.containers.list({ 'io.kvci.run/node': 'node01' });
      expect(node?.running).toBe(true);
      expect(JSON.parse(await done(...asked(engine.ssh)))).toMatchObject({ reused: true });
    });

    it('are used as others are: commands, files, logs, ports, images', async () => {
      expect(await done('ssh', 'node01', '--cluster', NAME, '--', 'hostname')).toBe('node01\n');
      await writeFile(join(folder.path, 'file'), 'there and back');
      await done('cp', join(folder.path, 'file'), 'node01:/root/file', '--cluster', NAME);
      expect(await done('cp', 'node01:/root/file', '-', '--cluster', NAME)).toContain('there and back');
      expect(await done('logs', 'node01', '--cluster', NAME)).toContain('systemd');
      const { ports } = JSON.parse(await done('ports', NAME, '--output', 'json')) as { readonly ports: readonly unknown[] };
      expect(ports).toMatchObject([{ name: 'k8s', host: '127.0.0.1' }]);
      expect(JSON.parse(await done('status', NAME, '--output', 'json'))).toMatchObject({ condition: 'ready' });
    });

    it('get images that are loaded, only what they lack, and pods run them', async () => {
      const name = 'example.org/greeter:far';
      const { archive } = await smallImage(folder.path, { name, greeting: 'far' });
      const load = async (): Promise<unknown> => JSON.parse(await done('load', archive, '--cluster', NAME, '--output', 'json'));
      expect(await load()).toMatchObject({ nodes: [{ node: 'node01', loaded: [name], present: [] }] });
      expect(await load()).toMatchObject({ nodes: [{ node: 'node01', loaded: [], present: [name], sent: 0 }] });
      const pod = JSON.stringify(podOn('node01', 'greeter', name, '[ "$(</greeting)" = far ]'));
      const kubectl = 'kubectl --kubeconfig /etc/kubernetes/admin.conf';
      const script = `printf %s "$1" | ${kubectl} apply -f - && ${kubectl} wait --for=jsonpath={.status.phase}=Succeeded --timeout=5m pod/greeter`;
      await done('ssh', 'node01', '--cluster', NAME, '--', 'sh', '-c', script, 'sh', pod);
    });

    it.each([
      ['exec', ['exec', '--cluster', NAME, '--', 'true']],
      ['kubeconfig', ['kubeconfig', NAME]],
      ['status', ['status', NAME]],
    ])('whose ssh was killed are met again by "%s": kubeconfigs work on', async (_what, command) => {
      const before = await owned();
      process.kill(before.pid, 'SIGKILL');
      await until(async () => !(await isRunning(before)));
      await done(...command);
      expect(await owned()).not.toEqual(before);
      expect(await ask()).toBe('node01');
    });

    it('whose connection broke are met again', async () => {
      const before = await owned();
      await engine.cut();
      await until(async () => !(await isRunning(before)));
      const away = await engine.kvci('status', NAME, '--output', 'json');
      expect(JSON.parse(away.stdout)).toMatchObject({ condition: 'unreachable' });
      expect(away.stderr).toContain('no way leads to what');
      const exec = await engine.kvci('exec', '--cluster', NAME, '--output', 'json', '--', 'true');
      expect({ code: exec.code, ...(JSON.parse(exec.stdout) as Failure) }).toMatchObject({
        code: 3,
        error: { code: 'engine-unreachable' },
      });
      expect(JSON.parse(await done('prune', '--output', 'json'))).toMatchObject({
        failed: [],
        unseen: expect.arrayContaining([expect.stringContaining(`the engine at ${engine.ssh}, which nodes were in`)]) as string[],
      });
      await engine.mend();
      expect(JSON.parse(await done('status', NAME, '--output', 'json'))).toMatchObject({ condition: 'ready' });
      expect(await ask()).toBe('node01');
    });

    it('are stopped and started, at the same port', async () => {
      const before = await owned();
      await done('stop', NAME);
      expect(await isRunning(before)).toBe(false);
      await done('start', NAME);
      expect(await ask()).toBe('node01');
    });

    it('go, and the ssh with them', async () => {
      const { pid } = await owned();
      await done('down', NAME);
      expect(await identify(pid)).toBeUndefined();
      await nothingIsThere();
    });

    it('have no registry of this host, in clear words', async () => {
      const { code, stdout } = await engine.kvci(...asked(engine.ssh, '--registry'));
      expect({ code, ...(JSON.parse(stdout) as Failure) }).toMatchObject({ code: 2, error: { code: 'not-reachable-from-nodes' } });
    });

    it('that are lost in the middle of "up" are told, and the next one goes on', async () => {
      expect(await lostAt('init node01', engine.ssh, () => engine.cut())).toMatchObject({ code: 1, error: { code: 'engine-lost' } });
      await engine.mend();
      expect(JSON.parse(await done(...asked(engine.ssh)))).toMatchObject({ reused: false });
      await keepKubeconfig();
      expect(await ask()).toBe('node01');
      await done('down', NAME);
      await nothingIsThere();
    });

    it('that are lost in the middle of "up" are removed by "down"', async () => {
      expect(await lostAt('boot node01', engine.ssh, () => engine.cut())).toMatchObject({ code: 1, error: { code: 'engine-lost' } });
      const down = await engine.kvci('down', NAME, '--output', 'json');
      expect({ code: down.code, ...(JSON.parse(down.stdout) as Failure) }).toMatchObject({
        code: 3,
        error: { code: 'engine-unreachable' },
      });
      await engine.mend();
      await done('down', NAME);
      await nothingIsThere();
    });

    it('whose ssh ends while "up" waits for Ready are met again', async () => {
      const { code, lines } = await disturbedAt('ready', engine.ssh, async () => process.kill((await owned()).pid, 'SIGKILL'));
      expect(code, lines.slice(-5).join('\n')).toBe(0);
      await keepKubeconfig();
      expect(await ask()).toBe('node01');
      await done('down', NAME);
      await nothingIsThere();
    });

    it('of a cluster whose state is lost are taken away by prune, and the ssh with them', async () => {
      await done(...asked(engine.ssh));
      const before = await owned();
      await rm(join(engine.state, 'clusters', NAME), { recursive: true });
      const { removed, failed } = JSON.parse(await done('prune', '--output', 'json')) as Readonly<Record<string, readonly string[]>>;
      expect(removed).toEqual(expect.arrayContaining([`nodes of the cluster "${NAME}", whose state is lost`]));
      expect(removed).toEqual(expect.arrayContaining([`the ssh that leads to the cluster "${NAME}", whose state is lost`]));
      expect(failed).toEqual([]);
      expect(await isRunning(before)).toBe(false);
      await nothingIsThere();
    });
  });

  describe('over TCP with TLS', () => {
    it('are Ready at the address of the engine, which the certificate has, with a warning', async () => {
      const up = await engine.kvci(...asked(engine.tcp));
      expect(up.code, up.stderr).toBe(0);
      expect(up.stderr).toContain(`open to everybody who reaches ${engine.address}:`);
      expect(await keepKubeconfig()).toContain(`server: https://${engine.address}:`);
      expect(await ask()).toBe('node01');
      expect(await done('ssh', 'node01', '--cluster', NAME, '--', 'hostname')).toBe('node01\n');
      await done('stop', NAME);
      await done('start', NAME);
      expect(await ask()).toBe('node01');
      await done('down', NAME);
      await nothingIsThere();
    });

    it('that are lost in the middle of "up", without a word, are told, and the next one goes on', async () => {
      expect(await lostAt('init node01', engine.tcp, () => engine.unplug())).toMatchObject({ code: 1, error: { code: 'engine-lost' } });
      await engine.plugIn();
      expect(JSON.parse(await done(...asked(engine.tcp)))).toMatchObject({ reused: false });
      await done('down', NAME);
      await nothingIsThere();
    });
  });

  it.each([
    { way: 'ssh', url: () => engine.ssh },
    { way: 'TCP', url: () => engine.tcp },
  ])('over $way, have several control planes behind a load balancer, and come and go', async ({ url }) => {
    await done(...asked(url(), '--nodes', '2', '--control-planes', '2'));
    // The load balancer is one more.
    expect(await engine.containers.list({ 'io.kvci.run': '' })).toHaveLength(3);
    await done('node', 'add', '--cluster', NAME);
    await keepKubeconfig();
    expect(await ask()).toBe('node01 node02 node03');
    expect(await done('ssh', 'node03', '--cluster', NAME, '--', 'cat', '/etc/kubernetes/kubelet.conf')).toMatch(
      /server: https:\/\/10\.89\.\d+\.10:6443/,
    );
    await done('stop', NAME);
    expect((await engine.containers.list({ 'io.kvci.run': '' })).filter(({ running }) => running)).toEqual([]);
    await done('start', NAME);
    // One control plane is left of several.
    await done('node', 'remove', 'node02', '--cluster', NAME);
    expect(await ask()).toBe('node01 node03');
    await done('node', 'remove', 'node03', '--cluster', NAME);
    expect(await ask()).toBe('node01');
    await done('down', NAME);
    await nothingIsThere();
  });

  it('are asked for by the current Docker context', async () => {
    const config = join(folder.path, 'docker');
    const id = createHash('sha256').update('far').digest('hex');
    for (const part of ['meta', 'tls']) await mkdir(join(config, 'contexts', part, id), { recursive: true });
    await cp(engine.environment['DOCKER_CERT_PATH'] ?? '', join(config, 'contexts/tls', id, 'docker'), { recursive: true });
    await writeFile(join(config, 'config.json'), JSON.stringify({ currentContext: 'far' }));
    const meta = { Name: 'far', Endpoints: { docker: { Host: engine.tcp } } };
    await writeFile(join(config, 'contexts/meta', id, 'meta.json'), JSON.stringify(meta));
    const [file, ...before] = engine.there;
    const up = startKvci(['up', NAME, '--provider', 'kind', '--image', image, '--progress', 'json', '--output', 'json'], {
      cwd: folder.path,
      env: { DOCKER_CONFIG: config, KVCI_STATE_DIR: engine.state },
      through: [file, ...before],
    });
    expect(await up.said('nodes are containers of')).toContain('docker context \\"far\\"');
    await up.said('"step":"boot node01"');
    up.child.kill('SIGINT');
    expect((await up.ended()).code).toBe(130);
    await nothingIsThere();
  });
});
