import { readFile } from 'node:fs/promises';

import { KvciError, messageOf } from '../core/errors.ts';
import type { CommandRunner, HostCheck, HostProblem } from '../host/types.ts';
import { type HostUser, readSubordinate, subordinateCommand } from './map-ids.ts';
import type { ToolsWay } from './tools-choice.ts';

/**
 * What sandboxes and the tools image need of the host.
 *
 * @param way how the tools image would come, by `chooseToolsWay`
 */
export function sandboxChecks(commands: CommandRunner, user: HostUser, way: () => Promise<ToolsWay>): HostCheck[] {
  return [
    { id: 'namespaces', title: 'user namespaces', run: () => checkNamespaces(commands, user) },
    user.uid === 0
      ? { id: 'newuidmap', title: 'newuidmap for ordinary users', run: async () => asWarning(await checkPrograms(commands)) }
      : { id: 'subordinate-ids', title: 'subordinate user and group ids', run: () => checkIds(commands, user) },
    toolsCheck(way),
  ];
}

/** Settings of kernels and distributions that keep ordinary users from user namespaces, and the values that allow them. */
const SETTINGS = [
  { name: 'kernel.apparmor_restrict_unprivileged_userns', forbids: '1', allows: '0' },
  { name: 'kernel.unprivileged_userns_clone', forbids: '0', allows: '1' },
  { name: 'user.max_user_namespaces', forbids: '0', allows: '15000' },
] as const;

/** What is asked of the kernel: to be root of namespaces, and that this root may mount. */
const PROBE = ['unshare', '--user', '--map-root-user', '--mount', '--pid', '--fork', 'mount', '-t', 'proc', 'proc', '/proc'] as const;

async function checkNamespaces(commands: CommandRunner, user: HostUser): Promise<HostProblem | undefined> {
  try {
    await commands.run(PROBE);
    await commands.run(['nsenter', '--version']);
    return undefined;
  } catch (error) {
    if (!(error instanceof KvciError)) throw error;
    if (error.code === 'command-missing') {
      return { level: 'error', message: messageOf(error), packages: { apt: ['util-linux'], dnf: ['util-linux'] }, error };
    }
    return namespacesProblem(await readSettings(), user, error);
  }
}

/** @param settings values by name; those that the kernel does not know are absent */
export function namespacesProblem(settings: ReadonlyMap<string, string>, user: Pick<HostUser, 'uid'>, error: KvciError): HostProblem {
  const forbidding = SETTINGS.filter(({ name, forbids }) => settings.get(name) === forbids);
  const [only] = forbidding;
  if (only === undefined) {
    const message = `${user.uid === 0 ? 'root' : 'this user'} cannot make user namespaces or mount in them; in a container they have to be allowed from outside`;
    return { level: 'error', message, error };
  }
  return {
    level: 'error',
    message: `user namespaces are restricted on this host: ${forbidding.map(({ name, forbids }) => `${name}=${forbids}`).join(', ')}`,
    commands: forbidding.map(({ name, allows }) => ['sysctl', '-w', `${name}=${allows}`] as const),
    error,
  };
}

async function readSettings(): Promise<ReadonlyMap<string, string>> {
  const values = await Promise.all(
    SETTINGS.map(async ({ name }) => {
      const value = await readFile(`/proc/sys/${name.replaceAll('.', '/')}`, 'utf8').catch(() => undefined);
      return value === undefined ? [] : [[name, value.trim()] as const];
    }),
  );
  return new Map(values.flat());
}

/** Root itself does without; what root installs once is there for the ordinary users of the host. */
function asWarning(problem: HostProblem | undefined): HostProblem | undefined {
  return problem === undefined ? undefined : { ...problem, level: 'warning' };
}

async function checkPrograms(commands: CommandRunner): Promise<HostProblem | undefined> {
  const packages = { apt: ['uidmap'], dnf: ['shadow-utils-subid'] };
  for (const program of ['newuidmap', 'newgidmap'] as const) {
    try {
      // Without arguments both explain themselves and fail.
      await commands.run([program], { accept: [1] });
    } catch (error) {
      if (!(error instanceof KvciError) || error.code !== 'command-missing') throw error;
      return { level: 'error', message: `${program} is not installed: an ordinary user needs it for sandboxes`, packages, error };
    }
  }
  return undefined;
}

async function checkIds(commands: CommandRunner, user: HostUser): Promise<HostProblem | undefined> {
  const missing = await checkPrograms(commands);
  if (missing !== undefined) return missing;
  try {
    await readSubordinate('/etc/subuid', user);
    await readSubordinate('/etc/subgid', user);
    return undefined;
  } catch (error) {
    if (!(error instanceof KvciError)) throw error;
    return { level: 'error', message: error.message, commands: [await subordinateCommand(user)], error };
  }
}

/** Says how the tools image would come. Where nothing can make it, mmdebstrap is what one installs. */
function toolsCheck(way: () => Promise<ToolsWay>): HostCheck {
  let asked: Promise<ToolsWay> | undefined;
  const ask = (): Promise<ToolsWay> => (asked ??= way());
  return {
    id: 'tools-image',
    title: 'tools image',
    found: async () => (await ask()).line,
    run: async () => {
      try {
        await ask();
        return undefined;
      } catch (error) {
        if (!(error instanceof KvciError) || error.code !== 'no-tools-maker') throw error;
        const packages = { apt: ['mmdebstrap', 'debian-archive-keyring'], dnf: ['mmdebstrap', 'debian-keyring'] };
        return { level: 'error', message: error.message, error, ...(error.facts['way'] === 'engine' ? {} : { packages }) };
      }
    },
  };
}

/** `mmdebstrap 1.5.7`, undefined when it is not installed. */
export async function mmdebstrapVersion(commands: CommandRunner): Promise<string | undefined> {
  try {
    return (await commands.run(['mmdebstrap', '--version'])).stdout.trim();
  } catch (error) {
    if (error instanceof KvciError && error.code === 'command-missing') return undefined;
    throw error;
  }
}
