import { describe, it } from 'vitest';

import { sha256 } from '../../src/core/digest.ts';
import { shellLine } from '../../src/core/shell.ts';
import { biosCommand, espCommands } from '../../src/disk/native/boot-loader.ts';
import { compressArgv, fixedTime, immutableArgv, mkfsArgv } from '../../src/disk/native/filesystem.ts';
import { diskIds, layOutDisk, partitionArgv, partitionTable } from '../../src/disk/native/partitions.ts';
import { bootFiles, bootNames, kernelArguments } from '../../src/disk/native/sysroot.ts';
import { readTemplates } from '../../src/image/sources.ts';
import { renderTemplate } from '../../src/core/template.ts';
import { golden } from '../fixtures/golden.ts';

const IDS = diskIds(sha256('a disk'));
const LAYOUT = layOutDisk(10_000_269_312, 700_000_000);
const BOOT_CHECKSUM = '803b7d04230fd6b46f45e69d61749d2c28971147c9d305e0674a971e1c196a77';
const COMMIT = 'da0a124d1e070dcfd2524b4f5704085e6e0929e866dad305bfe4b8fac5932903';
const templates = await readTemplates(new URL('../../templates', import.meta.url).pathname);

describe('what OSTree and the boot loader read', () => {
  const names = bootNames('6.12.0', BOOT_CHECKSUM, COMMIT);
  const options = kernelArguments(IDS.filesystem, BOOT_CHECKSUM, ['console=ttyS0,115200n8', 'quiet']);

  it.each([...bootFiles(templates, names, 'Debian GNU/Linux 13 (trixie)', options)])('%s', async (path, text) => {
    await golden(`disk/${path.replace(/^.*\//, '').replace(COMMIT, 'commit')}`, text);
  });

  it('the names of what is booted', async () => {
    await golden('disk/names.json', `${JSON.stringify(names, undefined, 2)}\n`);
  });

  it('the first program of the small initramfs', async () => {
    await golden('disk/init', renderTemplate(templates, 'disk/native/init', { filesystem: 'ext4', prepareRoot: '/usr/lib/ostree/ostree-prepare-root' }));
  });
});

describe.each(['amd64', 'arm64'] as const)('commands of a conversion, %s', (architecture) => {
  it('are the same everywhere', async () => {
    const paths = { disk: '/disk/disk.raw', config: '/disk/work/grub.cfg', loader: '/disk/work/uefi.img' };
    const bios = biosCommand(architecture, paths.config, '/disk/work/bios.img');
    const lines = [
      ...Object.entries(fixedTime(1_723_500_000)).map(([name, value]) => `${name}=${value}`),
      shellLine(partitionArgv(paths.disk)),
      partitionTable(LAYOUT, IDS, architecture),
      ...espCommands(architecture, paths, LAYOUT.esp, IDS).map(shellLine),
      ...(bios === undefined ? [] : [shellLine(bios)]),
      shellLine(mkfsArgv(paths.disk, LAYOUT.root, IDS)),
      shellLine(immutableArgv(paths.disk, LAYOUT.root, 'ostree/deploy/kvci/deploy/x.0')),
      shellLine(compressArgv(paths.disk, '/disk/disk.qcow2')),
      '',
    ];
    await golden(`disk/commands-${architecture}.sh`, lines.join('\n'));
  });
});
