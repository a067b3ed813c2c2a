import { describe, expect, it } from 'vitest';

import { scratchLayout, treeEntry } from '../../test/fixtures/layouts.ts';
import { registryServer, type RegistryServer, USER } from '../../test/fixtures/registry-server.ts';
import { sha256 } from '../core/digest.ts';
import { Secret } from '../core/secrets.ts';
import { undiciHttp } from '../host/adapters/undici-http.ts';
import type { RegistryAuth } from '../host/engine/credentials.ts';
import type { HttpRequest } from '../host/http.ts';
import { assembleImage, type Image, readImage } from './image.ts';
import { writeLayer } from './layer.ts';
import type { ImageLayout } from './layout.ts';
import { listManifests, putManifest } from './manifests.ts';
import { parseReference } from './reference.ts';
import { parseChallenge } from './registry-auth.ts';
import { pullImage, pushImage } from './registry-transfer.ts';
import { RegistryClient, type RegistrySettings } from './registry.ts';
import { type Descriptor, MEDIA_TYPES } from './types.ts';

const LOGIN: RegistryAuth = { kind: 'password', username: USER.username, password: new Secret(USER.password) };

function client(more: Partial<RegistrySettings> = {}): RegistryClient {
  return new RegistryClient({
    http: undiciHttp({ offline: false }),
    credentials: () => Promise.resolve(undefined),
    retryDelayMs: 1,
    ...more,
  });
}

async function sample(layout: ImageLayout, text = 'content'): Promise<Image> {
  const layer = await writeLayer(layout, [treeEntry('a', text.repeat(100_000))], { compression: 'none', mtime: 0 });
  return assembleImage(layout, { layers: [layer], architecture: 'amd64', created: '2024-08-13T00:00:00Z', config: {} });
}

async function served(server: RegistryServer): Promise<Image> {
  const layout = await scratchLayout();
  const image = await sample(layout);
  await pushImage(
    client({ credentials: () => Promise.resolve(LOGIN) }),
    layout,
    image.descriptor,
    parseReference(`${server.host}/org/node:1`),
  );
  return image;
}

