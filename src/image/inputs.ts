import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import { parseVersionRequest } from '../core/versions.ts';
import { debianBaseRequest } from '../distro/debian-base.ts';
import { parseOsRelease } from '../distro/os-release.ts';
import { type Base, distributionOf, parseBase } from '../distro/registry.ts';
import type { Distribution } from '../distro/types.ts';
import { autoOrder, choosePayload } from '../payload/choose.ts';
import type { Architecture, PayloadLock, PayloadSource, PayloadSourceName } from '../payload/types.ts';
import { resolvePackages } from '../sandbox/debian-resolve.ts';
import type { DebianPackageSet } from '../sandbox/debian-types.ts';
import { payloadKey } from './lock.ts';
import type { LockSession } from './lock-session.ts';
import { type ImageOptions, parsePayloadOption } from './options.ts';
import type { ImagePorts } from './ports.ts';
import { type PublishedBase, readOsRelease, resolveBase } from './published-base.ts';

/** What an image starts from. */
export type ImageBase = { readonly kind: 'debian'; readonly set: DebianPackageSet } | PublishedBase;

/** Everything that decides an image, exactly: what was asked for, and what the lock holds for it. */
export interface ImageInputs {
  readonly options: ImageOptions;
  readonly architecture: Architecture;
  readonly distribution: Distribution;
  readonly base: ImageBase;
  /** The base is somebody's own image (`--base REF`). */
  readonly ownBase: boolean;
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
  pinTools(lock, ports);
  const published = await resolvePublished(base, lock, ports, run);
  const distribution = base.kind === 'known' ? base.distribution : await ownDistribution(published, architecture, ports, run);
  // A version that is not served is told before the tools image is made, which takes a minute.
  const { source, payload } = await resolvePayload(options, distribution, architecture, lock, ports, run);
  await lockTools(lock, ports);
  noteOlderPatch(options, payload, run);
  return {
    options,
    architecture,
    distribution,
    payload,
    source,
    ownBase: base.kind === 'image',
    base: published ?? (await resolveDebian(options, distribution, architecture, payload, lock, ports, run)),
  };
}

const toolsKey = ({ tools }: ImagePorts): string => `tools/${tools.architecture}`;

/** Whoever uses the tools image first makes it of what the lock holds. */
function pinTools(lock: LockSession, ports: ImagePorts): void {
  ports.tools.pin(lock.heldPackages(toolsKey(ports), ports.tools.wanted));
}

/** The tools image is no part of an image, but what makes it: the lock pins it as well. */
async function lockTools(lock: LockSession, ports: ImagePorts): Promise<void> {
  const { tools } = ports;
  const { published } = tools;
  if (published !== undefined) {
    await lock.image(published.ref, () => Promise.resolve(published.digest));
    return;
  }
  await lock.packages(toolsKey(ports), tools.wanted, async () => {
    const { set } = await tools.use();
    if (set === undefined) throw new KvciError('bug', 'no-packages', 'a tools image that kvci made has packages');
    return set;
  });
}

/** The published image that a base is, by the digest that the lock holds or the registry serves now. */
async function resolvePublished(base: Base, lock: LockSession, ports: ImagePorts, run: RunContext): Promise<PublishedBase | undefined> {
  const ref = base.kind === 'image' ? base.ref : base.distribution.image;
  if (ref === undefined) return undefined;
  const digest = await lock.image(ref, () => resolveBase(ref, ports, run.signal));
  return { kind: 'published', ref, digest };
}

/** Somebody's own image tells what it is in its os-release. */
async function ownDistribution(
  base: PublishedBase | undefined,
  architecture: Architecture,
  ports: ImagePorts,
  run: RunContext,
): Promise<Distribution> {
  if (base === undefined) throw new KvciError('bug', 'no-base', 'an image as a base has a reference');
  return distributionOf(parseOsRelease(await readOsRelease(base, architecture, ports, run)), base.ref);
}

async function resolveDebian(
  options: ImageOptions,
  distribution: Distribution,
  architecture: Architecture,
  payload: PayloadLock,
  lock: LockSession,
  ports: ImagePorts,
  run: RunContext,
): Promise<ImageBase> {
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
  if (named === undefined) lock.refuseIfLocked(`payload ${options.k8s} of any source`);
  const source =
    named === undefined ? await automatic(names, distribution, ports, run) : await ports.payloadSource(named, path, distribution);
  return { source, payload: await lock.payload(key(source.name), () => source.resolve(request, architecture, run)) };
}

/** Whoever asked for an exact version knows what they asked for. */
function noteOlderPatch({ k8s }: ImageOptions, { versions, source, newerExists }: PayloadLock, run: RunContext): void {
  if (newerExists === undefined || parseVersionRequest(k8s).kind === 'exact') return;
  run.events({
    type: 'problem',
    level: 'note',
    message: `Kubernetes ${versions.kubernetes} is the newest patch that ${source} serves whole; ${newerExists} exists`,
  });
}

async function automatic(
  names: readonly PayloadSourceName[],
  distribution: Distribution,
  ports: ImagePorts,
  run: RunContext,
): Promise<PayloadSource> {
  const { source, reason } = await choosePayload(names, (name) => ports.payloadSource(name, undefined, distribution));
  run.events({ type: 'problem', level: 'note', message: `payload ${reason}` });
  return source;
}
