import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';

import { type LayerMode, podmanConfig } from './podman-config.ts';

const folder = new URL('../../templates/engine/', import.meta.url);
const templates = new Map(
  ['containers.conf', 'registries.conf', 'storage.conf'].map((name) => [
    `engine/${name}`,
    readFileSync(new URL(`${name}.hbs`, folder), 'utf8'),
  ]),
);

/** The settings of a file, without comments, empty lines and sections. */
function settings(text: string | undefined): readonly string[] {
  return (text ?? '').split('\n').filter((line) => /^[^#[\s]/.test(line));
}

it.each<[LayerMode, readonly string[]]>([
  ['overlay', ['driver = "overlay"', 'graphroot = "/var/lib/containers/overlay"', 'runroot = "/run/containers/storage"']],
  [
    'fuse',
    [
      'driver = "overlay"',
      'graphroot = "/var/lib/containers/fuse"',
      'runroot = "/run/containers/storage"',
      'mount_program = "/usr/bin/fuse-overlayfs"',
    ],
  ],
  ['copy', ['driver = "vfs"', 'graphroot = "/var/lib/containers/copy"', 'runroot = "/run/containers/storage"']],
])('layers laid out by %s', (layers, expected) => {
  const files = podmanConfig(templates, layers);
  expect(settings(files.get('/etc/containers/storage.conf'))).toEqual(expected);
  expect(settings(files.get('/etc/containers/containers.conf'))).toEqual([
    'default_ulimits = []',
    'pids_limit = 0',
    'keyring = false',
    'cgroup_manager = "cgroupfs"',
    'events_logger = "file"',
    'runtime = "crun"',
    'exit_command_delay = 20',
    'firewall_driver = "nftables"',
    'network_config_dir = "/var/lib/containers/networks"',
  ]);
  expect(settings(files.get('/etc/containers/registries.conf'))).toEqual([
    'location = "localhost"',
    'insecure = true',
    'location = "127.0.0.1"',
    'insecure = true',
  ]);
});
