import { parse as parseToml } from 'smol-toml';
import { describe, expect, it } from 'vitest';

import { sha256 } from '../../src/core/digest.ts';
import { BOOTC_IMAGE_BUILDER } from '../../src/disk/bootc-image-builder.ts';
import { renderConfig } from '../../src/disk/container/config.ts';
import { parseFlags } from '../../src/disk/container/help.ts';
import type { Dialect } from '../../src/disk/container/types.ts';
import { IMAGE_BUILDER } from '../../src/disk/image-builder.ts';
import type { DiskRequest } from '../../src/disk/types.ts';
import { readTemplates } from '../../src/image/sources.ts';
import { helpText, parseArguments } from '../fixtures/converter-double/arguments.ts';
import { closureOf } from '../fixtures/converter-double/closure.ts';
import { checkConfig } from '../fixtures/converter-double/config.ts';
import { checkContainer, type Container } from '../fixtures/converter-double/container.ts';
import { type Program, readRules, rulesFor } from '../fixtures/converter-double/rules.ts';

/*
 * The rules of the contract (test/fixtures/converter-double/rules.yaml) against what kvci gives the converters, and against what it
 * must never give them. The double itself, a container that makes disks, is driven in test/full/part-3.
 */

const TEMPLATES = await readTemplates(new URL('../../templates', import.meta.url).pathname);
const IMAGE = 'localhost/kvci/convert:1';

const PROGRAMS: readonly (readonly [Program, Dialect])[] = [
  ['bib-old', BOOTC_IMAGE_BUILDER],
  ['bib-new', BOOTC_IMAGE_BUILDER],
  ['image-builder', IMAGE_BUILDER],
];

const REQUESTS = (['qcow2', 'raw'] as const).flatMap((format) =>
  (['ext4', 'xfs'] as const).map(
    (filesystem) =>
      ({
        source: { architecture: 'amd64', image: { descriptor: { digest: sha256('node') } } },
        format,
        filesystem,
        size: 10 * 2 ** 30,
        kargs: ['quiet', 'a=b'],
        sshKeys: ['ssh-ed25519 A one', 'ssh-ed25519 B two'],
      }) as unknown as DiskRequest,
  ),
);

describe.each(PROGRAMS)('%s', (program, dialect) => {
  const rules = rulesFor(program);
  const flags = parseFlags(helpText(rules, program, 'build'));
  const argumentsFor = (request: DiskRequest, owner?: { uid: number; gid: number }): readonly string[] =>
    dialect.arguments({ request, image: IMAGE, flags, owner });

  it('is told apart by its help, which has all that is needed', () => {
    for (const flag of [dialect.mark, ...dialect.needs]) expect(flags.has(flag), flag).toBe(true);
    for (const [other, { mark }] of PROGRAMS) if (other !== program && mark !== dialect.mark) expect(flags.has(mark)).toBe(false);
  });

  it.each(REQUESTS.map((request) => [`${request.format} ${request.filesystem}`, request] as const))(
    'takes what kvci says: %s',
    (_name, request) => {
      for (const owner of [undefined, { uid: 1000, gid: 1000 }]) {
        const parsed = parseArguments(rules, argumentsFor(request, owner));
        expect(parsed).toMatchObject({ command: 'build', help: false, warnings: [] });
        expect(parsed.operands).toHaveLength(1);
      }
    },
  );

  it('takes the configuration that kvci writes, without a warning', () => {
    for (const request of REQUESTS) {
      const wanted = checkConfig(rules, program, parseToml(renderConfig(TEMPLATES, dialect, request)));
      expect(wanted).toMatchObject({ rootKeys: request.sshKeys, kargs: request.kargs, warnings: [] });
    }
  });

  it.each([
    ['a flag of no rule', ['build', '--fast', IMAGE], 'unknown flag: --fast'],
    ['a flag without its value', ['build', IMAGE, '--progress'], 'flag needs an argument: --progress'],
    ['a progress of no kind', ['build', IMAGE, '--progress', 'json'], 'unknown progress type: "json"'],
  ])('refuses %s', (_name, argv, words) => {
    expect(() => parseArguments(rules, argv)).toThrow(words);
  });

  it.each([
    ['a key of no rule', { customizations: { hostname: 'node01' } }, 'unknown key "customizations.hostname"'],
    ['a list where there is none', { customizations: { kernel: [{ append: 'quiet' }] } }, 'unknown key'],
    ['a number for a text', { customizations: { kernel: { append: 1 } } }, 'must be a string'],
    ['a mount point below /usr', { customizations: { filesystem: [{ mountpoint: '/usr/data' }] } }, 'mountpoints are not supported'],
    ['/var itself', { customizations: { filesystem: [{ mountpoint: '/var' }] } }, 'mountpoints are not supported'],
    ['a file in /usr', { customizations: { files: [{ path: '/usr/x' }] } }, 'customizations.files[].path must not be'],
    [
      'two ways to lay out a disk',
      { customizations: { disk: { partitions: [{}] }, filesystem: [{ mountpoint: '/' }] } },
      'cannot be combined with',
    ],
  ])('refuses %s', (_name, config, words) => {
    expect(() => checkConfig(rules, program, config)).toThrow(words);
  });

  describe('its container', () => {
    const config = program === 'image-builder' ? '/blueprint.toml' : '/config.toml';
    const good: Container = {
      mounts: [
        { path: '/', writable: true },
        { path: '/sys', writable: true },
        { path: '/output', writable: true },
        { path: '/var/lib/containers/storage', writable: true },
        { path: config, writable: false },
      ],
      capabilities: 2n ** 41n - 1n,
      environment: 'engine="podman-5.4.2"\nrootless=0\n',
      terminal: false,
      exists: () => true,
    };
    const check = (container: Container): void => {
      checkContainer(rules, container, (flag) => (flag === '--blueprint' ? config : undefined));
    };
    const mount = (path: string, writable: boolean): Container => ({
      ...good,
      mounts: [...good.mounts.filter((other) => other.path !== path), { path, writable }],
    });

    it('as kvci starts it', () => {
      expect(() => {
        check(good);
      }).not.toThrow();
    });

    it.each<[string, Container, string, readonly Program[]]>([
      ['rootless', { ...good, environment: 'rootless=1' }, 'must be run in rootful', ['bib-old', 'bib-new']],
      ['/sys read-only', mount('/sys', false), 'requires a privileged container', ['bib-old', 'bib-new']],
      [
        'no storage',
        { ...good, exists: (path) => !path.endsWith('/overlay') },
        'could not access container storage',
        PROGRAMS.map(([name]) => name),
      ],
      ['no privileges', { ...good, capabilities: 0xa80425fbn }, 'operation not permitted', PROGRAMS.map(([name]) => name)],
      ['output read-only', mount('/output', false), '/output is mounted read-only', PROGRAMS.map(([name]) => name)],
      ['its configuration writable', mount(config, true), `${config} is mounted writable`, PROGRAMS.map(([name]) => name)],
      ['a mount that nobody asked for', mount('/root', true), 'no rule knows of the mounts /root', PROGRAMS.map(([name]) => name)],
      ['a terminal', { ...good, terminal: true }, 'there is a terminal', ['bib-old', 'bib-new']],
    ])('%s', (_name, container, words, programs) => {
      const checked = expect(() => {
        check(container);
      });
      if (programs.includes(program)) checked.toThrow(words);
      else checked.not.toThrow();
    });
  });
});

