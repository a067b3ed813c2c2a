import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';

import type { Command } from 'commander';
import type { z } from 'zod';

import { CONFIG_FILE, type LoadedConfig } from '../config/load.ts';
import { issueMessage } from '../config/parse.ts';
import { hasErrno, KvciError, messageOf } from '../core/errors.ts';
import { parseEngineChoice } from '../host/engine/discovery.ts';
import type { BuildSettings } from '../image/build.ts';
import { parsePreloadList } from '../image/preload-list.ts';
import { type ImageOptions, imageOptionsSchema } from '../image/options.ts';
import { collect } from './command.ts';

/** The flags that say what to build; each stands for a key of the `image` section of kvci.yaml. */
export interface ImageFlags {
  readonly k8s?: string;
  readonly base?: string;
  readonly payload?: string;
  readonly arch?: string;
  readonly label?: readonly string[];
  readonly package?: readonly string[];
  readonly file?: readonly string[];
  readonly kernel?: string;
  readonly preload?: readonly string[];
  readonly tag?: readonly string[];
}

const FLAG_OF_KEY = {
  k8s: '--k8s',
  base: '--base',
  payload: '--payload',
  arch: '--arch',
  tags: '--tag',
  labels: '--label',
  packages: '--package',
  files: '--file',
  kernel: '--kernel',
  preload: '--preload',
} as const satisfies Record<keyof ImageOptions, string>;

export function addImageFlags(command: Command): Command {
  return command
    .option('--k8s <version>', 'Kubernetes version: a minor (1.31), a full version (1.31.4) or "stable"')
    .option('--base <name>', 'debian-13, centos-stream-9, centos-stream-10, fedora-NN or an image reference (default: debian-13)')
    .option('--payload <source>', 'where Kubernetes comes from: auto, packages, release, modules or dir:PATH (default: auto)')
    .option('--arch <arch>', 'amd64 or arm64 (default: that of this host)')
    .option('--tag <ref>', 'tag of the image; may be repeated', collect)
    .option('--label <k=v>', 'label to add; may be repeated', collect)
    .option('--package <name>', 'package to add; may be repeated', collect)
    .option('--file <src:dst>', 'file to add; may be repeated', collect)
    .option('--kernel <package>', 'kernel package instead of the default of the base')
    .option('--preload <list>', 'images to preload, each NAME:TAG@sha256:DIGEST: a file, or with commas; may be repeated', collect);
}

/**
 * The options of an image: kvci.yaml with the flags over it. Lists are added to, everything else is replaced.
 *
 * @throws KvciError `missing-version`, `bad-flag`
 */
export function imageOptions(loaded: LoadedConfig, flags: ImageFlags): ImageOptions {
  const image = loaded.config.image ?? {};
  const given = {
    ...image,
    ...present({ k8s: flags.k8s, base: flags.base, payload: flags.payload, arch: flags.arch, kernel: flags.kernel, tags: flags.tag }),
    ...present({ packages: joined(image.packages, flags.package), files: joined(absolute(image.files, loaded.folder), flags.file) }),
    ...present({ preload: joined(image.preload, flags.preload?.flatMap(readPreloadList)) }),
    labels: { ...image.labels, ...parseLabels(flags.label ?? []) },
  };
  if (given.k8s === undefined) {
    throw new KvciError('usage', 'missing-version', 'no Kubernetes version is given', {
      hint: `Give one with --k8s 1.31, or as image.k8s in ${CONFIG_FILE}.`,
    });
  }
  const parsed = imageOptionsSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  throw badFlag(parsed.error.issues[0], FLAG_OF_KEY, 'image build');
}

/** The flags of a command that builds an image on its way to something else. */
export interface BuildFlags {
  readonly lock?: string;
  readonly locked?: true;
  readonly engine?: string;
}

/** @param engine what the engine is for */
export function addBuildFlags(command: Command, engine = 'engine that builds the image'): Command {
  return command
    .option('--lock <file>', 'lock file of the image (default: kvci.lock beside kvci.yaml, else in the current folder)')
    .option('--locked', 'refuse when anything is missing from the lock')
    .option('--engine <engine>', `${engine}: auto, docker, podman, embedded or an address (default: auto)`);
}

/** How such an image is built. @throws KvciError `bad-engine-url` */
export function buildSettings(loaded: LoadedConfig, cwd: string, flags: BuildFlags): BuildSettings {
  return {
    lockFile: lockFile(loaded, cwd, flags.lock),
    locked: flags.locked ?? false,
    noCache: false,
    engine: parseEngineChoice(flags.engine ?? loaded.config.engine ?? 'auto'),
    folder: cwd,
  };
}

/** kvci.lock: `--lock`, else beside kvci.yaml, else in the current folder. */
export function lockFile(loaded: LoadedConfig, cwd: string, flag: string | undefined): string {
  return flag === undefined ? resolve(loaded.folder, 'kvci.lock') : resolve(cwd, flag);
}

/** What a schema says of a flag's value, for people. `command` is the one whose help explains its flags. */
export function badFlag(issue: z.core.$ZodIssue | undefined, flagOfKey: Readonly<Record<string, string>>, command: string): KvciError {
  const key = String(issue?.path[0]);
  const flag = flagOfKey[key] ?? key;
  return new KvciError('usage', 'bad-flag', `${flag}: ${issue === undefined ? 'bad value' : issueMessage(issue)}`, {
    hint: `"kvci ${command} --help" says what each flag takes.`,
    facts: { flag },
  });
}

function parseLabels(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const equals = word.indexOf('=');
      if (equals > 0) return [word.slice(0, equals), word.slice(equals + 1)] as const;
      throw new KvciError('usage', 'bad-flag', `--label: "${word}" is not of the form KEY=VALUE`, { facts: { flag: '--label' } });
    }),
  );
}

function joined(before: readonly string[] | undefined, more: readonly string[] | undefined): string[] | undefined {
  return before === undefined && more === undefined ? undefined : [...(before ?? []), ...(more ?? [])];
}

/** The list of a file, or the word itself where there is none. */
function readPreloadList(word: string): readonly string[] {
  try {
    return parsePreloadList(readFileSync(word, 'utf8'));
  } catch (error) {
    if (!hasErrno(error, 'ENOENT', 'ENOTDIR', 'ENAMETOOLONG')) {
      throw new KvciError('usage', 'bad-flag', `--preload: ${word} cannot be read: ${messageOf(error)}`, { facts: { flag: '--preload' } });
    }
    return parsePreloadList(word);
  }
}

/** Sources in kvci.yaml start from its own folder. */
function absolute(files: readonly string[] | undefined, folder: string): string[] | undefined {
  return files?.map((file) => {
    const colon = file.lastIndexOf(':');
    return `${resolve(folder, file.slice(0, colon))}${file.slice(colon)}`;
  });
}

/** Without the keys that have no value. */
export function present<T extends Record<string, unknown>>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
