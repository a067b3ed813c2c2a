import { join } from 'node:path';

import type { ContainerEngine } from '../../host/types.ts';
import type { JobRequest, Jobs } from '../../host/engine/jobs.ts';
import type { ConverterName, DiskFormat, DiskRequest } from '../types.ts';

/** A container engine as converters that are containers need it. */
export interface ConverterEngine extends AsyncDisposable {
  readonly jobs: Jobs;
  readonly images: Pick<ContainerEngine, 'load' | 'pull' | 'remove'>;
  /** What network a converter gets: it needs none. */
  readonly network: JobRequest['network'];
  /** Its socket, where containers stay when kvci is killed: whoever tidies up finds them there. Undefined for an engine that ends with kvci. */
  readonly socket: string | undefined;
  /** A folder for one conversion, on the file system of `folder` or of kvci's cache. */
  workspace(folder: string): Promise<Workspace>;
}

/** A folder that both kvci and the engine's containers see; gone when disposed. */
export interface Workspace extends AsyncDisposable {
  /** As kvci sees it. */
  readonly path: string;
  /** As the engine's host sees it. */
  readonly enginePath: string;
}

/** Flags of a program, with dashes, and the type of value that its help names: `string`, `uint`; empty for switches. */
export type Flags = ReadonlyMap<string, string>;

/** What a converter tells about itself. */
export interface ConverterProbe {
  /** The lines of its `version`. */
  readonly version: readonly string[];
  /** Of the command that builds. */
  readonly flags: Flags;
}

export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

export interface ConverterCall {
  readonly request: DiskRequest;
  /** What the engine calls the node image. */
  readonly image: string;
  readonly flags: Flags;
  /** Who owns the output; undefined for root. */
  readonly owner: Owner | undefined;
}

/** Where a converter in a container finds and leaves its files. */
export const OUTPUT = '/output';
export const STORAGE = '/var/lib/containers/storage';

/** Its output folder in a workspace. */
export function outputOf(workspace: string): string {
  return join(workspace, 'output');
}

/** How far a conversion has come. */
export interface Progress {
  readonly done: number;
  readonly total: number | undefined;
  readonly message: string;
}

/** Reads how far a converter has come. Both see what there is so far and answer undefined where that says nothing new. */
export interface ProgressReader {
  /** Of a line of its log. */
  readonly line: (line: string) => Progress | undefined;
  /** A file of its output and what it says, for converters that write one. */
  readonly file?: { readonly name: string; readonly read: (text: string) => Progress | undefined };
}

/** One program that converts images in a container: what it is called with and what it leaves. */
export interface Dialect {
  readonly name: Exclude<ConverterName, 'native'>;
  /** Where it is published; the first that can be had is taken. */
  readonly images: readonly [string, ...string[]];
  /** A flag that only this program has. */
  readonly mark: string;
  /** Flags that it cannot be used without. */
  readonly needs: readonly string[];
  /** Template in `templates/`, and where the program looks for what is rendered. */
  readonly config: { readonly template: string; readonly inside: string };
  arguments(call: ConverterCall): readonly string[];
  /** Of the disk, below its output folder. */
  outputFile(format: DiskFormat): string;
  /** @param output reads a text file of its output; undefined while it is not there */
  progress(format: DiskFormat, output: (name: string) => string | undefined): ProgressReader;
}
