import { z } from 'zod';

import { refineBy } from '../core/refine.ts';
import { parseSize } from '../core/sizes.ts';
import { parseKarg } from '../disk/kargs.ts';

export const ACCELERATIONS = ['auto', 'kvm', 'emulation'] as const;
export type Acceleration = (typeof ACCELERATIONS)[number];

/** What may be asked of a single virtual machine beside processors and memory: keys of kvci.yaml, for all nodes and for one. */
export const vmOptionsShape = {
  diskSize: z
    .string()
    .check(refineBy((text) => parseSize(text)))
    .optional()
    .describe("Size of a virtual machine's own disk, such as 40G (default: that of the disk it is made of)"),
  cpuModel: z
    .string()
    .regex(/^[A-Za-z0-9_.,=+-]+$/, 'not a model of a processor as QEMU names them')
    .optional()
    .describe('Processor of a virtual machine as QEMU names it; host is what this host has (default: one that most hosts have)'),
  kargs: z
    .array(z.string().check(refineBy((text) => parseKarg(text))))
    .optional()
    .describe('Kernel arguments of a virtual machine beside those of its image'),
  vnc: z.boolean().optional().describe('A virtual machine has a screen, which is seen by VNC at a unix socket'),
  qemuArgs: z.array(z.string().min(1)).optional().describe("Words added to QEMU's command line as they are"),
} as const;

/** A virtual machine as kvci.yaml may describe it. */
export type VmOptions = z.output<z.ZodObject<typeof vmOptionsShape>>;

/** Names of the options that only virtual machines have. */
export const VM_OPTION_KEYS = Object.keys(vmOptionsShape) as readonly (keyof VmOptions)[];