it('a warning of image-builder is what bootc-image-builder takes', () => {
  const config = { customizations: { filesystem: [{ mountpoint: '/', minsize: '10 GiB' }] } };
  expect(checkConfig(rulesFor('bib-new'), 'bib-new', config)).toMatchObject({ rootSize: 10 * 2 ** 30, warnings: [] });
  expect(checkConfig(rulesFor('image-builder'), 'image-builder', config).warnings).not.toEqual([]);
});

it.each([
  ['bib-new', ['--in-vm', IMAGE], 'unknown flag: --in-vm'],
  ['bib-old', ['--seed', '1', IMAGE], 'unknown flag: --seed'],
  ['bib-old', ['--local=false', IMAGE], '--local=false is no longer supported'],
  ['bib-old', ['--aws-bucket', 'b', IMAGE], 'they must all be set'],
  ['image-builder', ['qcow2'], 'unknown command "qcow2"'],
  ['image-builder', ['build', 'qcow2'], 'required flag(s) "--bootc-ref" not set'],
  ['image-builder', ['build', 'qcow2', '--bootc-ref', IMAGE, '--distro', 'x'], 'cannot use --distro with --bootc-ref'],
  ['image-builder', ['build', 'qcow2', '--bootc-ref', IMAGE, '--image-size', 'large'], 'invalid argument "large"'],
] as const)('%s refuses %s', (program, argv, words) => {
  expect(() => parseArguments(rulesFor(program), argv)).toThrow(words);
});

it('of the disk room the double has the native converter, and nothing of what it is a double for', () => {
  const { files } = closureOf('test/fixtures/converter-double/main.ts');
  const disk = files.filter((file) => file.startsWith('src/disk/'));
  expect(disk).toContain('src/disk/native/native-converter.ts');
  const shared = ['src/disk/types.ts', 'src/disk/kargs.ts'];
  expect(disk.filter((file) => !file.startsWith('src/disk/native/') && !shared.includes(file))).toEqual([]);
});

it('rules stand in the order of their sections', () => {
  const sections = Object.entries(readRules()).map(([name, rules]) => [name, (rules as { at: number }[]).map(({ at }) => at)] as const);
  // D2 begins in line 239 of the contract, D7 ends in line 330.
  for (const [name, lines] of sections)
    expect(
      lines.every((line) => line >= 239 && line <= 330),
      name,
    ).toBe(true);
});
