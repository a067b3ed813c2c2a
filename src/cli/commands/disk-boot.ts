import { randomBytes } from 'node:crypto';

import { Option } from 'commander';

import { parseDuration } from '../../core/durations.ts';
import { KvciError } from '../../core/errors.ts';
import { parseName } from '../../core/names.ts';
import { parseSize } from '../../core/sizes.ts';
import { type Firmware, FIRMWARES } from '../../machine/qemu/qemu-arguments.ts';
import type { IpFamily } from '../../machine/types.ts';
import { ACCELERATIONS, type Acceleration } from '../../machine/vm-options.ts';
import type { SandboxKind } from '../../sandbox/types.ts';
import { type CommandContext, type CommandModule, type CommandResult, flagValue } from '../command.ts';
import { buildSettings } from '../image-flags.ts';
import { formatBooted, formatMachines } from '../render/machine.ts';
import { sandboxFlag } from '../sandbox-flag.ts';
import type { BootRequest } from '../services.ts';

interface Flags {
  readonly name?: string;
  readonly keep?: true;
  readonly cpus?: number;
  readonly memory?: number;
  readonly diskSize?: number;
  readonly firmware?: Firmware;
  readonly acceleration: Acceleration;
  readonly ipFamily: keyof typeof FAMILIES;
  readonly sandbox: SandboxKind;
  readonly timeout?: number;
  readonly list?: true;
  readonly end?: string;
}

const FAMILIES = { dual: ['ipv4', 'ipv6'], ipv4: ['ipv4'], ipv6: ['ipv6'] } as const satisfies Record<string, readonly IpFamily[]>;

/** What a node without a cluster needs, and more. */
const CPUS = 2;
const MEMORY = 2 * 2 ** 30;

/** Ten times what a boot takes under emulation on a quiet host. */
const TIMEOUT_MS = 5 * 60_000;

export const diskBoot: CommandModule = {
  examples: [
    { line: 'disk boot node.qcow2', what: 'its console on this terminal; Ctrl-] switches it off' },
    { line: 'disk boot localhost/node:1.31 --keep --name lab', what: 'the disk of an image, made first if it is not there; it stays' },
    { line: 'disk boot node.qcow2 --firmware uefi --memory 4G --cpus 4', what: 'by its boot loader' },
    { line: 'disk boot --list', what: 'what has been booted' },
    { line: 'disk boot --end lab', what: 'switch it off and forget what it wrote' },
  ],
  define: (command, act) =>
    command
      .argument('[disk|ref]', 'a qcow2 or raw file, or an image whose disk is meant; it is never written')
      .option('--name <name>', 'name of the machine (default: a random one)', flagValue('--name', parseName))
      .option('--keep', 'leave it running once it answers by SSH, instead of showing its console')
      .option('--cpus <number>', `processors (default: ${CPUS})`, flagValue('--cpus', parseCpus))
      .option('--memory <size>', 'memory (default: 2GiB)', flagValue('--memory', parseSize))
      .option('--disk-size <size>', "size of the machine's own copy (default: that of the disk)", flagValue('--disk-size', parseSize))
      .addOption(
        new Option(
          '--firmware <firmware>',
          'how it finds its kernel (default: direct where the kernel lies beside the disk, else uefi)',
        ).choices(FIRMWARES),
      )
      .addOption(new Option('--acceleration <kind>', 'KVM or emulation').choices(ACCELERATIONS).default('auto'))
      .addOption(new Option('--ip-family <family>', 'addresses it gets').choices(Object.keys(FAMILIES)).default('dual'))
      .addOption(sandboxFlag())
      .option('--timeout <duration>', 'how long it may take to answer by SSH (default: 5m)', flagValue('--timeout', parseDuration))
      .option('--list', 'list the machines that there are')
      .option('--end <name>', 'end a machine')
      .action(
        act<[string | undefined], Flags>(async (context, flags, [what]) => {
          checkOneThing(what, flags);
          const service = await context.services.boot();
          if (flags.list === true) {
            const machines = await service.list();
            return { data: { machines }, text: () => formatMachines(machines) };
          }
          if (flags.end !== undefined) return end(flags.end, context);
          const booted = await service.boot(await request(what ?? '', flags, context), context.run);
          return { data: booted, text: () => formatBooted(booted) };
        }),
      ),
};

async function end(name: string, { services }: CommandContext): Promise<CommandResult> {
  await (await services.boot()).end(name);
  return { data: { ended: [name] }, text: () => `${name} has ended.` };
}

/** @throws KvciError `usage` */
function checkOneThing(what: string | undefined, { list, end: ended }: Flags): void {
  const asked = [what, list, ended].filter((thing) => thing !== undefined);
  if (asked.length === 1) return;
  throw new KvciError(
    'usage',
    asked.length === 0 ? 'missing-disk' : 'too-many-actions',
    asked.length === 0 ? 'no disk is given' : 'a disk, --list and --end exclude each other',
    {
      hint: 'kvci disk boot DISK, kvci disk boot --list, or kvci disk boot --end NAME',
    },
  );
}

async function request(what: string, flags: Flags, context: CommandContext): Promise<BootRequest> {
  const { cwd } = context;
  const loaded = await context.config();
  return {
    what,
    name: flags.name ?? `vm-${randomBytes(2).toString('hex')}`,
    keep: flags.keep ?? false,
    cpus: flags.cpus ?? CPUS,
    memory: flags.memory ?? MEMORY,
    diskSize: flags.diskSize,
    firmware: flags.firmware,
    acceleration: flags.acceleration,
    families: FAMILIES[flags.ipFamily],
    sandbox: flags.sandbox,
    timeoutMs: flags.timeout ?? TIMEOUT_MS,
    cwd,
    settings: buildSettings(loaded, cwd, {}),
  };
}

function parseCpus(text: string): number {
  const cpus = Number(text);
  if (Number.isInteger(cpus) && cpus >= 1 && cpus <= 255) return cpus;
  throw new KvciError('usage', 'bad-number', `"${text}" is no number of processors`, { hint: 'Give a number from 1 to 255.' });
}
