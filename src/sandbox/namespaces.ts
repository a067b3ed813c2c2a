import { mkdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { KvciError } from '../core/errors.ts';
import { identify, isRunning, pidNamespace } from '../host/processes.ts';
import type { CommandRunner, Directories } from '../host/types.ts';
import { sourceOf } from './bind-source.ts';
import { joinCgroupArgv } from './cgroup.ts';
import { endedError } from './ended-error.ts';
import { enter, type Environment } from './enter.ts';
import type { IdMapper } from './map-ids.ts';
import { type Copy, sandboxArgv } from './init-arguments.ts';
import { kill, launch, type Launched } from './launch.ts';
import type { DetachedSandbox, NamespacesRecord, Sandbox, SandboxFiles, SandboxRequest, Sandboxes } from './types.ts';

export interface NamespacesParts {
  /** The host's. */
  readonly commands: CommandRunner;
  readonly directories: Pick<Directories, 'runtime'>;
  /** kvci's own environment: proxies are handed on, everything else is hidden. */
  readonly environment: Environment;
  /** Path of `templates/sandbox/init.sh`. */
  readonly init: string;
  readonly mapIds: IdMapper;
  /** The folder of the tools image, made first if it is not there. */
  readonly tools: (signal: AbortSignal) => Promise<string>;
}

/** Where systems keep the bundle of the CAs that they trust; the first that is there counts. */
const CA_BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/** Where the tools image (Debian) looks for them. */
const CA_BUNDLE_INSIDE = '/etc/ssl/certs/ca-certificates.crt';

/** A deadline for a hang: a kill takes milliseconds. */
const END_DEADLINE_MS = 30_000;
const POLL_MS = 10;

/** Sandboxes of Linux namespaces: no engine, no daemon, nothing on the host but unshare(1) and nsenter(1). */
export function namespaceSandboxes(parts: NamespacesParts): Sandboxes {
  const begin = async (request: SandboxRequest, tree: string | undefined): Promise<{ record: NamespacesRecord; launched: Launched }> => {
    const stage = join(parts.directories.runtime, 'sandbox');
    await mkdir(stage, { recursive: true, mode: 0o700 });
    const copies = tree === undefined ? [] : await hostFiles(parts.environment);
    const binds = await Promise.all(request.binds.map(async (bind) => ({ ...bind, host: await sourceOf(bind.host, request.name) })));
    const argv = sandboxArgv({
      init: parts.init,
      tree,
      stage,
      network: request.network,
      cgroups: request.cgroups,
      scratch: request.scratch === undefined ? undefined : await sourceOf(request.scratch, request.name),
      binds,
      copies,
      settings: request.settings ?? {},
    });
    const { cgroup } = request;
    const launched = await launch(request.name, cgroup === undefined ? argv : joinCgroupArgv(cgroup, argv), parts.mapIds, request.signal);
    const identity = await identify(launched.pid);
    if (identity === undefined) throw endedError(request.name);
    return {
      launched,
      record: {
        name: request.name,
        network: request.network,
        namespace: await pidNamespace(),
        ...identity,
        ...(cgroup === undefined ? {} : { cgroup }),
        ...(tree === undefined ? {} : { tools: tree }),
      },
    };
  };

  const found = (record: NamespacesRecord): DetachedSandbox => ({
    ...enter(record, parts.commands, parts.environment, () => whyGone(record)),
    ...filesOf(record),
    record,
    end: async () => {
      if (!(await isRunning(record))) return;
      kill(record.pid);
      await untilGone(record);
    },
  });

  const start = async (request: SandboxRequest, tree: string | undefined): Promise<Sandbox> => {
    const { record, launched } = await begin(request, tree);
    return bound(record, launched, parts);
  };

  return {
    start: async (request) => start(request, await parts.tools(request.signal)),
    startOverHost: ({ name, signal }) => start({ name, signal, binds: [], network: 'host', cgroups: false }, undefined),
    startDetached: async (request, keep) => {
      const { record, launched } = await begin(request, await parts.tools(request.signal));
      try {
        await keep(record);
      } catch (error) {
        launched.close();
        await launched.gone;
        throw error;
      }
      launched.letGo();
      return found(record);
    },
    find: async (record) => {
      if (record.kind === 'container') throw new KvciError('bug', 'other-kind', `the sandbox "${record.name}" is a container`);
      if (record.namespace !== (await pidNamespace())) {
        throw new KvciError('failed', 'sandbox-elsewhere', `the sandbox "${record.name}" was started in another pid namespace`, {
          hint: 'Run the command where the sandbox was started: on the host, or in that container.',
        });
      }
      return (await isRunning(record)) ? found(record) : undefined;
    },
  };
}

/** The kernel shows the files of a process to whoever may trace it: its user, and root. */
function filesOf({ pid }: NamespacesRecord): SandboxFiles {
  return { outside: (path) => `/proc/${pid}/root${path}` };
}

function bound(record: NamespacesRecord, launched: Launched, parts: NamespacesParts): Sandbox {
  let isGone = false;
  let disposed = false;
  const ended = launched.gone.then(() => {
    isGone = true;
    if (!disposed) throw endedError(record.name);
  });
  // Whoever does not listen learns it from the next command.
  ended.catch(() => undefined);
  return {
    ...enter(record, parts.commands, parts.environment, () => whyGone(record)),
    ...filesOf(record),
    record,
    ended,
    [Symbol.asyncDispose]: async () => {
      disposed = true;
      if (!isGone) {
        launched.close();
        kill(record.pid);
      }
      await launched.gone;
    },
  };
}

/** The kernel ends all that is in a pid namespace before its killed pid 1 is gone. Not our child: only looking tells. */
async function untilGone(record: NamespacesRecord): Promise<void> {
  for (let waited = 0; waited < END_DEADLINE_MS; waited += POLL_MS) {
    if (!(await isRunning(record))) return;
    await sleep(POLL_MS);
  }
  throw new KvciError('timedOut', 'sandbox-not-ended', `the sandbox "${record.name}" (process ${record.pid}) does not end`, {
    hint: 'A process in it waits in the kernel, for a disk or a network file system.',
  });
}

async function whyGone(record: NamespacesRecord): Promise<KvciError | undefined> {
  return (await isRunning(record)) ? undefined : endedError(record.name);
}

/** How names are resolved and whom to trust, as the host has it now. */
async function hostFiles(environment: Environment): Promise<Copy[]> {
  const bundles = [environment['SSL_CERT_FILE'], ...CA_BUNDLES].filter((path) => path !== undefined);
  const wanted = [
    { from: ['/etc/resolv.conf'], inside: '/etc/resolv.conf' },
    { from: ['/etc/hosts'], inside: '/etc/hosts' },
    { from: bundles, inside: CA_BUNDLE_INSIDE },
  ];
  const copies = await Promise.all(
    wanted.map(async ({ from, inside }) => {
      for (const path of from) {
        const host = await realpath(path).catch(() => undefined);
        if (host !== undefined && (await stat(host)).isFile()) return [{ host, inside }];
      }
      return [];
    }),
  );
  return copies.flat();
}
