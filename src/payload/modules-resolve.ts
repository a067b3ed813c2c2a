import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import semver from 'semver';

import { KvciError, messageOf } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import { inRange, isStable, minorOf, newestFirst, OLDEST_MINOR, type VersionRequest } from '../core/versions.ts';
import type { GoClient, ModuleRef } from './go-client.ts';
import { mainSource, type ProgramSources, readModuleFolder, writeModuleFolder } from './go-module-folder.ts';
import { imageRefs, KUBEADM_CONSTANTS, readKubeadmConstants, versionOfTag } from './kubeadm-constants.ts';
import { linesOf, type ModuleFiles, type ModulesInputs } from './modules-lock.ts';
import { type ProgramGroupName, programGroup, renderGoMod, requiredModules, type Stamp, tagArguments } from './program-groups.ts';
import { payloadRule } from './rules.ts';
import {
  kubernetesCandidates,
  kubernetesOfStaging,
  nearestVersions,
  newerPatch,
  type Refusal,
  stagingVersion,
  versionNotServed,
} from './served-versions.ts';
import type { Architecture, PayloadLock, PayloadVersions } from './types.ts';

const KUBERNETES = 'k8s.io/kubernetes';

/** How many versions of one component are tried before it is given up: lists of proxies can be long and their refusals alike. */
const MOST_TRIES = 8;

/** A program group at one version, with every module it needs downloaded and its hash recorded. */
interface LockedGroup {
  readonly version: string;
  readonly files: ModuleFiles;
  /** The Go version its modules ask for. */
  readonly go: string;
  readonly time: string;
  readonly commit: string | undefined;
}

/** All inputs that are modules. */
export type ModuleInputs = Omit<ModulesInputs, 'userland'>;

/** Chooses exact versions for a payload from what the Go module proxy serves, and locks the modules of each program group. */
export class ModulesResolver {
  readonly #go: GoClient;
  readonly #sources: ProgramSources;
  readonly #architecture: Architecture;
  readonly #run: RunContext;
  readonly #hostGo: string;

  private constructor(go: GoClient, sources: ProgramSources, architecture: Architecture, run: RunContext, hostGo: string) {
    this.#go = go;
    this.#sources = sources;
    this.#architecture = architecture;
    this.#run = run;
    this.#hostGo = hostGo;
  }

  /** @throws KvciError `version-not-served`, `offline`, `go-proxy-failed`, `command-missing` */
  static async resolve(
    go: GoClient,
    sources: ProgramSources,
    request: VersionRequest,
    architecture: Architecture,
    run: RunContext,
  ): Promise<PayloadLock & { readonly inputs: ModuleInputs }> {
    const resolver = new ModulesResolver(go, sources, architecture, run, await go.hostVersion());
    return resolver.#resolve(request);
  }

