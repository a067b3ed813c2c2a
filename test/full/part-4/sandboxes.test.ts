import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import type { EventSink } from '../../../src/core/events.ts';
import { connectContainers } from '../../../src/host/adapters/dockerode-containers.ts';
import type { Containers } from '../../../src/host/engine/containers.ts';
import { fileLedger, reapOrphans } from '../../../src/host/ledger.ts';
import { readTemplates } from '../../../src/image/sources.ts';
import { type LanOptions, lanSettings } from '../../../src/machine/net/lan.ts';
import { startLan } from '../../../src/machine/net/lan-services.ts';
import { throughEngine } from '../../../src/machine/net/outbound.ts';
import { SANDBOX_LABEL } from '../../../src/sandbox/container-request.ts';
import { sandboxReapers } from '../../../src/sandbox/reaper.ts';
import type { Sandbox, SandboxRequest, Sandboxes } from '../../../src/sandbox/types.ts';
import { connectSandboxEngine } from '../../../src/wiring/sandboxes.ts';
import { testAllSandboxes } from '../../fixtures/container-sandboxes.ts';
import { TEST_CACHE } from '../../fixtures/debian-programs.ts';
import { dockerProblem, startDockerDaemon } from '../../fixtures/docker-daemon.ts';
import { isMissing } from '../../fixtures/needs.ts';
import { ordinaryUser, userProblem } from '../../fixtures/ordinary-user.ts';
import { LAN } from '../../fixtures/vms.ts';
import { HOST_ENVIRONMENT, sandboxContract } from '../../fixtures/sandbox-contract.ts';
import { type HostEngine, seeingPodman } from '../../fixtures/seeing-podman.ts';
import { toolsTree } from '../../fixtures/tools-tree.ts';
import { until } from '../../fixtures/traces.ts';

/* Sandboxes that are containers: the suite of all kinds, in every engine, and what an engine may be left with. */

const NEVER = new AbortController().signal;

/** Greets whoever comes. */
const SERVE =
  'my $s = IO::Socket::INET->new(LocalPort => 7777, Listen => 5) or die; while (my $c = $s->accept) { print $c "in\\n"; close $c }';

describe.each<[string, string | undefined, (tools: string, folder: string) => Promise<HostEngine>]>([
  ['Docker', dockerProblem(), () => startDockerDaemon()],
  ['Podman', undefined, (tools, folder) => seeingPodman(tools, `${folder}-podman`, folder)],
])('as containers of %s', (make, problem, start) => {
  if (isMissing(make.toLowerCase(), problem)) {
    it.skip('is not tested here');
    return;
  }
  let tools: string;
  let folder: string;
  let engine: HostEngine;
  let sandboxes: Sandboxes;
  let containers: Containers;

  beforeAll(async () => {
    tools = await toolsTree();
    // Not in /tmp: the engine may have one of its own.
    await mkdir(TEST_CACHE, { recursive: true });
    folder = await mkdtemp(join(TEST_CACHE, 'box-'));
    engine = await start(tools, folder);
    sandboxes = testAllSandboxes(tools, folder, engine.socket, { ...process.env, ...HOST_ENVIRONMENT });
    containers = await connectContainers({ address: { transport: 'unix', path: engine.socket }, origin: 'test' });
  });

  afterAll(async () => {
    await engine[Symbol.asyncDispose]();
    for (const path of [folder, `${folder}-podman`]) await rm(path, { recursive: true, force: true });
  });

  const request: SandboxRequest = { kind: 'container', name: 'box', binds: [], network: 'private', cgroups: false, signal: NEVER };

  sandboxContract(() => Promise.resolve({ kind: 'container', sandboxes, tools, folder, socket: engine.socket }));

  it('have no more rights than are listed', async () => {
    await using box = await sandboxes.start(request);
    const { stdout } = await box.run(['grep', '-E', '^(Cap|NoNewPrivs|Seccomp:)', '/proc/self/status']);
    // CAP_DAC_OVERRIDE 1, SETGID 6, NET_BIND_SERVICE 10, NET_ADMIN 12, NET_RAW 13.
    for (const set of ['CapPrm', 'CapEff', 'CapBnd']) expect(stdout).toMatch(new RegExp(`^${set}:\\t0+3442$`, 'm'));
    expect(stdout).toContain('NoNewPrivs:\t1');
    await expect(box.run(['mount', '-t', 'tmpfs', 'none', '/mnt'])).rejects.toThrow();
    await expect(box.run(['sh', '-c', 'echo 1 >/proc/sys/kernel/panic'])).rejects.toThrow();
  });

  it('tell when their first process is killed', async () => {
    await using box = await sandboxes.start(request);
    const running = box.run(['sleep', '1000']);
    const ends = Promise.all([box.ended, running].map((end) => expect(end).rejects.toMatchObject({ code: 'sandbox-ended' })));
    const [main] = await containers.list({ [SANDBOX_LABEL]: '' });
    await containers.remove(main!.id);
    await ends;
  });

  it.skipIf(make !== 'Docker' || isMissing('root', userProblem()))('are those of an ordinary user in an engine of root', async () => {
    // The image is there by now: this user could not read the tree.
    await (await sandboxes.start(request))[Symbol.asyncDispose]();
    await chmod(dirname(engine.socket), 0o711);
    await chmod(engine.socket, 0o666);
    await using user = await ordinaryUser();
    const child = join(user.home, 'kvci/test/fixtures/box-user-child.ts');
    const { code, stdout, stderr } = await user.run([process.execPath, child, tools, join(user.home, 'box'), engine.socket]);
    expect(code, stderr).toBe(0);
    const said = JSON.parse(stdout) as { readonly own: number; readonly status: string };
    expect(said.own).toBeGreaterThan(0);
    expect(said).toMatchObject({ uid: said.own, cancelled: 'cancelled', left: '', tap: true });
    expect(said.status).toContain(`Uid:\t${said.own}\t${said.own}\t${said.own}\t${said.own}`);
    // NET_BIND_SERVICE, NET_ADMIN, NET_RAW; bounded by these and SETGID, SETUID, SETPCAP.
    expect(said.status).toMatch(/^CapEff:\t0+3400$/m);
    expect(said.status).toMatch(/^CapBnd:\t0+35c0$/m);
  });

  it('leave nothing in their engine: what a killed kvci left of them, prune removes', async () => {
    // The engine removes those that were bound when they end.
    await until(async () => (await containers.list({ [SANDBOX_LABEL]: '' })).length === 0);
    const state = join(folder, 'state');
    const ledger = fileLedger({ state });
    await reapOrphans(ledger, sandboxReapers(sandboxes, connectSandboxEngine, NEVER));
    expect(await readdir(join(state, 'ledger'))).toEqual([]);
    expect(await readdir(join(folder, 'run', 'boxes'))).toEqual([]);
    expect(existsSync(join(folder, 'run'))).toBe(true);
  });
});

