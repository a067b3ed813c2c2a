import { randomBytes } from 'node:crypto';

import { KvciError } from '../../core/errors.ts';
import type { JobBind, JobOutcome, JobRequest } from '../../host/engine/jobs.ts';
import { ConverterRefusal } from '../types.ts';
import { parseFlags } from './help.ts';
import { parseSurroundings, type Surroundings, SURROUNDINGS_SCRIPT } from './surroundings.ts';
import { type ConverterEngine, type ConverterProbe, OUTPUT, STORAGE } from './types.ts';

/** What a converter's containers have in common (contract D2, "Minimal rootful call"). */
export function converterJob(engine: ConverterEngine, image: string, binds: readonly JobBind[]): Omit<JobRequest, 'command'> {
  return {
    name: `kvci-convert-${randomBytes(6).toString('hex')}`,
    image,
    labels: { 'io.kvci.converter': '' },
    privileged: true,
    security: ['label=type:unconfined_t'],
    binds,
    network: engine.network,
  };
}

/** The folders that a converter works with. @param storage the engine's @param output as the engine's host sees it */
export function workBinds(storage: string, output: string): readonly JobBind[] {
  return [
    { host: output, inside: OUTPUT, writable: true },
    { host: storage, inside: STORAGE, writable: true },
  ];
}

/** Asks a converter for its version and its flags. @throws ConverterRefusal `converter-probe-failed` */
export async function probeConverter(engine: ConverterEngine, image: string, signal: AbortSignal): Promise<ConverterProbe> {
  const ask = async (...command: readonly string[]): Promise<string> => {
    const outcome = await run(engine, { ...converterJob(engine, image, []), privileged: false, command }, signal);
    return `${outcome.stdout}\n${outcome.stderr}`;
  };
  const version = await ask('version');
  // Both show the flags of "build" where that is asked for help; the first help tells whether there is such a command.
  const flags = parseFlags([await ask('--help'), await ask('build', '--help')].join('\n'));
  return {
    version: version
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== ''),
    flags,
  };
}

/** Looks around where a conversion would run. @throws KvciError `converter-probe-failed` */
export async function probeSurroundings(
  engine: ConverterEngine,
  image: string,
  binds: readonly JobBind[],
  signal: AbortSignal,
): Promise<Surroundings> {
  const job = { ...converterJob(engine, image, binds), entrypoint: ['/bin/sh', '-c'] as const, command: [SURROUNDINGS_SCRIPT] };
  const outcome = await run(engine, job, signal);
  return parseSurroundings(`${outcome.stdout}${outcome.stderr}`);
}

async function run(engine: ConverterEngine, job: JobRequest, signal: AbortSignal): Promise<JobOutcome> {
  const failed = (what: string, cause?: unknown): ConverterRefusal =>
    new ConverterRefusal(
      new KvciError('failed', 'converter-probe-failed', `${job.image} cannot be asked what it is: ${what}`, {
        hint: 'Is it a converter? Look at its published names in "kvci disk build --help".',
        cause,
      }),
    );
  let outcome: JobOutcome;
  try {
    outcome = await engine.jobs.run(job, signal);
  } catch (error) {
    if (signal.aborted || !(error instanceof KvciError) || error.code !== 'engine-request-failed') throw error;
    throw failed(error.message, error);
  }
  if (outcome.exitCode === 0) return outcome;
  const last = `${outcome.stdout}\n${outcome.stderr}`.trim().split('\n').at(-1) ?? '';
  throw failed(
    `"${[...(job.entrypoint ?? []), ...job.command].slice(0, 2).join(' ').trim()}" ended with exit code ${outcome.exitCode}: ${last}`,
  );
}