  async #resolve(request: VersionRequest): Promise<PayloadLock & { readonly inputs: ModuleInputs }> {
    const [listed, staging] = await Promise.all([
      this.#go.versions(KUBERNETES, this.#run.signal),
      this.#go.versions('k8s.io/component-base', this.#run.signal),
    ]);
    const kubernetes = await this.#kubernetes(
      request,
      listed.filter((version) => semver.gte(version, `${OLDEST_MINOR}.0`)),
    );
    const source = await this.#go.sources({ path: KUBERNETES, version: `v${kubernetes.version}` }, this.#run.signal);
    const tags = readKubeadmConstants(await readFile(join(source, KUBEADM_CONSTANTS), 'utf8'), kubernetes.version);
    const wanted = { etcd: versionOfTag(tags.etcd), coredns: versionOfTag(tags.coredns) };
    const [etcdVersions, etcdctlVersions, corednsVersions, containerdVersions] = await Promise.all(
      ['go.etcd.io/etcd/server/v3', 'go.etcd.io/etcd/etcdctl/v3', 'github.com/coredns/coredns', 'github.com/containerd/containerd/v2'].map(
        (path) => this.#go.versions(path, this.#run.signal),
      ),
    );
    const range = payloadRule(kubernetes.version)?.containerd ?? '*';
    const base: PayloadVersions = { kubernetes: kubernetes.version, etcd: wanted.etcd, coredns: wanted.coredns, pause: tags.pause };
    const [etcd, coredns, containerd] = await Promise.all([
      this.#firstServed('etcd', nearestVersions(wanted.etcd, etcdVersions ?? []), (etcd) => ({
        versions: { ...base, etcd },
        etcdctl: etcdctlVersions?.includes(etcd) === true,
      })),
      this.#firstServed('coredns', nearestVersions(wanted.coredns, corednsVersions ?? []), (coredns) => ({
        versions: { ...base, coredns },
        etcdctl: false,
      })),
      this.#firstServed(
        'containerd',
        newestFirst(containerdVersions ?? []).filter((version) => inRange(version, range)),
        (containerd) => ({
          versions: { ...base, containerd },
          etcdctl: false,
        }),
      ),
    ]);
    const versions: PayloadVersions = { ...base, etcd: etcd.version, coredns: coredns.version, containerd: containerd.version };
    const needed = [kubernetes, etcd, coredns, containerd].map((group) => group.go);
    const go = await this.#buildToolchain(needed);
    const substitutes = [
      { component: 'etcd', wanted: wanted.etcd, taken: etcd.version },
      { component: 'coredns', wanted: wanted.coredns, taken: coredns.version },
    ].filter((one) => one.wanted !== one.taken);
    const newer = newerPatch(kubernetes.version, [...listed, ...staging.map(kubernetesOfStaging)]);
    this.#noteSubstitutes(versions, substitutes);
    const inputs: ModuleInputs = {
      go,
      ...(kubernetes.commit === undefined ? {} : { commit: kubernetes.commit }),
      etcdctl: etcdctlVersions?.includes(etcd.version) === true,
      images: imageRefs(kubernetes.version, tags),
      substitutes,
      groups: {
        kubernetes: kubernetes.files,
        etcd: etcd.files,
        containerd: containerd.files,
        coredns: coredns.files,
        pause: { goMod: linesOf(renderGoMod('pause', [], { go: newestGo(needed), godebug: [], local: [] })), goSum: [] },
      },
    };
    return {
      source: 'modules',
      versions,
      created: kubernetes.time,
      ...(newer === undefined ? {} : { newerExists: newer }),
      inputs,
    };
  }

  async #kubernetes(request: VersionRequest, listed: readonly string[]): Promise<LockedGroup> {
    const refusals: Refusal[] = [];
    for (const version of kubernetesCandidates(request, listed).slice(0, MOST_TRIES)) {
      const result = await this.#tryKubernetes(version);
      if ('files' in result) return result;
      refusals.push(result);
    }
    throw versionNotServed(request, listed, refusals);
  }

  async #tryKubernetes(version: string): Promise<LockedGroup | Refusal> {
    const [answer] = await this.#go.modules([{ path: KUBERNETES, version: `v${version}` }], this.#run.signal);
    if (answer?.served !== true) return { version, reason: answer?.reason ?? 'no answer' };
    const goMod = await this.#go.goMod(answer.goMod, this.#run.signal);
    const local = new Set(goMod.local);
    const staging = goMod.require.filter((required) => local.has(required.path));
    const answers = await this.#go.modules(
      staging.map(({ path }) => ({ path, version: stagingVersion(version) })),
      this.#run.signal,
    );
    const missing = answers.filter((one) => !one.served).map((one) => one.ref.path);
    if (missing.length > 0) return { version, reason: `${missing.join(', ')} ${missing.length === 1 ? 'is' : 'are'} not served` };
    const versions: PayloadVersions = { kubernetes: version, etcd: '', coredns: '', pause: '' };
    try {
      return await this.#lockGroup('kubernetes', version, { versions, etcdctl: false });
    } catch (error) {
      return refusalOf(error, version);
    }
  }

  /** The first of the versions whose modules are all served. */
  async #firstServed(
    group: ProgramGroupName,
    candidates: readonly string[],
    stampOf: (version: string) => Pick<Stamp, 'versions' | 'etcdctl'>,
  ): Promise<LockedGroup> {
    const refusals: Refusal[] = [];
    for (const version of candidates.slice(0, MOST_TRIES)) {
      try {
        return await this.#lockGroup(group, version, stampOf(version));
      } catch (error) {
        refusals.push(refusalOf(error, version));
      }
    }
    const why = refusals.map(({ version, reason }) => `\n  ${version}: ${reason}`).join('');
    throw new KvciError('notFoundOrExists', 'version-not-served', `the Go module proxy serves no usable version of ${group}${why}`, {
      hint: 'See what "go env GOPROXY" names.',
      facts: { group, refusals },
    });
  }

  /** Lets Go load all packages of the group's programs in a folder of its own: it downloads what they need and writes go.sum. */
  async #lockGroup(name: ProgramGroupName, version: string, chosen: Pick<Stamp, 'versions' | 'etcdctl'>): Promise<LockedGroup> {
    const { signal } = this.#run;
    const required = requiredModules(name, chosen);
    const answers = await this.#go.modules(required, signal);
    const refused = answers.find((answer) => !answer.served);
    if (refused?.served === false) throw notServed(refused.ref, refused.reason);
    const main = answers.at(-1);
    if (main?.served !== true) throw new KvciError('bug', 'no-module', `${name} requires no module`);
    const upstream = await this.#go.goMod(main.goMod, signal);
    const folder = await mkdtemp(join(tmpdir(), 'kvci-modules-'));
    try {
      const files = { goMod: linesOf(renderGoMod(name, required, upstream)), goSum: [] };
      await writeModuleFolder(folder, files, await mainSource(name, chosen.versions, this.#sources, this.#go, signal));
      const toolchain = await this.#loadToolchain(upstream.go);
      for (const build of programGroup(name, { ...chosen, created: '', commit: undefined }).builds) {
        await this.#go.run(
          ['list', '-deps', ...tagArguments(build.tags), ...Object.values(build.programs)],
          { toolchain, architecture: this.#architecture, modules: 'mod' },
          { cwd: folder, signal },
        );
      }
      return { version, files: await readModuleFolder(folder), go: upstream.go, time: main.time, commit: main.commit };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** What the payload is built with: the host's Go where it is of the minor that is needed, else that minor's newest patch. */
  async #buildToolchain(needed: readonly string[]): Promise<string> {
    const least = newestGo(needed);
    return this.#hostIsAtLeast(least) && minorOf(this.#hostGo) === minorOf(least) ? this.#hostGo : this.#newestPatch(least);
  }

  /** Any Go that understands the modules: loading packages gives the same go.sum. */
  async #loadToolchain(needed: string): Promise<string> {
    const least = newestGo([needed]);
    return this.#hostIsAtLeast(least) ? this.#hostGo : this.#newestPatch(least);
  }

  #hostIsAtLeast(version: string): boolean {
    return semver.valid(this.#hostGo) !== null && semver.gte(this.#hostGo, version);
  }

  async #newestPatch(least: string): Promise<string> {
    const served = await this.#go.versions('go', this.#run.signal);
    return served.find((version) => isStable(version) && minorOf(version) === minorOf(least) && semver.gte(version, least)) ?? least;
  }

  #noteSubstitutes(versions: PayloadVersions, substitutes: ModulesInputs['substitutes']): void {
    for (const { component, wanted, taken } of substitutes) {
      this.#run.events({
        type: 'problem',
        level: 'note',
        message: `Kubernetes ${versions.kubernetes} belongs with ${component} ${wanted}, which is not served as a module; ${taken} is the nearest that is.`,
      });
    }
  }
}

/** The newest of Go versions as go.mod files write them (`1.22`, `1.26.0`), whole: `1.26.0`. */
export function newestGo(versions: readonly string[]): string {
  const [newest] = versions.flatMap((version) => semver.coerce(version)?.version ?? []).toSorted(semver.rcompare);
  if (newest !== undefined) return newest;
  throw new KvciError('bug', 'no-go-version', `none of ${versions.join(', ')} is a Go version`);
}

function notServed(ref: ModuleRef, reason: string): KvciError {
  return new KvciError('notFoundOrExists', 'not-served', `${ref.path}@${ref.version} is not served: ${reason}`);
}

/** A refusal for what another version may have; every other failure goes on. */
function refusalOf(error: unknown, version: string): Refusal {
  if (error instanceof KvciError && error.code === 'not-served') return { version, reason: messageOf(error) };
  throw error;
}