describe('a sandbox that is a container, where machines are to reach the outside', () => {
  const lan: LanOptions = { ...LAN, outbound: true };
  let tools: string;
  let folder: string;

  beforeAll(async () => {
    tools = await toolsTree();
    await mkdir(TEST_CACHE, { recursive: true });
    folder = await mkdtemp(join(TEST_CACHE, 'box-'));
  });

  afterAll(async () => {
    for (const path of [folder, `${folder}-podman`]) await rm(path, { recursive: true, force: true });
  });

  async function outside(socket: string): Promise<{ readonly routes: string; readonly rules: string; readonly said: readonly string[] }> {
    const said: string[] = [];
    const events: EventSink = (event) => {
      if (event.type === 'problem') said.push(event.message);
    };
    const templates = await readTemplates(new URL('../../../templates', import.meta.url).pathname);
    const settings = lanSettings(lan, 'container');
    const request: SandboxRequest = { kind: 'container', name: 'out', binds: [], network: 'private', cgroups: false, signal: NEVER };
    await using box = await testAllSandboxes(tools, folder, socket, process.env, events).start({ ...request, outbound: true, settings });
    await startLan(box, lan, { templates, events, reachOutside: throughEngine }, NEVER);
    const [{ stdout: routes }, { stdout: rules }] = await Promise.all([
      box.run(['ip', '-brief', 'route']),
      box.run(['nft', 'list', 'ruleset']),
    ]);
    return { routes, rules, said };
  }

  it('has the network of its engine, and lets nobody in by it', async () => {
    await using engine = await seeingPodman(tools, `${folder}-podman`, folder, 'private');
    const { routes, rules, said } = await outside(engine.socket);
    expect(routes).toMatch(/^default via \S+ dev (\S+)/m);
    expect(rules).toMatch(/oifname "\S+" masquerade[^]*iifname "\S+" ct state new drop/);
    expect(said.join('\n')).not.toContain('no network');
  });

  it('is closed to its neighbours: what listens in it is for machines', async () => {
    await using engine = await seeingPodman(tools, `${folder}-podman`, folder, 'private');
    const boxes = testAllSandboxes(tools, folder, engine.socket);
    const templates = await readTemplates(new URL('../../../templates', import.meta.url).pathname);
    const request: SandboxRequest = {
      kind: 'container',
      name: 'out',
      binds: [],
      network: 'private',
      cgroups: false,
      outbound: true,
      signal: NEVER,
    };
    await using box = await boxes.start({ ...request, settings: lanSettings(lan, 'container') });
    await using neighbour = await boxes.start({ ...request, name: 'neighbour' });
    const ended = new AbortController();
    const serving = box.run(['perl', '-MIO::Socket::INET', '-e', SERVE], { signal: ended.signal });
    const greeting = async (from: Sandbox): Promise<string> =>
      (await from.run(['timeout', '5', 'bash', '-c', `exec 3<>/dev/tcp/${address}/7777 && cat <&3`], { accept: [1, 124] })).stdout;
    const { stdout: addresses } = await box.run(['ip', '-4', '-brief', 'address']);
    const address = /^eth\S+ .* ([\d.]+)\//m.exec(addresses)?.[1] ?? '';
    await until(async () => (await greeting(neighbour)) === 'in\n');
    await startLan(box, lan, { templates, events: () => undefined, reachOutside: throughEngine }, NEVER);
    expect(await greeting(box)).toBe('in\n');
    expect(await greeting(neighbour)).toBe('');
    ended.abort();
    await expect(serving).rejects.toMatchObject({ code: 'cancelled' });
  });

  it.skipIf(isMissing('docker', dockerProblem()))('is closed where its engine has none, and says so', async () => {
    await using docker = await startDockerDaemon();
    const { routes, said } = await outside(docker.socket);
    expect(routes).not.toContain('default');
    expect(said.join('\n')).toContain('nodes have no network but their own');
  });
});
