import { renderTemplate, type TemplateSources } from '../core/template.ts';
import type { NodeFile, NodeSources } from './sources.ts';
import { nodeView, type NodeRequest, type NodeView } from './view.ts';

export interface RenderedNode {
  readonly containerfile: string;
  /** Files of the image by absolute path, rendered; sorted by path. */
  readonly files: readonly NodeFile[];
  readonly view: NodeView;
}

/**
 * The Containerfile of a node and the files that it copies into the image besides the payload.
 *
 * @throws KvciError as `nodeView`, `template-missing`, `template-unknown-name`
 */
export function renderNode(request: NodeRequest, sources: NodeSources): RenderedNode {
  const view = nodeView(request);
  const base = sources.containerfiles.get(request.distribution.template) ?? '';
  const containerfile = renderTemplate(new Map([...sources.containerfiles, ['base', base]]), 'node', view);
  const files = nodeFolders(request).flatMap((folder) => filesOf(folder, sources, view));
  return { containerfile, files: files.toSorted(byPath), view };
}

/** The folders of templates/node that make up this node; each mirrors the root of the image. */
function nodeFolders({ distribution, versions, source }: NodeRequest): readonly string[] {
  const { family, cri, network } = distribution;
  return [
    'common',
    ...(source === 'packages' ? [] : ['kubelet']),
    // The distribution's containerd brings its own unit.
    ...(cri === 'containerd' && versions.containerd !== undefined ? ['containerd-unit'] : []),
    cri,
    // No module of it is served; all other sources bring crictl.
    ...(source === 'modules' && cri === 'containerd' ? ['crictl'] : []),
    network,
    ...(family === 'debian' ? ['debian-node'] : []),
  ];
}

function filesOf(folder: string, sources: NodeSources, view: NodeView): NodeFile[] {
  return [...sources.node].flatMap(([name, text]) => {
    if (!name.startsWith(`${folder}/`)) return [];
    const path = name.slice(folder.length).replace(/\.hbs$/, '');
    const content = name.endsWith('.hbs') ? renderTemplate(new Map([[name, text]]) satisfies TemplateSources, name, view) : text;
    return [{ path, mode: fileMode(path), text: content }];
  });
}

/** Modes follow from where a file lies, not from the checkout, whose modes depend on the umask. */
function fileMode(path: string): number {
  if (path.endsWith('.nmconnection')) return 0o600;
  if (path.startsWith('/usr/libexec/') || path.startsWith('/usr/bin/') || path.endsWith('.sh')) return 0o755;
  return 0o644;
}

function byPath(a: NodeFile, b: NodeFile): number {
  return a.path < b.path ? -1 : 1;
}
