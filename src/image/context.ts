import { type Digest, sha256 } from '../core/digest.ts';
import { KvciError } from '../core/errors.ts';
import type { PayloadFile } from '../payload/types.ts';
import type { RenderedNode } from './render.ts';
import type { NodeSources } from './sources.ts';
import type { NamedRepository, NodeRequest } from './view.ts';

/** One file of a build context: all that decides its entry in the tar, which has fixed times and owners. */
export interface ContextFile {
  /** Relative path in the context. */
  readonly path: string;
  readonly mode: number;
  readonly digest: Digest;
  readonly size: number;
  readonly content: { readonly kind: 'text'; readonly text: string } | { readonly kind: 'host'; readonly path: string };
}

/** A file of the host that goes into the context; digest and size are the caller's to have read. */
export interface HostFile {
  readonly host: string;
  readonly mode: number;
  readonly digest: Digest;
  readonly size: number;
}

export interface ContextInputs {
  readonly request: NodeRequest;
  readonly rendered: RenderedNode;
  readonly sources: NodeSources;
  readonly payloadFiles: readonly PayloadFile[];
  /** Files of the payload's OCI layout, by path relative to it. */
  readonly layout: ReadonlyMap<string, HostFile>;
  /** In the order of `request.extraFiles`. */
  readonly extraFiles: readonly HostFile[];
  /** SBOM and provenance by file name. */
  readonly documents: ReadonlyMap<string, string>;
}

export const CONTAINERFILE = 'Containerfile';

/** The folder of the image that documents are copied to. */
export const DOCUMENTS = 'usr/share/kvci';

/** Everything that a build gets, sorted by path. */
export function contextFiles(inputs: ContextInputs): readonly ContextFile[] {
  const { request, rendered } = inputs;
  return [
    textFile(CONTAINERFILE, rendered.containerfile),
    ...rendered.files.map(({ path, mode, text }) => textFile(`node${path}`, text, mode)),
    ...inputs.payloadFiles.map(payloadFile),
    ...[...inputs.layout].map(([path, file]) => hostFile(`images/${path}`, { ...file, mode: 0o644 })),
    ...request.repositories.flatMap((repository) => repositoryFiles(request.distribution.family, repository)),
    ...(rendered.view.layout ? layoutFiles(inputs.sources) : []),
    ...inputs.extraFiles.map((file, index) => hostFile(`files/${index}`, file)),
    ...[...inputs.documents].map(([name, text]) => textFile(`documents/${name}`, text)),
  ].toSorted((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

function payloadFile({ path, source, mode, digest, size }: PayloadFile): ContextFile {
  // The Containerfile copies payload/usr/ to /usr/ and nothing else.
  if (!path.startsWith('/usr/')) throw new KvciError('bug', 'payload-path', `the payload has a file outside /usr: ${path}`);
  return hostFile(`payload${path}`, { host: source, mode, digest, size });
}

/** The script that lays out a Debian of somebody's own, and what it copies. */
function layoutFiles(sources: NodeSources): ContextFile[] {
  return [...sources.node]
    .filter(([name]) => name.startsWith('debian/'))
    .map(([name, text]) => textFile(`layout/${name.slice('debian/'.length)}`, text, name.endsWith('.sh') ? 0o755 : 0o644));
}

function repositoryFiles(family: 'debian' | 'rpm', { name, baseUrl, key }: NamedRepository): ContextFile[] {
  const stem = `kvci-${name}`;
  if (family === 'debian') {
    const source = `Types: deb\nURIs: ${baseUrl}\nSuites: /\nSigned-By: /etc/apt/trusted.gpg.d/${stem}.asc\n`;
    return [
      textFile(`repositories/apt/sources.list.d/${stem}.sources`, source),
      textFile(`repositories/apt/trusted.gpg.d/${stem}.asc`, key),
    ];
  }
  const repo = [
    `[${stem}]`,
    `name=${stem}`,
    `baseurl=${baseUrl}`,
    'enabled=1',
    'gpgcheck=1',
    'repo_gpgcheck=1',
    `gpgkey=file:///etc/pki/rpm-gpg/${stem}.asc`,
    '',
  ].join('\n');
  return [textFile(`repositories/dnf/${stem}.repo`, repo), textFile(`repositories/keys/${stem}.asc`, key)];
}

function textFile(path: string, text: string, mode = 0o644): ContextFile {
  return { path, mode, digest: sha256(text), size: Buffer.byteLength(text), content: { kind: 'text', text } };
}

function hostFile(path: string, { host, mode, digest, size }: HostFile): ContextFile {
  return { path, mode, digest, size, content: { kind: 'host', path: host } };
}
