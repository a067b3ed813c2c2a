import type { Command } from 'commander';

import { KvciError } from '../core/errors.ts';
import type { RunContext } from '../core/plan.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { Services } from './services.ts';

/** What a command answers: data for `--output json`, and the same for people. */
export interface CommandResult {
  readonly data: unknown;
  /** Without a final newline; empty for nothing to say. */
  text(style: TextStyle): string;
  /** For `--output junit`, where the command has it. */
  junit?(): string;
  /** An answer such as "3 facts fail" is a result, and yet not exit code 0. */
  readonly exitCode?: number;
}

export interface TextStyle {
  readonly color: boolean;
  readonly columns: number;
}

/** What a command is run with. */
export interface CommandContext {
  readonly run: RunContext;
  readonly services: Services;
  /** kvci.yaml, read and checked on first use. */
  config(): Promise<LoadedConfig>;
  /** Folder that relative paths on the command line start from. */
  readonly cwd: string;
  readonly version: string;
}

export type Handler<Args extends readonly unknown[], Flags> = (
  context: CommandContext,
  flags: Flags,
  args: Args,
) => Promise<CommandResult> | CommandResult;

/**
 * Binds a handler to a commander command; `run.ts` provides it. Commander keeps arguments and flags untyped: each command
 * states here what its own definition makes of them.
 */
export type Act = <Args extends readonly unknown[] = [], Flags extends object = object>(
  handler: Handler<Args, Flags>,
) => (this: Command) => Promise<void>;

/** One command: `define` adds arguments, flags and the action. It runs only for the command that was asked for, or to walk the tree. */
export interface CommandModule {
  readonly examples: readonly [Example, ...Example[]];
  /** Its results can be told by `--output junit`. */
  readonly junit?: true;
  define(command: Command, act: Act): void;
}

/** A command line below `kvci`, and what it does. */
export interface Example {
  readonly line: string;
  readonly what: string;
}

/** Makes a commander parser of one that throws KvciErrors, so that the error names the flag. */
export function flagValue<Value>(flag: string, parse: (text: string) => Value): (text: string) => Value {
  return (text) => {
    try {
      return parse(text);
    } catch (error) {
      if (!(error instanceof KvciError)) throw error;
      throw new KvciError(error.reason, error.code, `${flag}: ${error.message}`, {
        ...(error.hint === undefined ? {} : { hint: error.hint }),
        facts: { ...error.facts, flag },
        cause: error,
      });
    }
  };
}

/** For flags that may be given more than once. */
export function collect(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), text];
}
