import { z } from 'zod';

import { KvciError } from '../core/errors.ts';
import { newestFirst } from '../core/versions.ts';
import { CommandError } from '../host/command-error.ts';
import type { CommandOptions, CommandResult, CommandRunner } from '../host/types.ts';
import { findGo, type GoProgramFound } from './go-program.ts';
import type { Architecture } from './types.ts';

/** A module at one version; `version` with its `v`, as Go writes it. */
export interface ModuleRef {
  readonly path: string;
  readonly version: string;
}

/** What the proxy says of a module version; `served` is false for one that it refuses or does not have. */
export type ModuleAnswer =
  | {
      readonly ref: ModuleRef;
      readonly served: true;
      /** Its go.mod in the module cache. */
      readonly goMod: string;
      /** The Go version that its go.mod asks for: `1.26.0`. */
      readonly go: string;
      /** ISO 8601. */
      readonly time: string;
      /** The commit, where the proxy tells it. */
      readonly commit: string | undefined;
    }
  | { readonly ref: ModuleRef; readonly served: false; readonly reason: string };

/** The parts of a go.mod that kvci reads. */
export interface GoModFile {
  readonly go: string;
  readonly godebug: readonly { readonly key: string; readonly value: string }[];
  readonly require: readonly ModuleRef[];
  /** Module paths replaced by a folder of the same repository. */
  readonly local: readonly string[];
}

export interface GoSetting {
  /** `1.26.8`: the toolchain to use, fetched as a module where it is not the host's own. */
  readonly toolchain?: string;
  readonly architecture?: Architecture;
  /** `mod` lets Go complete go.sum; everything else keeps the files as they are. */
  readonly modules?: 'mod' | 'readonly';
  readonly tags?: readonly string[];
}

/**
 * The environment of every Go command. The user's proxy, checksum database and private modules (GOPROXY, GOSUMDB, GOPRIVATE,
 * netrc) stay as they are; what changes the bytes of a program is fixed.
 */
export function goEnvironment(setting: GoSetting, offline: boolean): Record<string, string | undefined> {
  return {
    GOFLAGS: [`-mod=${setting.modules ?? 'readonly'}`, '-trimpath', '-buildvcs=false'].join(' '),
    GO111MODULE: 'on',
    GOWORK: 'off',
    GOOS: 'linux',
    ...(setting.architecture === undefined ? {} : { GOARCH: setting.architecture }),
    GOAMD64: 'v1',
    GOARM64: 'v8.0',
    GOEXPERIMENT: undefined,
    GODEBUG: undefined,
    CGO_ENABLED: '0',
    GOTOOLCHAIN: setting.toolchain === undefined ? 'local' : `go${setting.toolchain}`,
    ...(offline ? { GOPROXY: 'off' } : {}),
  };
}

