import { z } from 'zod';

import { answerTo, file, linesOf, shown } from '../ask.ts';
import { jsonAnswer } from '../json-answer.ts';
import type { Answer, Look, Question, StateFact } from '../types.ts';

const LIST = file('/usr/lib/kvci/images.list');

/** containerd's own client where there is containerd; CRI-O's packages bring crictl. */
const HAVE: Question = {
  name: 'images',
  script: `if command -v ctr >/dev/null; then ctr --namespace k8s.io images ls; else crictl images --output json; fi`,
};

const CRI: Question = { name: 'cri', script: `if command -v ctr >/dev/null; then ctr plugins ls; else crictl info --output json; fi` };

const crictlImages = z.object({
  images: z.array(z.object({ repoTags: z.array(z.string()).default([]), repoDigests: z.array(z.string()).default([]) })),
});

/**
 * Digests of the images that a container runtime has, by reference: the table of `ctr images ls` or the JSON of `crictl images`.
 * Undefined for JSON of another form.
 */
export function parseImages(text: string): ReadonlyMap<string, readonly string[]> | undefined {
  if (text.trimStart().startsWith('{')) {
    const listing = jsonAnswer(text, crictlImages);
    if (listing === undefined) return undefined;
    return new Map(
      listing.images.flatMap(({ repoTags, repoDigests }) =>
        repoTags.map((tag) => [tag, repoDigests.map((name) => name.replace(/^.*@/, ''))]),
      ),
    );
  }
  const rows = linesOf({ text }).map((line) => line.split(/\s+/));
  return new Map(rows.flatMap(([ref = '', , digest = '']) => (digest.startsWith('sha256:') ? [[ref, [digest]]] : [])));
}

/** References and digests that the image lists. */
function listed(look: Look): readonly (readonly [string, string])[] {
  return linesOf(answerTo(look, LIST)).map((line) => {
    const [ref = '', digest = ''] = line.split(' ');
    return [ref, digest] as const;
  });
}

const images: StateFact = {
  id: 'images',
  title: 'all control-plane images are in the container runtime, by digest',
  on: ['container', 'machine'],
  when: 'each-boot',
  asks: () => [LIST, HAVE],
  *check(look, expected) {
    const wanted = [...listed(look), ...Object.entries(expected.images)];
    if (wanted.length === 0)
      yield { expected: 'a list of control-plane images', seen: shown(answerTo(look, LIST)), file: '/usr/lib/kvci/images.list' };
    const answer = answerTo(look, HAVE);
    const have = answer.exitCode === 0 ? parseImages(answer.text) : undefined;
    if (have === undefined) {
      yield { expected: 'the container runtime lists its images', seen: shown(answer), file: '/usr/lib/systemd/system' };
      return;
    }
    for (const [ref, digest] of wanted) {
      const found = have.get(ref) ?? [];
      if (!found.includes(digest))
        yield {
          expected: `${ref} with ${digest}`,
          seen: found.length === 0 ? 'it is not there' : found.join(', '),
          file: '/usr/lib/kvci/images',
        };
    }
  },
};

const crictlInfo = z.object({ status: z.object({ conditions: z.array(z.object({ type: z.string(), status: z.boolean() })) }) });

/** Why a container runtime does not serve the CRI; undefined when it does. The network is not ready before a cluster brings one. */
export function criProblem({ text, exitCode }: Answer): string | undefined {
  if (exitCode !== 0) return shown({ text, exitCode });
  if (text.trimStart().startsWith('{')) {
    const info = jsonAnswer(text, crictlInfo);
    if (info === undefined) return shown({ text, exitCode });
    return info.status.conditions.some(({ type, status }) => type === 'RuntimeReady' && status) ? undefined : 'the runtime is not ready';
  }
  const plugins = linesOf({ text })
    .map((line) => line.trim().split(/\s+/))
    .filter(([type, id]) => id === 'cri' || type === 'io.containerd.cri.v1');
  if (plugins.length === 0) return 'containerd has no CRI plugin';
  return plugins.find((columns) => columns.at(-1) !== 'ok')?.join(' ');
}

const cri: StateFact = {
  id: 'cri',
  title: 'the container runtime serves the CRI',
  on: ['container', 'machine'],
  when: 'each-boot',
  asks: () => [CRI],
  *check(look) {
    const problem = criProblem(answerTo(look, CRI));
    if (problem !== undefined)
      yield { expected: 'the CRI answers', seen: problem, file: '/etc/containerd/config.toml or /etc/crio/crio.conf.d' };
  },
};

export const RUNTIME_FACTS: readonly StateFact[] = [cri, images];
