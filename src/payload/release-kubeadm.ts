import { z } from 'zod';

import { KvciError } from '../core/errors.ts';
import type { CommandRunner } from '../host/types.ts';
import { versionOfTag } from './kubeadm-constants.ts';
import type { PayloadVersions } from './types.ts';

/** What a kubeadm binary says of itself and of its images. */
export interface KubeadmFacts {
  /** Without a leading `v`. */
  readonly version: string;
  /** ISO 8601. */
  readonly buildDate: string;
  /** References, as it asks for them. */
  readonly images: readonly string[];
}

const versionSchema = z.object({ clientVersion: z.object({ gitVersion: z.string(), buildDate: z.iso.datetime() }) });

/**
 * Asks a kubeadm on this host: nothing else says as surely which images belong to a version.
 *
 * @throws KvciError `kubeadm-unusable` for a program that does not answer as kubeadm does; CommandError
 */
export async function askKubeadm(commands: CommandRunner, path: string, signal: AbortSignal): Promise<KubeadmFacts> {
  const { stdout: about } = await commands.run([path, 'version', '--output', 'json'], { signal });
  const parsed = versionSchema.safeParse(safeJson(about));
  if (!parsed.success)
    throw new KvciError('failed', 'kubeadm-unusable', `${path} does not say its version as kubeadm does`, { cause: parsed.error });
  const { gitVersion, buildDate } = parsed.data.clientVersion;
  const { stdout } = await commands.run([path, 'config', 'images', 'list', '--kubernetes-version', gitVersion], { signal });
  const images = stdout
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '');
  return { version: gitVersion.replace(/^v/, ''), buildDate, images };
}

function safeJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The versions that belong together, by kubeadm's images. @throws KvciError `kubeadm-unusable` when one is not among them */
export function versionsOf({ version, images }: KubeadmFacts): PayloadVersions {
  const tag = (name: string): string => {
    const found = images.find((ref) => new RegExp(`/${name}:[^/]+$`).test(ref));
    if (found !== undefined) return found.slice(found.lastIndexOf(':') + 1);
    throw new KvciError('failed', 'kubeadm-unusable', `kubeadm ${version} asks for no image of ${name}: ${images.join(', ')}`);
  };
  return { kubernetes: version, etcd: versionOfTag(tag('etcd')), coredns: versionOfTag(tag('coredns')), pause: tag('pause') };
}
