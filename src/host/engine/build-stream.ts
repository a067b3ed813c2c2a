/** How many last lines of the failing instruction are kept. */
const KEPT_LINES = 20;

/** Docker's classic builder: `Step 3/7 : RUN x`. Buildah behind Podman's socket: `STEP 3/7: RUN x`, `[2/2] STEP 3/7: RUN x`. */
const STEP = /^(?:\[\d+\/\d+\] )?(?:Step \d+\/\d+ :|STEP \d+(?:\/\d+)?:) (.+)$/;

/** Lines a builder writes about itself: no help to somebody who looks for a cause. */
const BUILDER_CHATTER = /^(?:---> |Removing intermediate container |Successfully (?:built|tagged) |COMMIT )/;

/** Buildah prints its inner state after an unknown instruction, all build arguments in it. */
const INNER_STATE = / &imagebuilder\.Step\{.*$/s;
const INNER_LINE = '(UNHANDLED LOGLEVEL)';

/** Builders colour what came from a command's standard error. */
const COLOURS = /\u001b\[[0-9;]*m/g;

/** What a message stream of an engine (`build`, `load`, `import`, `pull`) has told so far. */
export interface StreamOutcome {
  /** The engine's own words when it reported a failure. */
  readonly failure: string | undefined;
  /** True once the engine said that an image was built; a build stream that ends without it was cut off. */
  readonly built: boolean;
  /** The instruction the builder works on or failed at, as it prints it: `RUN apt-get update`. */
  readonly instruction: string | undefined;
  /** The last lines of output since that instruction began. */
  readonly lastLines: readonly string[];
}

/**
 * Reads an engine's stream of JSON messages, whatever way it reports a failure: `{"error"}`, `{"errorDetail":{"message"}}` or
 * both, in a stream that then ends as a successful one does. Pure: bytes in, lines of text and an outcome out.
 */
export class EngineStream {
  readonly #decoder = new TextDecoder();
  #pending = '';
  #text = '';
  #failure: string | undefined;
  #built = false;
  #instruction: string | undefined;
  #lastLines: string[] = [];

  /** Takes the next bytes and answers the lines of text that they complete. */
  push(bytes: Uint8Array): readonly string[] {
    this.#pending += this.#decoder.decode(bytes, { stream: true });
    const records = this.#pending.split('\n');
    this.#pending = records.pop() ?? '';
    return records.flatMap((record) => this.#read(record));
  }

  /** The stream has ended: answers what is left of its text. */
  end(): readonly string[] {
    const rest = this.#pending;
    this.#pending = '';
    return [...this.#read(rest), ...this.#take(`${this.#text}\n`)];
  }

  get outcome(): StreamOutcome {
    const stated = this.#failure === undefined ? undefined : splitFailure(this.#failure, this.#instruction);
    return {
      failure: stated?.reason,
      built: this.#built && this.#failure === undefined,
      instruction: stated?.instruction ?? this.#instruction,
      lastLines: this.#lastLines,
    };
  }

  #read(record: string): readonly string[] {
    if (record.trim() === '') return [];
    const message = parseMessage(record);
    // A proxy between kvci and the engine may speak up with something else than JSON: shown as it is.
    if (message === undefined) return this.#line(record);
    const failure = failureOf(message);
    if (failure !== undefined) this.#failure ??= failure;
    if (typeof propertyOf(message, 'aux', 'ID') === 'string') this.#built = true;
    const { stream, status, id } = message;
    if (typeof stream === 'string') return this.#take(this.#text + stream);
    const isProgressBar = propertyOf(message, 'progressDetail', 'total') !== undefined;
    if (typeof status !== 'string' || isProgressBar) return [];
    return this.#line(typeof id === 'string' ? `${id}: ${status}` : status);
  }

  #take(text: string): readonly string[] {
    const lines = text.split('\n');
    this.#text = lines.pop() ?? '';
    return lines.flatMap((line) => this.#line(line));
  }

  #line(raw: string): readonly string[] {
    const line = raw.replace(COLOURS, '').trimEnd();
    if (line === '' || line.includes(INNER_LINE)) return [];
    const instruction = STEP.exec(line)?.[1];
    if (instruction !== undefined) {
      this.#instruction = instruction;
      this.#lastLines = [];
    } else if (BUILDER_CHATTER.test(line.trimStart())) {
      if (line.startsWith('Successfully built ')) this.#built = true;
    } else {
      this.#lastLines = [...this.#lastLines, line].slice(-KEPT_LINES);
    }
    return [line];
  }
}

type Message = Readonly<Record<string, unknown>>;

function parseMessage(record: string): Message | undefined {
  try {
    const value: unknown = JSON.parse(record);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function failureOf(message: Message): string | undefined {
  const texts = [propertyOf(message, 'errorDetail', 'message'), message['error']];
  const text = texts.find((value): value is string => typeof value === 'string' && value.trim() !== '');
  if (text !== undefined) return text.replace(INNER_STATE, '').trim();
  return message['errorDetail'] === undefined && message['error'] === undefined ? undefined : 'the engine named no reason';
}

/**
 * The reason without the instruction, which is told beside it. Docker says `The command '/bin/sh -c x' returned a non-zero code:
 * 1`, Buildah `building at STEP "RUN x": while running runtime: exit status 1`, the instruction unescaped between the
 * quotes.
 */
function splitFailure(failure: string, instruction: string | undefined): { readonly reason: string; readonly instruction?: string } {
  const known = `building at STEP "${instruction ?? ''}": `;
  const start = failure.indexOf(known);
  if (instruction !== undefined && start >= 0) return { reason: failure.slice(start + known.length) };
  const exitCode = /^The command '.*' returned a non-zero code: (\d+)$/s.exec(failure)?.[1];
  if (exitCode !== undefined) return { reason: `exit code ${exitCode}` };
  const match = /building at STEP "(.+?)": (.+)$/s.exec(failure);
  const [, stated, reason] = match ?? [];
  return stated === undefined || reason === undefined ? { reason: failure } : { reason, instruction: stated.trim() };
}

function propertyOf(message: Message, outer: string, inner: string): unknown {
  const value = message[outer];
  return isRecord(value) ? value[inner] : undefined;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
