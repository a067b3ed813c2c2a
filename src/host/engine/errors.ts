import { hasErrno, KvciError, messageOf } from '../../core/errors.ts';
import { portIsTaken } from '../free-port.ts';
import { isUntrusted } from '../untrusted.ts';
import type { StreamOutcome } from './build-stream.ts';
import { type EngineAddress, showAddress } from './endpoint.ts';

/** An instruction of many commands is a page long; an error's first line is not. The whole is in the error's facts. */
const SHOWN_INSTRUCTION = 160;

/** What tar says where a part still fits, too. */
const DISK_FULL = /no space left on device|disk quota exceeded|enough free space|ENOSPC|wrote only \d+ of \d+ bytes/i;

const DISK_FULL_HINT =
  'Free some space where the engine keeps its images; "kvci prune" and "kvci cache prune --keep 5G" remove what kvci keeps itself.';

const LOST_CODES = [
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'EPIPE',
  'ENOENT',
  'ENOTCONN',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ERR_STREAM_PREMATURE_CLOSE',
] as const;

/** A refusal by the engine's HTTP API, free of the library's own wording. */
export interface EngineRefusal {
  readonly status: number;
  readonly message: string;
}

/** True when a request failed because nobody answers at the engine's address any more. */
export function isConnectionLost(error: unknown): boolean {
  return hasErrno(error, ...LOST_CODES);
}

/** The error of a build whose stream has ended; undefined for a build that succeeded. */
export function buildError(outcome: StreamOutcome, engine: string): KvciError | undefined {
  if (outcome.failure !== undefined) return buildFailed(outcome.failure, outcome);
  if (!outcome.built) return engineLost(engine, outcome);
  return undefined;
}

/** @param reason what the engine said, without the instruction */
export function buildFailed(reason: string, outcome: Pick<StreamOutcome, 'instruction' | 'lastLines'>): KvciError {
  const { instruction, lastLines } = outcome;
  const full = DISK_FULL.test(reason) || lastLines.some((line) => DISK_FULL.test(line));
  const at = instruction === undefined ? '' : ` at "${shorten(instruction)}"`;
  const what = full ? `the disk is full: the image build stopped${at}` : `the image build failed${at}`;
  return new KvciError(
    full ? 'hostNotReady' : 'failed',
    full ? 'disk-full' : 'image-build-failed',
    [`${what}: ${reason}`, ...indented(lastLines)].join('\n'),
    {
      ...(full ? { hint: DISK_FULL_HINT } : {}),
      facts: { instruction: instruction ?? null, reason, lastLines },
    },
  );
}

/** @param engine how the engine was found, for people @param host that it is on, where that is another than this one */
export function engineLost(
  engine: string,
  outcome?: Pick<StreamOutcome, 'instruction' | 'lastLines'>,
  cause?: unknown,
  host?: string,
): KvciError {
  const during = outcome?.instruction === undefined ? '' : ` during "${shorten(outcome.instruction)}"`;
  const message = `the container engine (${engine}) ended or closed the connection${during}${cause === undefined ? '' : `: ${messageOf(cause)}`}`;
  return new KvciError('failed', 'engine-lost', [message, ...indented(outcome?.lastLines ?? [])].join('\n'), {
    hint:
      host === undefined
        ? 'Look into the log of the engine, start it again and repeat the command: what was built up to here is reused.'
        : `See that ${host} is reached again and that its engine runs, and repeat the command: what was built up to here is reused.`,
    facts: { engine, instruction: outcome?.instruction ?? null, host: host ?? null },
    cause,
  });
}

/**
 * What an engine said of a container that it could not start, where that is a port of its host that somebody has.
 *
 * @param host that it is on, where that is another than this one
 */
export function portTaken(reason: string, cause: unknown, host?: string): KvciError | undefined {
  const port = /(?:\d+(?:\.\d+){3}|\[[0-9a-f:]+\]|localhost):(\d+)/i.exec(reason)?.[1];
  // Of an address in a network of containers that somebody has, engines say the same, without a port.
  const isPort = /port is already allocated|bind\b.*address already in use/i.test(reason);
  if (!isPort && !(port !== undefined && /address already in use/i.test(reason))) return undefined;
  if (port !== undefined) return portIsTaken(Number(port), host, { reason }, cause);
  return new KvciError('notFoundOrExists', 'port-taken', `a port of ${host ?? 'this host'} is taken: ${reason}`, {
    hint: 'End what listens there, and run the command again.',
    facts: { port: null, reason },
    cause,
  });
}

