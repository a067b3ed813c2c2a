import { type Digest } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import { parseVersionRequest } from '../core/versions.ts';
import { debianBaseRequest } from '../distro/debian-base.ts';
import { parseBase } from '../distro/registry.ts';
import type { Distribution } from '../distro/types.ts';
import { autoOrder, choosePayload } from '../payload/choose.ts';
import type { Architecture, PayloadLock, PayloadSource, PayloadSourceName } from '../payload/types.ts';
import { resolvePackages } from '../sandbox/debian-resolve.ts';
import type { DebianPackageSet } from '../sandbox/debian-types.ts';
import { payloadKey } from './lock.ts';
import type { LockSession } from './lock-session.ts';
import { type ImageOptions, parsePayloadOption } from './options.ts';
import type { ImagePorts } from './ports.ts';

/** What an image starts from. */
export type ImageBase =
  | { readonly kind: 'debian'; readonly set: DebianPackageSet }
  | { readonly kind: 'published'; readonly ref: string; readonly digest: Digest };

/** Everything that decides an image, exactly: what was asked for, and what the lock holds for it. */
export interface ImageInputs {
  readonly options: ImageOptions;
  readonly architecture: Architecture;
  readonly distribution: Distribution;
  readonly base: ImageBase;
  readonly payload: PayloadLock;
  readonly source: PayloadSource;
}

/**
 * Takes every input from the lock, and resolves what the lock does not hold.
 *
 * @throws KvciError `unknown-base`, `lock-incomplete`, `no-payload-source`, and what resolving throws
 */
export async function resolveInputs(options: ImageOptions, lock: LockSession, ports: ImagePorts, run: RunContext): Promise<ImageInputs> {
  const architecture = options.arch ?? ports.hostArchitecture;
  const base = parseBase(options.base);
  if (base.kind === 'image') {
    throw new KvciError('usage', 'base-unsupported', `--base ${base.ref}: an image reference cannot be a base yet`);
  }
  const { distribution } = base;
  await resolveTools(lock, ports);
  const { source, payload } = await resolvePayload(options, distribution, architecture, lock, ports, run);
  return {
    options,
    architecture,
    distribution,
    payload,
    source,
    base: await resolveBase(options, distribution, architecture, payload, lock, ports, run),
  };
}

/** The tools image is no part of an image, but what makes it: the lock pins it as well. */
async function resolveTools(lock: LockSession, { tools }: ImagePorts): Promise<void> {
  const key = `tools/${tools.architecture}`;
  tools.pin(lock.updating ? undefined : lock.current.packages[key]);
  await lock.packages(key, tools.wanted, async () => {
    tools.pin(undefined);
    return (await tools.use()).set;
  });
}

async function resolveBase(
  options: ImageOptions,
  distribution: Distribution,
  architecture: Architecture,
  payload: PayloadLock,
  lock: LockSession,
  ports: ImagePorts,
  run: RunContext,
): Promise<ImageBase> {
  if (distribution.image !== undefined) {
    const ref = distribution.image;
    return { kind: 'published', ref, digest: await lock.image(ref, () => ports.resolveDigest(ref, architecture, run)) };
  }
  const request = debianBaseRequest({
    architecture,
    kernel: options.kernel,
    packages: options.packages,
    containerd: payload.versions.containerd === undefined,
  });
  const added = [...options.packages, ...(options.kernel === undefined ? [] : [options.kernel])].toSorted();
  const key = [`${distribution.id}/${architecture}`, ...added].join('+');
  const set = await lock.packages(key, request.wanted, async () => {
    await using debian = await ports.debian(run.signal);
    const mirrors = ports.debianMirrors;
    return (await resolvePackages({ ...request, ...(mirrors === undefined ? {} : { mirrors }) }, debian)).set;
  });
  return { kind: 'debian', set };
}

async function resolvePayload(
  options: ImageOptions,
  distribution: Distribution,
  architecture: Architecture,
  lock: LockSession,
  ports: ImagePorts,
  run: RunContext,
): Promise<{ readonly source: PayloadSource; readonly payload: PayloadLock }> {
  const request = parseVersionRequest(options.k8s);
  const chosen = parsePayloadOption(options.payload);
  const key = (name: PayloadSourceName): string => payloadKey(options.k8s.replace(/^v/, ''), name, architecture);
  const names = chosen.kind === 'source' ? [chosen.source] : autoOrder(distribution.defaultPayload, false);
  // What the lock holds was chosen before: no probing, no network.
  const held = lock.updating ? undefined : names.find((name) => lock.current.payloads[key(name)] !== undefined);
  const path = chosen.kind === 'source' ? chosen.path : undefined;
  const named = held ?? (chosen.kind === 'source' ? chosen.source : undefined);
  const source = named === undefined ? await automatic(names, ports, run) : await ports.payloadSource(named, path);
  return { source, payload: await lock.payload(key(source.name), () => source.resolve(request, architecture, run)) };
}

async function automatic(names: readonly PayloadSourceName[], ports: ImagePorts, run: RunContext): Promise<PayloadSource> {
  const { source, reason } = await choosePayload(names, (name) => ports.payloadSource(name, undefined));
  run.events({ type: 'problem', level: 'note', message: `payload ${reason}` });
  return source;
}
