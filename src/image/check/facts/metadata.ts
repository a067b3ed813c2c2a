import { BOOTC_LABEL, KVCI_LABELS } from '../../labels.ts';
import type { Fact } from '../types.ts';

const bootc: Fact = {
  id: 'bootc-label',
  title: 'the image says that it is bootable (containers.bootc=1)',
  check: ({ labels }) =>
    labels[BOOTC_LABEL] === '1' ? [] : [{ message: `the label ${BOOTC_LABEL} is ${labels[BOOTC_LABEL] ?? 'missing'}` }],
};

const WANTED = [
  'org.opencontainers.image.created',
  'org.opencontainers.image.title',
  'org.opencontainers.image.version',
  'org.opencontainers.image.source',
  'org.opencontainers.image.revision',
  KVCI_LABELS.kubernetes,
  KVCI_LABELS.etcd,
  KVCI_LABELS.coredns,
  KVCI_LABELS.pause,
  KVCI_LABELS.payload,
  KVCI_LABELS.base,
  KVCI_LABELS.inputs,
] as const;

const labels: Fact = {
  id: 'labels',
  title: 'labels say what the image is made of',
  check: (image) => WANTED.filter((name) => (image.labels[name] ?? '') === '').map((name) => ({ message: `the label ${name} is missing` })),
};

export const SBOM_PATH = 'usr/share/kvci/sbom.cdx.json';
export const PROVENANCE_PATH = 'usr/share/kvci/provenance.json';

const provenance: Fact = {
  id: 'provenance',
  title: 'the bill of materials and the record of inputs are in the image',
  reads: [/^usr\/share\/kvci\/(sbom\.cdx|provenance)\.json$/],
  *check(image) {
    for (const [path, key, value] of [
      [SBOM_PATH, 'bomFormat', 'CycloneDX'],
      [PROVENANCE_PATH, 'predicateType', 'https://slsa.dev/provenance/v1'],
    ] as const) {
      const text = image.text(path);
      if (text === undefined) yield { message: 'is missing', path: `/${path}` };
      else if (fieldOf(text, key) !== value) yield { message: `is not JSON with ${key} ${value}`, path: `/${path}` };
    }
  },
};

function fieldOf(text: string, key: string): unknown {
  try {
    const data: unknown = JSON.parse(text);
    return data !== null && typeof data === 'object' ? (data as Readonly<Record<string, unknown>>)[key] : undefined;
  } catch {
    return undefined;
  }
}

export const METADATA_FACTS: readonly Fact[] = [bootc, labels, provenance];
