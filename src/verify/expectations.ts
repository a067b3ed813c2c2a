import { z } from 'zod';

import { digestSchema } from '../core/digest-schema.ts';
import type { Json } from '../core/digest.ts';
import type { NodeKind } from './types.ts';

const path = z
  .string()
  .regex(/^(\/[A-Za-z0-9_@%+=:,.-]+)+$/, 'expected an absolute path without spaces')
  .refine((text) => !text.split('/').includes('..'), 'expected a path without ".."');
const unit = z.string().regex(/^[A-Za-z0-9:_.\\@-]+\.[a-z]+$/, 'expected the name of a unit, such as chronyd.service');
const sysctl = z.string().regex(/^[a-z0-9_]+([./][A-Za-z0-9_-]+)+$/, 'expected the name of a sysctl, such as vm.swappiness');
const moduleName = z.string().regex(/^[a-z0-9_]+$/, 'expected the name of a kernel module with _ instead of -');
const port = z.string().regex(/^(tcp|udp)\/\d{1,5}$/, 'expected a port such as tcp/22');
const id = z.string().regex(/^[a-z0-9]+(-[a-z0-9]+)*$/, 'expected a name such as read-only');

function isPattern(text: string): boolean {
  try {
    return new RegExp(text, 'm') instanceof RegExp;
  } catch {
    return false;
  }
}

/** A statement of one's own: a command whose exit code and output are judged. */
const ownFactSchema = z.strictObject({
  id: id.describe('name of the fact in reports; not one of kvci’s own'),
  title: z.string().min(1).describe('what is so when the fact holds'),
  run: z.array(z.string()).min(1).describe('command and arguments; no shell is involved'),
  exitCode: z.int().min(0).max(255).default(0).describe('exit code that the command has to end with'),
  matches: z
    .string()
    .refine(isPattern, 'expected a regular expression')
    .optional()
    .describe('regular expression that has to match what the command prints'),
  file: path.describe('file of the image that decides it'),
  on: z.enum(['container', 'machine']).optional().describe('the only kind of node that it is asked of'),
});

/** What `--facts FILE` may hold: adds to what kvci expects of every node, or overrides it. */
export const factsFileSchema = z.strictObject({
  skip: z.record(id, z.string().min(1)).default({}).describe('facts and network cases that are not asked, each with the reason'),
  readOnly: z.array(path).default([]).describe('more paths that must not be writable on a machine'),
  writable: z.array(path).default([]).describe('more folders that have to be writable'),
  units: z
    .record(unit, z.enum(['active', 'inactive']))
    .default({})
    .describe('units and the state they have to be in'),
  sysctls: z
    .record(sysctl, z.union([z.string(), z.int()]).transform(String))
    .default({})
    .describe('values of sysctls'),
  modules: z.array(moduleName).default([]).describe('more kernel modules that have to be loaded or built in'),
  images: z.record(z.string().regex(/^\S+$/), digestSchema).default({}).describe('more images in the container runtime, by digest'),
  ports: z.array(port).default([]).describe('more ports that may be open beyond loopback'),
  security: z
    .enum(['selinux-enforcing', 'selinux-permissive', 'apparmor', 'none'])
    .optional()
    .describe('security module; by default what the image itself asks for'),
  clock: z.number().positive().default(2).describe('seconds that the clock may differ from this host’s'),
  seconds: z
    .strictObject({ address: z.number().positive().optional(), ssh: z.number().positive().optional() })
    .default({})
    .describe('most seconds from the start of a machine to its first address, and to SSH, in every network case; no limit by default'),
  facts: z.array(ownFactSchema).default([]).describe('facts of one’s own'),
});

export type FactsFile = z.output<typeof factsFileSchema>;
export type OwnFact = z.output<typeof ownFactSchema>;

/** What a node is judged by. */
export interface Expectations extends FactsFile {
  readonly kind: NodeKind;
  /** Bytes of the disk that the node was given; undefined for a container. */
  readonly diskSize?: number;
}

export function expectations(kind: NodeKind, file: FactsFile, diskSize?: number): Expectations {
  return { ...file, kind, ...(diskSize === undefined ? {} : { diskSize }) };
}

/** As a digest is taken of it. */
export function expectationsJson(expected: Expectations): Json {
  return JSON.parse(JSON.stringify(expected)) as Json;
}
