import { z } from 'zod';

import type { Progress, ProgressReader } from './types.ts';

/** A stage that begins, as osbuild's log shows it: `org.osbuild.mkfs.ext4: 2f9d... {`. */
const STAGE = /^(org\.osbuild\.[\w.-]+): [0-9a-f]{64}(?: |$)/;

/** The last stage that a log tells of; undefined when none has begun. */
export function lastStage(log: string): string | undefined {
  return log
    .split('\n')
    .flatMap((line) => STAGE.exec(line)?.[1] ?? [])
    .at(-1);
}

/**
 * Counts the stages that a log tells of.
 *
 * @param total how many there will be, asked at each stage until it is known
 */
export function logProgress(total: () => number | undefined): ProgressReader['line'] {
  let begun = 0;
  let known: number | undefined;
  return (line): Progress | undefined => {
    const stage = STAGE.exec(line)?.[1];
    if (stage === undefined) return undefined;
    known ??= total();
    begun += 1;
    return { done: begun - 1, total: known, message: stage };
  };
}

const manifestSchema = z.object({
  pipelines: z.array(z.looseObject({ name: z.string(), stages: z.array(z.unknown()).default([]) })),
});

/**
 * How many stages osbuild goes through for one of a manifest's exports: those of its pipeline and of all that this needs. A
 * manifest has the pipelines of all exports, and names one from another as `name:image`.
 */
export function stagesOf(manifest: string, wanted: string): number | undefined {
  const parsed = manifestSchema.safeParse(jsonOf(manifest));
  if (!parsed.success) return undefined;
  const pipelines = new Map(parsed.data.pipelines.map((pipeline) => [pipeline.name, pipeline]));
  const needed = new Set<string>();
  const visit = (name: string): void => {
    const pipeline = pipelines.get(name);
    if (pipeline === undefined || needed.has(name)) return;
    needed.add(name);
    for (const [, other] of JSON.stringify(pipeline).matchAll(/"name:([^"]+)"/g)) visit(other ?? '');
  };
  visit(wanted);
  const stages = [...needed].reduce((sum, name) => sum + (pipelines.get(name)?.stages.length ?? 0), 0);
  return stages === 0 ? undefined : stages;
}

/** Undefined for a text that is not (yet) JSON. */
function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
