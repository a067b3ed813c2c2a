import { KvciError } from '../core/errors.ts';
import { nearest } from '../core/names.ts';
import { centosStream10 } from './centos-stream-10.ts';
import { centosStream9 } from './centos-stream-9.ts';
import { debian13 } from './debian-13.ts';
import { fedora } from './fedora.ts';
import type { OsRelease } from './os-release.ts';
import type { Distribution } from './types.ts';

/** A new distribution is one file like these and one line here. */
const DISTRIBUTIONS: readonly Distribution[] = [debian13, centosStream9, centosStream10];

/** What `--base` may name besides an image reference. */
export const BASE_NAMES: readonly string[] = [...DISTRIBUTIONS.map(({ id }) => id), 'fedora-NN'];

/** What `--base` asks for: a distribution that kvci knows, or somebody's own image whose family has to be read from it. */
export type Base = { readonly kind: 'known'; readonly distribution: Distribution } | { readonly kind: 'image'; readonly ref: string };

/**
 * Reads `--base`. A word with `/`, `:` or `@` is an image reference; every other word must name a distribution.
 *
 * @throws KvciError `unknown-base`
 */
export function parseBase(text: string): Base {
  const distribution = findDistribution(text);
  if (distribution !== undefined) return { kind: 'known', distribution };
  if (/[/:@]/.test(text)) return { kind: 'image', ref: text };
  const suggestion = nearest(text, BASE_NAMES);
  throw new KvciError('usage', 'unknown-base', `"${text}" is neither a distribution that kvci knows nor an image reference`, {
    hint: `${suggestion === undefined ? '' : `Did you mean "${suggestion}"? `}Known: ${BASE_NAMES.join(', ')}. An image reference has a "/", ":" or "@".`,
  });
}

export function findDistribution(id: string): Distribution | undefined {
  const release = /^fedora-(\d{2})$/.exec(id)?.[1];
  return release === undefined ? DISTRIBUTIONS.find((distribution) => distribution.id === id) : fedora(release);
}

/**
 * The distribution that somebody's own image behaves like, by its os-release: the same release where kvci knows it, else the
 * newest that kvci knows of the same family.
 *
 * @throws KvciError `base-unsupported`
 */
export function distributionOf(release: OsRelease, ref: string): Distribution {
  const relative = relativeOf(release);
  if (relative === undefined) {
    throw new KvciError('usage', 'base-unsupported', `${ref} is ${release.title}, which is neither of Debian's nor of Fedora's family`, {
      hint: `Use a bootc image of such a distribution, or one of ${BASE_NAMES.join(', ')}.`,
      facts: { ref, id: release.id, like: release.like },
    });
  }
  return {
    ...relative,
    id: release.version === '' ? release.id : `${release.id}-${release.version}`,
    title: release.title,
    image: ref,
    template: relative.family === 'debian' ? 'base/debian' : relative.template,
  };
}

function relativeOf({ id, like, version }: OsRelease): Distribution | undefined {
  const [major = ''] = version.split('.');
  if (id === 'fedora') return fedora(major);
  const family = [id, ...like];
  if (family.some((word) => ['debian', 'ubuntu'].includes(word))) return debian13;
  if (family.some((word) => ['centos', 'rhel'].includes(word))) return Number(major) <= 9 ? centosStream9 : centosStream10;
  if (family.includes('fedora')) return fedora(major);
  return undefined;
}