/** The JSON objects of a stream as `go list -json` prints it: one after the other, each ending with a `}` at the line's start. */
export function parseJsonStream(text: string): unknown[] {
  return text
    .split(/^(?=\{$)/m)
    .filter((part) => part.trim() !== '')
    .map((part): unknown => JSON.parse(part));
}

/** True when the words of the go client mean that the proxy has no such version or refuses it, not that the proxy failed. */
export function meansNotServed(message: string): boolean {
  return (
    /\b(403 Forbidden|404 Not Found|410 Gone|400 Bad Request)\b|not found|unknown revision|invalid version|no matching versions/i.test(
      message,
    ) && !message.includes('GOPROXY=off')
  );
}

const listedModule = z.object({
  Path: z.string(),
  Version: z.string().optional(),
  Versions: z.array(z.string()).optional(),
  Time: z.string().optional(),
  GoMod: z.string().optional(),
  GoVersion: z.string().optional(),
  Origin: z.object({ Hash: z.string().optional() }).optional(),
  Error: z.object({ Err: z.string() }).optional(),
});

/** One object of `go list -m -e -json` as an answer. @throws KvciError `offline`, `go-proxy-failed` */
export function readModuleAnswer(data: unknown, asked: ModuleRef): ModuleAnswer {
  const listed = listedModule.parse(data);
  const problem = listed.Error?.Err;
  if (problem !== undefined && !meansNotServed(problem)) throw proxyError(problem);
  if (problem !== undefined || listed.GoMod === undefined || listed.Time === undefined)
    return { ref: asked, served: false, reason: problem?.split('\n', 1)[0] ?? 'its go.mod is not served' };
  return {
    ref: asked,
    served: true,
    goMod: listed.GoMod,
    go: listed.GoVersion ?? '1.16',
    time: listed.Time,
    commit: listed.Origin?.Hash,
  };
}

const editedGoMod = z.object({
  Go: z.string().optional(),
  GoDebug: z.array(z.object({ Key: z.string(), Value: z.string() })).nullish(),
  Require: z.array(z.object({ Path: z.string(), Version: z.string() })).nullish(),
  Replace: z.array(z.object({ Old: z.object({ Path: z.string() }), New: z.object({ Path: z.string() }) })).nullish(),
});

/** Reads what `go mod edit -json` prints. */
export function readGoMod(text: string): GoModFile {
  const data = editedGoMod.parse(JSON.parse(text));
  return {
    go: data.Go ?? '1.16',
    godebug: (data.GoDebug ?? []).map(({ Key, Value }) => ({ key: Key, value: Value })),
    require: (data.Require ?? []).map(({ Path, Version }) => ({ path: Path, version: Version })),
    local: (data.Replace ?? []).filter((replace) => replace.New.Path.startsWith('./')).map((replace) => replace.Old.Path),
  };
}

const downloadedModule = z.object({ Dir: z.string().optional(), Error: z.string().optional() });

/** The ordinary go client of the host, with the user's own proxy settings. */
export class GoClient {
  readonly #commands: CommandRunner;
  readonly #offline: boolean;
  #program: Promise<GoProgramFound> | undefined;

  constructor(commands: CommandRunner, offline: boolean) {
    this.#commands = commands;
    this.#offline = offline;
  }

  /** @throws KvciError `offline`, `not-served`, `go-proxy-failed`, or the CommandError itself where the failure is another */
  async run(args: readonly string[], setting: GoSetting, options: CommandOptions = {}): Promise<CommandResult> {
    const { path } = await this.#found();
    try {
      return await this.#commands.run([path, ...args], {
        cwd: '/',
        ...options,
        env: { ...goEnvironment(setting, this.#offline), ...options.env },
      });
    } catch (error) {
      throw explained(error);
    }
  }

  /** The Go that is used where no toolchain is named: `1.26.8`. @throws KvciError as `findGo` */
  async hostVersion(): Promise<string> {
    return (await this.#found()).version;
  }

  /** Looked for on first use, and again after a failure. */
  async #found(): Promise<GoProgramFound> {
    try {
      return await (this.#program ??= findGo(this.#commands, goEnvironment({ modules: 'mod' }, this.#offline)));
    } catch (error) {
      this.#program = undefined;
      throw explained(error);
    }
  }

  /** Versions that the proxy lists, newest first and without `v`; none when it does not have the module. */
  async versions(path: string, signal: AbortSignal): Promise<readonly string[]> {
    try {
      const { stdout } = await this.run(['list', '-m', '-versions', '-json', path], { modules: 'mod' }, { signal });
      const listed = listedModule.parse(JSON.parse(stdout));
      // Go itself is listed without patch for old versions (`1.20`), which semver does not know.
      return newestFirst(listed.Versions ?? []);
    } catch (error) {
      if (error instanceof KvciError && error.code === 'not-served') return [];
      throw error;
    }
  }

  /** What the proxy says of each; asked together. */
  async modules(refs: readonly ModuleRef[], signal: AbortSignal): Promise<readonly ModuleAnswer[]> {
    if (refs.length === 0) return [];
    const words = refs.map(({ path, version }) => `${path}@${version}`);
    const { stdout } = await this.run(['list', '-m', '-e', '-json', ...words], { modules: 'mod' }, { signal });
    const answers = parseJsonStream(stdout);
    if (answers.length !== refs.length)
      throw new KvciError('failed', 'go-output', `go list answered ${String(answers.length)} of ${String(refs.length)} modules`);
    return refs.map((ref, index) => readModuleAnswer(answers[index], ref));
  }

  async goMod(file: string, signal: AbortSignal): Promise<GoModFile> {
    const { stdout } = await this.run(['mod', 'edit', '-json', file], { modules: 'mod' }, { signal });
    return readGoMod(stdout);
  }

  /** The folder of a module's sources in the module cache. @throws KvciError `not-served`, `offline`, `go-proxy-failed` */
  async sources(ref: ModuleRef, signal: AbortSignal): Promise<string> {
    const { stdout } = await this.run(
      ['mod', 'download', '-json', `${ref.path}@${ref.version}`],
      { modules: 'mod' },
      // It exits with 1 and says why in its JSON.
      { signal, accept: [1] },
    );
    const module = downloadedModule.parse(JSON.parse(stdout));
    if (module.Dir === undefined) throw proxyError(module.Error ?? `${ref.path}@${ref.version} could not be downloaded`);
    return module.Dir;
  }
}

/** A failed command that complains about the proxy as that, every other error as it is. */
function explained(error: unknown): unknown {
  return error instanceof CommandError && isAboutModules(error.result.stderr) ? proxyError(error.result.stderr, error) : error;
}

function isAboutModules(stderr: string): boolean {
  return /GOPROXY=off|: reading \S+:|Get "https?:|dial tcp|verifying (module|go\.mod)|not found: module|download(ing)? go1\./.test(stderr);
}

/** The go client's complaint about a module as an error of our own. */
function proxyError(message: string, cause?: unknown): KvciError {
  const lines = message.trim().split('\n');
  const first = lines.find((line) => /GOPROXY=off|reading |Get "|verifying|not found/.test(line)) ?? lines[0] ?? '';
  if (message.includes('GOPROXY=off')) {
    return new KvciError(
      'failed',
      'offline',
      `a Go module is not in the module cache, and --offline asks nothing of the network: ${first}`,
      {
        hint: 'Run the command once without --offline.',
        cause,
      },
    );
  }
  if (meansNotServed(message))
    return new KvciError('notFoundOrExists', 'not-served', `the Go module proxy does not serve a module: ${first}`, { cause });
  return new KvciError('failed', 'go-proxy-failed', `the Go module proxy did not answer as it should: ${first}`, {
    hint: 'See what "go env GOPROXY GOSUMDB" name, and whether they can be reached.',
    cause,
  });
}
