import { z } from 'zod';

import { KvciError } from '../core/errors.ts';
import { type PROGRAM_GROUPS } from './program-groups.ts';
import { packageSetSchema } from '../sandbox/debian-schema.ts';
import type { PayloadLock } from './types.ts';

const moduleFiles = z.strictObject({
  /** Lines of go.mod and go.sum as Go wrote them: the module versions and the hashes of all that is compiled. */
  goMod: z.array(z.string()),
  goSum: z.array(z.string()),
});

const imageRefs = z.strictObject({
  'kube-apiserver': z.string(),
  'kube-controller-manager': z.string(),
  'kube-scheduler': z.string(),
  'kube-proxy': z.string(),
  coredns: z.string(),
  pause: z.string(),
  etcd: z.string(),
});

/** What source `modules` keeps in `PayloadLock.inputs`. */
const modulesInputsSchema = z.strictObject({
  /** The Go toolchain, `1.26.8`: used exactly, fetched as a module where it is not the host's own. */
  go: z.string(),
  /** The commit that is stamped into the programs, where the proxy tells it. */
  commit: z.string().optional(),
  /** etcdctl of etcd's version is served, and part of etcd's image. */
  etcdctl: z.boolean(),
  /** As kubeadm of this version asks for them. */
  images: imageRefs,
  /** Where another version than upstream's had to be taken because upstream's is not served. */
  substitutes: z.array(z.strictObject({ component: z.string(), wanted: z.string(), taken: z.string() })),
  /** Debian packages that images take programs and certificates from. */
  userland: packageSetSchema,
  groups: z.strictObject({
    kubernetes: moduleFiles,
    etcd: moduleFiles,
    containerd: moduleFiles,
    coredns: moduleFiles,
    pause: moduleFiles,
  } satisfies Record<(typeof PROGRAM_GROUPS)[number], typeof moduleFiles>),
});

export type ModulesInputs = z.output<typeof modulesInputsSchema>;
export type ModuleFiles = z.output<typeof moduleFiles>;

/** @throws KvciError `lock-broken` when a lock of this source does not hold what it should */
export function modulesInputs(lock: PayloadLock): ModulesInputs {
  const parsed = modulesInputsSchema.safeParse(lock.inputs);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new KvciError(
    'usage',
    'lock-broken',
    `the lock of payload ${lock.versions.kubernetes} (modules) is not right: ${issue?.path.map(String).join('.') ?? ''}: ${issue?.message ?? ''}`,
    {
      hint: 'Take it from version control again, or run "kvci image lock --update".',
      cause: parsed.error,
    },
  );
}

export function linesOf(text: string): string[] {
  return text
    .replace(/\n$/, '')
    .split('\n')
    .filter((line, index, all) => line !== '' || index < all.length - 1);
}

export function textOf(lines: readonly string[]): string {
  return lines.length === 0 ? '' : `${lines.join('\n')}\n`;
}
