import { hexOf, type Digest, type Json } from '../core/digest.ts';
import type { PayloadComponent, PayloadLock } from '../payload/types.ts';
import { systemComponents, type SystemPackages } from './sbom.ts';
import { SOURCE_URL } from './labels.ts';

const BUILD_TYPE = `${SOURCE_URL}/image-build/v1`;

export interface ProvenanceInput {
  readonly kvciVersion: string;
  /** Commit of kvci, where it is known; absent in the record inside the image, which a copy of kvci makes the same. */
  readonly revision?: string | undefined;
  /** The image by its name and digest; absent in the record inside the image, whose digest depends on the record. */
  readonly subject?: { readonly name: string; readonly digest: Digest };
  /** What the user asked for: the options of the build. */
  readonly options: Json;
  readonly base: { readonly id: string; readonly name?: string; readonly digest?: Digest };
  readonly system: SystemPackages;
  readonly payload: PayloadLock;
  readonly components: readonly PayloadComponent[];
  /** Rendered Containerfile and everything in its build context. */
  readonly context: readonly { readonly path: string; readonly digest: Digest }[];
}

/**
 * An in-toto statement with a SLSA provenance v1 predicate: every input of an image with its digest, and nothing of the run (no
 * times, no host), so that the same inputs give the same record.
 *
 * https://slsa.dev/spec/v1.0/provenance
 */
export function provenanceJson(input: ProvenanceInput): string {
  const { base, payload, subject } = input;
  const statement: Json = {
    _type: 'https://in-toto.io/Statement/v1',
    subject: subject === undefined ? [] : [{ name: subject.name, digest: { sha256: hexOf(subject.digest) } }],
    predicateType: 'https://slsa.dev/provenance/v1',
    predicate: {
      buildDefinition: {
        buildType: BUILD_TYPE,
        externalParameters: { options: input.options },
        internalParameters: { payload: { source: payload.source, versions: { ...payload.versions }, created: payload.created } },
        resolvedDependencies: [
          ...(base.digest === undefined ? [] : [dependency({ name: base.name ?? base.id, digest: base.digest })]),
          ...sorted([...systemComponents(input.system), ...input.components]),
          ...input.context.map(({ path, digest }) => dependency({ name: `context/${path}`, digest })),
        ],
      },
      runDetails: {
        builder: {
          id: SOURCE_URL,
          version: { kvci: input.kvciVersion, ...(input.revision === undefined ? {} : { revision: input.revision }) },
        },
      },
    },
  };
  return `${JSON.stringify(statement, undefined, 1)}\n`;
}

function sorted(components: readonly PayloadComponent[]): Json[] {
  return components
    .toSorted((a, b) => (a.purl < b.purl ? -1 : a.purl > b.purl ? 1 : 0))
    .map(({ purl, name, digest }) => dependency({ uri: purl, name, digest }));
}

/** https://github.com/in-toto/attestation/blob/main/spec/v1/resource_descriptor.md */
function dependency({ uri, name, digest }: { readonly uri?: string; readonly name: string; readonly digest?: Digest | undefined }): Json {
  return { ...(uri === undefined ? {} : { uri }), name, ...(digest === undefined ? {} : { digest: { sha256: hexOf(digest) } }) };
}