/**
 * What an engine said of a container that it could not start, where it was to publish at an address that its host has not.
 *
 * @param host that it is on, where that is another than this one
 */
export function addressMissing(reason: string, cause: unknown, host?: string): KvciError | undefined {
  if (host === undefined || !/cannot assign requested address/i.test(reason)) return undefined;
  const message = `the address by which the engine of ${host} is named is none of its host's own, and nothing can be published there: ${reason}`;
  return new KvciError('hostNotReady', 'api-out-of-reach', message, {
    hint: 'Where addresses are translated between here and there, name the engine by ssh://.',
    facts: { host, reason },
    cause,
  });
}

/** The error of any other request: `doing` says what was asked (`import localhost/kvci/base:1`), `status` is the HTTP status. */
export function requestFailed(doing: string, reason: string, status?: number): KvciError {
  const full = DISK_FULL.test(reason);
  return new KvciError(
    full ? 'hostNotReady' : 'failed',
    full ? 'disk-full' : 'engine-request-failed',
    `the container engine could not ${doing}: ${reason}`,
    {
      ...(full ? { hint: DISK_FULL_HINT } : {}),
      facts: { reason, ...(status === undefined ? {} : { status }) },
    },
  );
}

/** Whether what an engine or a command said means that there is no room. */
export function isDiskFull(reason: string): boolean {
  return DISK_FULL.test(reason);
}

/** The error of a full disk where a command failed for that reason; any other error as it is. */
export function diskFullOr(doing: string, error: unknown): unknown {
  return error instanceof KvciError && DISK_FULL.test(error.message) ? requestFailed(doing, error.message) : error;
}

export function pullFailed(ref: string, reason: string): KvciError {
  if (DISK_FULL.test(reason)) return requestFailed(`pull ${ref}`, reason);
  const denied = /unauthorized|denied|authentication required|forbidden/i.test(reason);
  const missing = !denied && /manifest unknown|not found|does not exist|name unknown/i.test(reason);
  return new KvciError(
    missing ? 'notFoundOrExists' : 'failed',
    missing ? 'image-not-found' : 'image-pull-failed',
    `the container engine could not pull ${ref}: ${reason}`,
    {
      ...(denied
        ? { hint: `Log in with "docker login" or "podman login" on this host: kvci hands the engine the credentials it finds.` }
        : {}),
      facts: { ref, reason },
    },
  );
}

export function engineUnreachable(origin: string, address: EngineAddress, cause: unknown): KvciError {
  const shown = showAddress(address);
  return new KvciError('hostNotReady', 'engine-unreachable', `no container engine answers at ${shown} (${origin}): ${messageOf(cause)}`, {
    hint: hintOfUnreachable(address, cause),
    facts: { origin, address: shown },
    cause,
  });
}

function hintOfUnreachable({ transport }: EngineAddress, cause: unknown): string {
  // Who may use the socket on another host only its ssh knows, and it ends the connection without a word.
  if (transport === 'ssh') {
    return "Start it on that host, have the user of ssh use its socket, or name another one: Podman's is ssh://USER@HOST/run/podman/podman.sock.";
  }
  if (hasErrno(cause, 'EACCES')) {
    return 'This user may not use the socket: add the user to the socket\'s group (often "docker"), log in again, or use a rootless engine.';
  }
  if (isUntrusted(cause)) {
    return 'See that ca.pem signs the certificate of the engine for this name, and that the engine takes cert.pem: they are in DOCKER_CERT_PATH, or of the Docker context.';
  }
  return 'Start it, correct the setting that names it, or leave the setting out: kvci then looks for another engine or starts Podman itself.';
}

/** What the library puts around the engine's words: `(HTTP code 400) unexpected - dockerfile parse error line 2: ... `. */
export function refusalOf(error: unknown): EngineRefusal | undefined {
  if (!(error instanceof Error) || !('statusCode' in error) || typeof error.statusCode !== 'number') return undefined;
  const [, message] = /^\(HTTP code \d+\) .*? - (.*)$/s.exec(error.message) ?? [];
  return { status: error.statusCode, message: (message ?? error.message).trim() };
}

function shorten(instruction: string): string {
  const line = instruction.replaceAll(/\s+/g, ' ');
  return line.length <= SHOWN_INSTRUCTION ? line : `${line.slice(0, SHOWN_INSTRUCTION)}...`;
}

function indented(lines: readonly string[]): readonly string[] {
  return lines.map((line) => `  ${line}`);
}
