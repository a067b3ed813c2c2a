import { type Digest, isDigest } from '../core/digest.ts';
import { KvciError, messageOf } from '../core/errors.ts';
import { parseReference } from '../oci/reference.ts';

/** What `tools` in kvci.yaml and KVCI_TOOLS ask for. */
export type ToolsChoice =
  | { readonly kind: 'auto' }
  /** Made of Debian packages with the host's mmdebstrap. */
  | { readonly kind: 'packages' }
  /** Built by a container engine of the host. */
  | { readonly kind: 'engine' }
  /** Pulled from a registry. */
  | { readonly kind: 'image'; readonly ref: string; readonly digest: Digest };

/** @throws KvciError `bad-tools` */
export function parseToolsChoice(text: string): ToolsChoice {
  if (text === 'auto' || text === 'packages' || text === 'engine') return { kind: text };
  const fail = (problem: string): KvciError =>
    new KvciError('usage', 'bad-tools', `"${text}" is no way to come by the tools image: ${problem}`, {
      hint: 'Choose auto, packages (Debian packages, with mmdebstrap), engine (a build by Docker or Podman), or an image with its digest: REF@sha256:….',
    });
  let digest: string | undefined;
  try {
    digest = parseReference(text).digest;
  } catch (error) {
    throw fail(messageOf(error));
  }
  if (digest === undefined || !isDigest(digest)) throw fail('an image has to be named by its digest');
  return { kind: 'image', ref: text, digest };
}

/** What the choice looks at; each is asked only when it matters. */
export interface ToolsHost {
  /** Its version, undefined when it is not installed. */
  mmdebstrap(): Promise<string | undefined>;
  /** The engine of the host for people, as `docker 28.1.1 (DOCKER_HOST)`; undefined when none runs. */
  engine(): Promise<string | undefined>;
}

export interface ToolsWay {
  readonly way: 'image' | 'packages' | 'engine';
  /** One line for people: what is done, and why not something else. */
  readonly line: string;
}

/**
 * Which way the tools image comes. A way that somebody named is taken or fails. `auto` takes mmdebstrap before an engine: it needs
 * no image registry, no daemon and no network while it installs, and gives the same tree byte by byte; the engine is for hosts
 * that do not have it. A published image is taken only when it is named: kvci publishes none yet.
 *
 * @throws KvciError `no-tools-maker` when none can be taken, and what looking for an engine throws
 */
export async function chooseToolsWay(choice: ToolsChoice, host: ToolsHost): Promise<ToolsWay> {
  if (choice.kind === 'image') return { way: 'image', line: `pulled as ${choice.ref}` };
  const version = choice.kind === 'engine' ? undefined : await host.mmdebstrap();
  if (version !== undefined) return { way: 'packages', line: `made of Debian packages with ${version}` };
  const engine = choice.kind === 'packages' ? undefined : await host.engine();
  if (engine !== undefined) {
    return { way: 'engine', line: `built by ${engine}${choice.kind === 'auto' ? ': mmdebstrap is not installed' : ''}` };
  }
  const missing = { auto: 'mmdebstrap is not installed and no container engine runs', packages: 'mmdebstrap is not installed' } as const;
  throw new KvciError(
    'hostNotReady',
    'no-tools-maker',
    `the tools image cannot be made: ${choice.kind === 'engine' ? 'no container engine runs' : missing[choice.kind]}`,
    { hint: choice.kind === 'engine' ? 'Start Docker or Podman.' : 'As root, once: kvci doctor --fix', facts: { way: choice.kind } },
  );
}