describe('RegistryClient', () => {
  it.each([
    ['none', undefined],
    ['basic', LOGIN],
    ['token', LOGIN],
    ['token', { kind: 'identity-token', token: new Secret(USER.password) }],
  ] as const)('pushes, resolves and pulls (auth %s)', async (auth, login) => {
    const server = await registryServer({ auth });
    const [from, to] = [await scratchLayout(), await scratchLayout()];
    const image = await sample(from);
    const registry = client({ credentials: () => Promise.resolve(login) });
    const reference = parseReference(`${server.host}/org/node:1.31`);
    await pushImage(registry, from, image.descriptor, reference);
    expect(await registry.resolve(reference)).toEqual(image.descriptor);
    const progress: [number, number][] = [];
    const pulled = await pullImage(registry, to, reference, {
      architecture: 'amd64',
      refs: ['node:1'],
      onProgress: (...step) => progress.push(step),
    });
    expect(pulled).toEqual(image.descriptor);
    expect((await readImage(to, 'node:1')).manifest).toEqual(image.manifest);
    const total = image.manifest.config.size + image.manifest.layers[0]!.size;
    expect(progress.at(-1)).toEqual([total, total]);
    server.log.length = 0;
    await pullImage(registry, to, reference, { architecture: 'amd64' });
    await pushImage(registry, from, image.descriptor, reference);
    expect(server.log.filter((line) => line.startsWith('POST') || line.startsWith('GET /v2/org/node/blobs'))).toEqual([]);
  });

  it('pulls anonymously where a token server gives a token to anybody, and asks for credentials only when challenged', async () => {
    const server = await registryServer({ auth: 'token' });
    const image = await served(server);
    const asked: string[] = [];
    const registry = client({ credentials: (repository) => Promise.resolve(void asked.push(repository)).then(() => undefined) });
    expect((await registry.resolve(parseReference(`${server.host}/org/node:1`))).digest).toBe(image.descriptor.digest);
    expect(asked).toEqual([`${server.host}/org/node`]);
    const denied = pushImage(registry, await scratchLayout(), image.descriptor, parseReference(`${server.host}/org/node:2`));
    await expect(denied).rejects.toMatchObject({ code: 'blob-missing' });
  });

  it.each([
    ['basic', undefined],
    ['basic', { kind: 'password', username: 'kube', password: new Secret('wrong') }],
    ['token', { kind: 'password', username: 'kube', password: new Secret('wrong') }],
  ] as const)('says who refuses (auth %s)', async (auth, login) => {
    const server = await registryServer({ auth });
    const registry = client({ credentials: () => Promise.resolve(login) });
    await expect(registry.resolve(parseReference(`${server.host}/a`))).rejects.toMatchObject({ code: 'registry-denied' });
  });

  it('takes the image of the wanted platform out of an index', async () => {
    const server = await registryServer();
    const [from, to] = [await scratchLayout(), await scratchLayout()];
    const [amd64, arm64] = [await sample(from, 'amd64'), await sample(from, 'arm64')];
    const entry = ({ descriptor }: Image, architecture: string): Descriptor => ({ ...descriptor, platform: { os: 'linux', architecture } });
    const index = { schemaVersion: 2 as const, mediaType: MEDIA_TYPES.index, manifests: [entry(amd64, 'amd64'), entry(arm64, 'arm64')] };
    const descriptor = await putManifest(from, index);
    const reference = parseReference(`${server.host}/multi:1`);
    await pushImage(client(), from, descriptor, reference);
    expect(await client().resolve(reference)).toEqual(descriptor);
    expect(await pullImage(client(), to, reference, { architecture: 'arm64' })).toEqual(arm64.descriptor);
    expect(await listManifests(to)).toEqual([{ descriptor: arm64.descriptor, refs: [] }]);
    await expect(pullImage(client(), to, reference, { architecture: 's390x' })).rejects.toMatchObject({ code: 'platform-missing' });
  });

  it('refuses bytes that are not what the digest says, and enters nothing', async () => {
    const server = await registryServer();
    const image = await served(server);
    const reference = parseReference(`${server.host}/org/node:1`);
    server.blobs.set(image.manifest.layers[0]!.digest, Buffer.from('other'));
    const to = await scratchLayout();
    await expect(pullImage(client(), to, reference, { architecture: 'amd64' })).rejects.toMatchObject({ code: 'digest-mismatch' });
    expect(await listManifests(to)).toEqual([]);
    const pinned = { ...reference, digest: sha256('something else') };
    server.manifests.set(`org/node/${pinned.digest}`, server.manifests.get('org/node/1')!);
    await expect(pullImage(client(), to, pinned, { architecture: 'amd64' })).rejects.toMatchObject({ code: 'digest-mismatch' });
  });

  it('says what is not there', async () => {
    const server = await registryServer();
    const reference = parseReference(`${server.host}/org/none:1`);
    await expect(client().resolve(reference)).rejects.toMatchObject({ code: 'image-not-found', reason: 'notFoundOrExists' });
    await expect(pullImage(client(), await scratchLayout(), reference, { architecture: 'amd64' })).rejects.toMatchObject({
      code: 'image-not-found',
    });
    expect(server.log).toEqual(['HEAD /v2/org/none/manifests/1', 'GET /v2/org/none/manifests/1']);
  });

  it('tries again when a server fails for a moment or a connection breaks', async () => {
    let failures = 3;
    const server = await registryServer({
      fault: (request, response) => {
        if (request.method !== 'GET' || failures === 0) return false;
        failures -= 1;
        if (failures === 2) response.writeHead(503).end();
        else {
          response.writeHead(200, { 'content-length': '1000' });
          response.write('begun');
          setImmediate(() => response.destroy());
        }
        return true;
      },
    });
    const image = await served(server);
    const to = await scratchLayout();
    expect(await pullImage(client(), to, parseReference(`${server.host}/org/node:1`), { architecture: 'amd64' })).toEqual(image.descriptor);
    expect(failures).toBe(0);
  });

  it('gives up with the words of the server, and without a server', async () => {
    const server = await registryServer({
      fault: (_request, response) => {
        response.writeHead(500).end('out of disk');
        return true;
      },
    });
    const reference = parseReference(`${server.host}/a`);
    const pull = async (): Promise<Descriptor> => pullImage(client(), await scratchLayout(), reference, { architecture: 'amd64' });
    await expect(pull()).rejects.toMatchObject({ code: 'registry-failed', message: expect.stringContaining('out of disk') as string });
    expect(server.log).toHaveLength(5);
    const offline = client({ http: undiciHttp({ offline: true }) });
    await expect(offline.resolve(reference)).rejects.toMatchObject({ code: 'offline' });
  });

  it('sends nothing secret to another host', async () => {
    const seen: HttpRequest[] = [];
    const http = undiciHttp({ offline: false });
    const other = await registryServer({
      fault: (request, response) => (expect(request.headers.authorization).toBeUndefined(), response.writeHead(201).end(), true),
    });
    const server = await registryServer({
      auth: 'basic',
      fault: (request, response) => {
        if (request.method !== 'POST') return false;
        response.writeHead(202, { location: `http://${other.host}/upload` }).end();
        return true;
      },
    });
    const layout = await scratchLayout();
    const image = await sample(layout);
    const registry = client({
      credentials: () => Promise.resolve(LOGIN),
      http: { send: (request) => (seen.push(request), http.send(request)) },
    });
    await pushImage(registry, layout, image.descriptor, parseReference(`${server.host}/a:1`));
    expect(other.log).toHaveLength(2);
    expect(JSON.stringify(seen)).not.toContain(Buffer.from(`${USER.username}:${USER.password}`).toString('base64'));
  });

  it('speaks HTTPS unless told otherwise, and HTTP to a registry of this host that does not', async () => {
    const failing = (code: string): Partial<RegistrySettings> => ({
      insecure: ['lab.example'],
      http: { send: () => Promise.reject(Object.assign(new Error(code), { code })) },
    });
    const urls = async (code: string): Promise<string[]> => {
      const texts = ['quay.io/a', 'debian', 'localhost:5000/a', '127.0.0.1/a', '[::1]:5000/a', 'lab.example/a', 'localhost.example/a'];
      return Promise.all(texts.map((text) => client(failing(code)).url(parseReference(text), 'x')));
    };
    expect(await urls('EPROTO')).toEqual([
      'https://quay.io/v2/a/x',
      'https://registry-1.docker.io/v2/library/debian/x',
      'http://localhost:5000/v2/a/x',
      'http://127.0.0.1/v2/a/x',
      'http://[::1]:5000/v2/a/x',
      'http://lab.example/v2/a/x',
      'https://localhost.example/v2/a/x',
    ]);
    expect(await urls('DEPTH_ZERO_SELF_SIGNED_CERT')).toContain('https://localhost:5000/v2/a/x');
  });
});

describe('parseChallenge', () => {
  it.each([
    [
      'Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a:pull,push"',
      { scheme: 'bearer', realm: 'https://auth.docker.io/token', service: 'registry.docker.io', scope: 'repository:a:pull,push' },
    ],
    ['bearer Realm=https://a/t', { scheme: 'bearer', realm: 'https://a/t' }],
    ['Bearer realm="https://a/\\"q\\"", service=""', { scheme: 'bearer', realm: 'https://a/"q"', service: '' }],
    ['Basic realm="x", Bearer realm="https://a/t"', { scheme: 'bearer', realm: 'https://a/t' }],
    ['Basic realm="Registry"', { scheme: 'basic' }],
    ['BASIC', { scheme: 'basic' }],
    ['Negotiate', undefined],
    ['Bearer', undefined],
    ['', undefined],
  ])('reads %s', (header, challenge) => {
    expect(parseChallenge(header)).toEqual(challenge);
  });
});
