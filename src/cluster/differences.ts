import type { ClusterOptions } from './options.ts';
import type { ClusterState } from './state.ts';

/** Options that are compared as they are written, by their flags. */
export const OPTION_FLAGS = {
  nodes: '--nodes',
  controlPlanes: '--control-planes',
  controlPlaneProvider: '--control-plane-provider',
  ipFamily: '--ip-family',
  cni: '--cni',
  cniSha256: '--sha256',
  cpus: '--cpus',
  memory: '--memory',
  diskSize: '--disk-size',
  cpuModel: '--cpu-model',
  kargs: '--karg',
  vnc: '--vnc',
  qemuArgs: '--qemu-args',
  acceleration: '--acceleration',
  sandbox: '--sandbox',
  registry: '--registry',
  mirrors: '--mirror',
  cas: '--ca',
} as const satisfies Partial<Record<keyof ClusterOptions, string>>;

/** Where it is said what a node is to have: for it alone in kvci.yaml, else for all. */
export function placeOf(key: 'cpus' | 'memory', node: string, overrides: ClusterOptions['overrides']): string {
  return overrides[node]?.[key] === undefined ? OPTION_FLAGS[key] : `cluster.overrides.${node}.${key}`;
}

/** With what only kvci.yaml can say. */
const PLACES = { ...OPTION_FLAGS, overrides: 'cluster.overrides' } as const;

/** What of a request a cluster that is there is not, a line each; empty when it is what was asked for. What is not asked for is as it is. */
export function differences(
  state: Pick<ClusterState, 'options' | 'wanted' | 'provider'>,
  { asked, wanted }: { readonly asked: Partial<ClusterOptions>; readonly wanted: string | undefined },
): readonly string[] {
  const lines = Object.entries(PLACES).flatMap(([name, flag]) => {
    const key = name as keyof typeof PLACES;
    const [there, want] = [state.options[key], asked[key]].map((value) => JSON.stringify(value));
    return want === undefined || there === want ? [] : [`${flag}: it has ${there ?? 'none'}, you ask for ${want}`];
  });
  const { provider = 'auto' } = asked;
  if (provider !== 'auto' && provider !== state.options.provider && provider !== state.provider)
    lines.push(`--provider: it has ${state.provider}, you ask for ${provider}`);
  if (wanted !== undefined && wanted !== state.wanted) lines.push(`image: it was made of ${state.wanted}, you ask for ${wanted}`);
  return lines;
}
