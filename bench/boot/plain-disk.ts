import { createReadStream } from 'node:fs';
import { copyFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { sha256 } from '../../src/core/digest.ts';
import { espCommands } from '../../src/disk/native/boot-loader.ts';
import { compressArgv, mkfsArgv } from '../../src/disk/native/filesystem.ts';
import { diskIds, layOutDisk, partitionArgv, partitionTable } from '../../src/disk/native/partitions.ts';
import { debianBaseRequest } from '../../src/distro/debian-base.ts';
import type { DiskSource } from '../../src/machine/qemu/disk-source.ts';
import { resolvePackages } from '../../src/sandbox/debian-resolve.ts';
import { buildRoot } from '../../src/sandbox/debian-root.ts';
import { hostArchitecture } from '../../src/wiring/host.ts';
import type { ImageParts } from '../../src/wiring/images.ts';

/*
 * A plain Debian whose root may be written to: the packages of a node with Debian's containerd, on a disk that is partitioned as
 * kvci's are and booted by the same GRUB, so that only what lies on the root file system differs.
 */

const SIZE = 10e9;
const ARGUMENTS = 'root=LABEL=root rw console=ttyS0';
const INSIDE = '/plain';

/** @param folder in the cache, where mmdebstrap sees it; @param grubConfig of kvci's GRUB */
export async function plainDisk(folder: string, grubConfig: string, parts: ImageParts, signal: AbortSignal): Promise<DiskSource> {
  const architecture = hostArchitecture();
  await makeRoot(folder, parts, signal);
  const binds = [{ host: folder, inside: INSIDE, writable: true }];
  await using sandbox = await parts.sandboxes.start({ name: 'plain', binds, network: 'private', cgroups: false, signal });
  const at = (name: string): string => join(INSIDE, name);
  const layout = layOutDisk(SIZE, 0);
  const ids = diskIds(sha256('plain'));
  await writeFile(join(folder, 'disk.raw'), '');
  await truncate(join(folder, 'disk.raw'), SIZE);
  await writeFile(join(folder, 'grub.cfg'), grubConfig);
  await sandbox.run(partitionArgv(at('disk.raw')), { stdin: partitionTable(layout, ids, architecture) });
  const paths = { disk: at('disk.raw'), config: at('grub.cfg'), loader: at('uefi.img') };
  for (const argv of espCommands(architecture, paths, layout.esp, ids)) await sandbox.run(argv);
  await sandbox.run(mkfsArgv(at('disk.raw'), layout.root, ids), { stdin: createReadStream(join(folder, 'root.tar')) });
  await sandbox.run(compressArgv(at('disk.raw'), at('disk.qcow2')));
  await sandbox.run(['tar', '-xf', at('root.tar'), '-C', INSIDE, '--strip-components=2', './boot/vmlinuz', './boot/initrd.img']);
  return {
    path: join(folder, 'disk.qcow2'),
    architecture,
    directBoot: { kernel: join(folder, 'vmlinuz'), initramfs: join(folder, 'initrd.img'), arguments: ARGUMENTS },
  };
}

async function makeRoot(folder: string, parts: ImageParts, signal: AbortSignal): Promise<void> {
  const script = join(folder, 'plain.sh');
  await copyFile(fileURLToPath(new URL('plain.sh', import.meta.url)), script);
  const request = debianBaseRequest({ architecture: hostArchitecture(), kernel: undefined, packages: [], containerd: true });
  await using debian = await parts.debian(signal);
  const mirrors = parts.debianMirrors;
  const { set } = await resolvePackages({ ...request, ...(mirrors === undefined ? {} : { mirrors }) }, debian);
  const repository = await parts.debianRepository(set, debian, () => undefined);
  await buildRoot(
    {
      set,
      repository: repository.path,
      output: { format: 'tar', path: join(folder, 'root.tar') },
      sourceDateEpoch: Math.floor(Date.now() / 1000),
      dpkgOptions: [],
      sources: [],
      hooks: { customize: ['sh "$KVCI_PLAIN" "$1"'] },
      // The hook makes the initramfs, for any machine and not for this one.
      environment: { KVCI_PLAIN: script, PLAIN_ARGUMENTS: ARGUMENTS, INITRD: 'No' },
      skip: ['output/dev'],
    },
    debian,
  );
}
