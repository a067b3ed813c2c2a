import { KvciError } from '../core/errors.ts';
import { CommandError } from '../host/command-error.ts';
import type { DebianHost } from './debian-resolve.ts';

type ForeignArchitecture = 'amd64' | 'arm64';

/** No shell that takes the file for a script ends with it by chance. */
const ANSWER = 42;

/** `e_machine` (elf.h) and `exit(ANSWER)` in machine code. */
const MACHINES: Readonly<Record<ForeignArchitecture, { readonly machine: number; readonly code: readonly number[] }>> = {
  // mov edi, 42; mov eax, 60 (exit); syscall
  amd64: { machine: 62, code: [0xbf, ANSWER, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05] },
  // mov x0, #42; mov x8, #93 (exit); svc #0
  arm64: { machine: 183, code: [0x40, 0x05, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0, 0, 0xd4] },
};

/** The smallest static program for an architecture, one that ends with {@link ANSWER}: https://refspecs.linuxfoundation.org/elf/elf.pdf */
export function smallestProgram(architecture: ForeignArchitecture): Buffer {
  const { machine, code } = MACHINES[architecture];
  const headers = 64 + 56;
  const address = 0x400000n;
  const program = Buffer.alloc(headers + code.length);
  // 64 bits, little endian, version 1; an executable; entry behind the headers; one program header.
  program.set([0x7f, 0x45, 0x4c, 0x46, 2, 1, 1]);
  program.writeUInt16LE(2, 16);
  program.writeUInt16LE(machine, 18);
  program.writeUInt32LE(1, 20);
  program.writeBigUInt64LE(address + BigInt(headers), 24);
  program.writeBigUInt64LE(64n, 32);
  program.writeUInt16LE(64, 52);
  program.writeUInt16LE(56, 54);
  program.writeUInt16LE(1, 56);
  // The whole file, loaded readable and executable.
  program.writeUInt32LE(1, 64);
  program.writeUInt32LE(5, 68);
  program.writeBigUInt64LE(address, 80);
  program.writeBigUInt64LE(address, 88);
  program.writeBigUInt64LE(BigInt(program.length), 96);
  program.writeBigUInt64LE(BigInt(program.length), 104);
  program.writeBigUInt64LE(0x1000n, 112);
  program.set(code, headers);
  return program;
}

/**
 * Runs a program of another architecture in a sandbox, where an emulator of the host has to be found without its path: what is
 * registered with binfmt_misc is no proof of that.
 *
 * @throws KvciError `foreign-architecture`
 */
export async function requireForeignPrograms(
  architecture: ForeignArchitecture,
  hostArchitecture: ForeignArchitecture,
  { commands, temporary, signal }: DebianHost,
): Promise<void> {
  const path = `${temporary}/answer-${architecture}`;
  await commands.run(['tee', path], { stdin: smallestProgram(architecture), signal });
  await commands.run(['chmod', '0755', path], { signal });
  try {
    const { exitCode } = await commands.run([path], { accept: [ANSWER], signal });
    if (exitCode === ANSWER) return;
  } catch (error) {
    if (!(error instanceof CommandError)) throw error;
  }
  throw new KvciError(
    'hostNotReady',
    'foreign-architecture',
    `programs for ${architecture} do not run on this ${hostArchitecture} host: the RUN steps of an image for ${architecture} need emulation`,
    {
      hint: `Let root register QEMU with binfmt_misc ("apt-get install qemu-user-static", "dnf install qemu-user-static"), or build on a host of ${architecture}. "kvci image build --dry-run" and "kvci image render" need no emulation.`,
      facts: { architecture, hostArchitecture },
    },
  );
}
