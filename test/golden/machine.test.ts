import { describe, expect, it } from 'vitest';

import { readTemplates } from '../../src/image/sources.ts';
import { gatewayConfig } from '../../src/machine/net/gateway.ts';
import { bridgeBatch, dnsmasqConfig, dnsmasqHost, lanAddresses, type LanOptions, lanSettings, plugBatch, slowDhcpRules, tapBatch } from '../../src/machine/net/lan.ts';
import { masquerade, masqueradeAmongOthers, routerSettings } from '../../src/machine/net/outbound.ts';
import { OUTSIDE, pastaArgv, RESOLVER } from '../../src/sandbox/pasta.ts';
import { commonCpuModel, defaultCpuModel, qemuArgv, type QemuMachine, qemuSockets, qemuTrialArgv, uefiFiles } from '../../src/machine/qemu/qemu-arguments.ts';
import type { Architecture } from '../../src/payload/types.ts';
import { golden } from '../fixtures/golden.ts';

const SOCKETS = qemuSockets('/run/kvci/vm/node01', '/machines/node01/console.log');

const DIRECT = {
  firmware: 'direct',
  kernel: '/files/0/vmlinuz',
  initramfs: '/files/0/initramfs.img',
  arguments: 'root=LABEL=root console=ttyS0 ostree=/ostree/boot.1/kvci/0/0 systemd.hostname=node01',
} as const;

function uefi(architecture: Architecture): QemuMachine['boot'] {
  return { firmware: 'uefi', code: uefiFiles(architecture).code, variables: '/machines/node01/uefi-variables.fd' };
}

function machine(change: Partial<QemuMachine>): QemuMachine {
  const architecture = change.architecture ?? 'amd64';
  const accelerator = change.accelerator ?? 'tcg';
  return {
    architecture,
    name: 'node01',
    accelerator,
    cpuModel: defaultCpuModel(architecture, accelerator),
    cpus: 2,
    memory: 4 * 2 ** 30,
    boot: DIRECT,
    disk: { path: '/machines/node01/disk.qcow2', format: 'qcow2', snapshot: false },
    network: { tap: 'tap-044265', mac: '52:54:00:04:42:65', vhost: false },
    credentials: [{ name: 'system.hostname', path: '/run/kvci/vm/node01/credentials/system.hostname' }],
    ...change,
  };
}

/** An option and its value a line. */
function shown([program, ...rest]: readonly string[]): string {
  return `${[program, ...rest].join('\n').replace(/\n(?!-)/g, ' ')}\n`;
}

describe("QEMU's command line", () => {
  it.each<[string, Partial<QemuMachine>]>([
    ['amd64-direct', {}],
    ['amd64-uefi-kvm', { boot: uefi('amd64'), accelerator: 'kvm', network: { tap: 'tap-044265', mac: '52:54:00:04:42:65', vhost: true } }],
    ['amd64-bios', { boot: { firmware: 'bios' } }],
    ['amd64-screen', { vnc: '/machines/node01/vnc.sock', cpuModel: commonCpuModel('amd64', 'kvm'), more: ['-device', 'nvme-subsys'] }],
    ['amd64-saved', { saved: { memory: '/machines/node01/saved/memory' } }],
    ['amd64-saved-kvm', { saved: { memory: '/machines/node01/saved/memory' }, accelerator: 'kvm', cpuModel: commonCpuModel('amd64', 'kvm') }],
    ['arm64-direct', { architecture: 'arm64' }],
    ['arm64-uefi-kvm', { architecture: 'arm64', boot: uefi('arm64'), accelerator: 'kvm' }],
  ])('%s', async (name, change) => {
    await golden(`machine/qemu-${name}`, shown(qemuArgv(machine(change), SOCKETS)));
  });

  it('for a trial', async () => {
    await golden('machine/qemu-trial', shown(qemuTrialArgv(machine({ accelerator: 'kvm', credentials: [], cpus: 1 }))));
  });

  it('arm64 machines have no BIOS', () => {
    expect(() => qemuArgv(machine({ architecture: 'arm64', boot: { firmware: 'bios' } }), SOCKETS)).toThrow(
      expect.objectContaining({ code: 'no-such-firmware', exitCode: 2 }),
    );
  });
});

const LANS = {
  dual: { families: ['ipv4', 'ipv6'], routerAdvertisements: true, dhcpDelaySeconds: 0 },
  ipv4: { families: ['ipv4'], routerAdvertisements: true, dhcpDelaySeconds: 0 },
  ipv6: { families: ['ipv6'], routerAdvertisements: true, dhcpDelaySeconds: 0 },
  'without-advertisements': { families: ['ipv4', 'ipv6'], routerAdvertisements: false, dhcpDelaySeconds: 0 },
  'slow-dhcp': { families: ['ipv4', 'ipv6'], routerAdvertisements: true, dhcpDelaySeconds: 20 },
} as const satisfies Readonly<Record<string, LanOptions>>;

describe('a network of machines', () => {
  it.each<[string, LanOptions]>(Object.entries(LANS))('%s', async (name, options) => {
    const templates = await readTemplates(new URL('../../templates', import.meta.url).pathname);
    await golden(`machine/lan-${name}.dnsmasq.conf`, dnsmasqConfig(templates, options, '/run/kvci/net'));
    const addresses = lanAddresses(options.families, 1);
    const { lease, names } = dnsmasqHost('node01', addresses);
    const settings = Object.entries(lanSettings(options)).map(([path, value]) => `${path}=${value}\n`);
    await golden(`machine/lan-${name}`, [...settings, bridgeBatch(options), tapBatch(addresses), plugBatch(addresses, options), lease, names].join(''));
  });

  it('the way outside', async () => {
    const templates = await readTemplates(new URL('../../templates', import.meta.url).pathname);
    const settings = Object.entries(routerSettings(['ipv4', 'ipv6'])).map(([path, value]) => `${path}=${value}\n`);
    await golden('machine/outside', [shown(pastaArgv('/proc/1/ns/net')), ...settings, masquerade(OUTSIDE)].join(''));
    const options: LanOptions = { families: ['ipv4', 'ipv6'], routerAdvertisements: true, dhcpDelaySeconds: 0, outbound: true };
    await golden('machine/outside-of-an-engine', masqueradeAmongOthers('eth0'));
    await golden('machine/lan-outside.dnsmasq.conf', dnsmasqConfig(templates, options, '/run/kvci/net', { families: ['ipv4'], resolver: RESOLVER }));
  });

  it('where DHCP is slow', async () => {
    const templates = await readTemplates(new URL('../../templates', import.meta.url).pathname);
    await golden('machine/lan-slow-dhcp.nft', slowDhcpRules(templates, LANS['slow-dhcp']) ?? '');
    expect(slowDhcpRules(templates, LANS.dual)).toBeUndefined();
  });

  it('the way in', async () => {
    const templates = await readTemplates(new URL('../../templates', import.meta.url).pathname);
    await golden('machine/gateway.cfg', gatewayConfig(templates, '/run/kvci/net/gateway.sock'));
  });
});
