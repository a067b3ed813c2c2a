import type { EngineAddress } from './endpoint.ts';

export type SshAddress = Extract<EngineAddress, { readonly transport: 'ssh' }>;

/** For a host that neither answers nor refuses; a password cannot be asked for. */
const CONNECT_SECONDS = 20;

const SETTINGS = [
  'BatchMode=yes',
  `ConnectTimeout=${CONNECT_SECONDS}`,
  'ExitOnForwardFailure=yes',
  'StreamLocalBindUnlink=yes',
  // A connection that hangs ends, and is made anew.
  'ServerAliveInterval=10',
  'ServerAliveCountMax=3',
  'ControlPath=none',
] as const;

/**
 * The user's own ssh, with all of its configuration, agents and known hosts, as the way to something on another host.
 *
 * @param lead what leads where, as its option -L has it: `SOCKET:SOCKET`, `HOST:PORT:HOST:PORT`
 * @param settings more of them, as its option -o has them
 */
export function sshArgv(
  { destination, port }: Pick<SshAddress, 'destination' | 'port'>,
  lead: string,
  settings: readonly string[] = [],
): readonly [string, ...string[]] {
  const options = [...SETTINGS, ...settings].flatMap((setting) => ['-o', setting]);
  const at = port === undefined ? [] : ['-p', String(port)];
  return ['ssh', '-N', '-T', ...options, ...at, '-L', lead, '--', destination];
}
