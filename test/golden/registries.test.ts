import { describe, expect, it } from 'vitest';

import { registryFiles, type RegistrySettings } from '../../src/machine/cri/registries.ts';
import { CONTAINER_RUNTIMES } from '../../src/machine/cri/types.ts';
import { registryConfig } from '../../src/machine/net/registry.ts';
import { readTemplates } from '../../src/image/sources.ts';
import { golden } from '../fixtures/golden.ts';

const PEM = '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n';

const SETTINGS: readonly RegistrySettings[] = [
  { host: 'registry:5000', plain: true },
  { host: 'docker.io', mirror: { url: 'https://mirror.example:5443/hub', ca: PEM } },
  { host: 'plain.example', mirror: { url: 'http://mirror.example:5080' } },
  { host: 'private.example:5000', ca: PEM },
];

describe('what nodes know of registries', () => {
  it.each(CONTAINER_RUNTIMES)('%s', async (runtime) => {
    const files = registryFiles(runtime, SETTINGS).map(({ path, content }) => `# ${path}\n${content}`);
    await golden(`registry/${runtime}`, files.join('\n'));
  });

  it.each(CONTAINER_RUNTIMES)('%s is told nothing where there is nothing to tell', (runtime) => {
    expect(registryFiles(runtime, [])).toEqual([]);
  });
});

it('the registry beside clusters', async () => {
  const templates = await readTemplates(new URL('../../templates', import.meta.url).pathname);
  await golden('registry/config.yml', registryConfig(templates, 25_000));
});
