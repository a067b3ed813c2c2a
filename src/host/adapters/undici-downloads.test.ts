import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, expect, test } from 'vitest';

import { sha256 } from '../../core/digest.ts';
import { Secret } from '../../core/secrets.ts';
import type { Downloads } from '../types.ts';
import { type DownloadSettings, undiciDownloads } from './undici-downloads.ts';

let folder: string;
let servers: Server[];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'kvci-downloads-'));
  servers = [];
});

afterEach(async () => {
  for (const server of servers) server.close().closeAllConnections();
  await rm(folder, { recursive: true });
});

async function listen(server: Server): Promise<number> {
  servers.push(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return (server.address() as AddressInfo).port;
}

/** A server that answers as told; the requests it got, `METHOD /path`. */
async function serve(answer: (request: IncomingMessage, response: ServerResponse, count: number) => void): Promise<{
  readonly url: string;
  readonly seen: string[];
}> {
  const seen: string[] = [];
  const listener: RequestListener = (request, response) => {
    seen.push(`${String(request.method)} ${String(request.url)}`);
    answer(request, response, seen.length);
  };
  return { url: `http://127.0.0.1:${await listen(createServer(listener))}`, seen };
}

function downloads(settings: Partial<DownloadSettings> = {}): Downloads {
  return undiciDownloads({ offline: false, retryDelayMs: 1, ...settings });
}

test('a file is written whole, with its digest, and progress told', async () => {
  const content = Buffer.alloc(300_000, 'abc');
  const { url } = await serve((_request, response) => response.setHeader('content-length', content.length).end(content));
  const progress: [number, number | undefined][] = [];
  const onProgress = (done: number, total: number | undefined): unknown => progress.push([done, total]);
  const path = join(folder, 'file');
  const received = await downloads().file({ url, sha256: sha256(content), onProgress }, path);
  expect(received).toEqual({ digest: sha256(content), size: 300_000 });
  expect(await readFile(path)).toEqual(content);
  expect(progress.at(-1)).toEqual([300_000, 300_000]);
  expect(await readdir(folder)).toEqual(['file']);
});

test('other bytes than expected are refused and not tried again', async () => {
  const { url, seen } = await serve((_request, response) => response.end('evil'));
  const file = downloads().file({ url, sha256: sha256('good') }, join(folder, 'file'));
  await expect(file).rejects.toMatchObject({ code: 'checksum-mismatch', facts: { expected: sha256('good'), actual: sha256('evil') } });
  await expect(downloads().text({ url, sha256: sha256('good') })).rejects.toMatchObject({ code: 'checksum-mismatch' });
  expect([seen.length, await readdir(folder)]).toEqual([2, []]);
});

test('a body that breaks off is fetched again', async () => {
  const { url, seen } = await serve((_request, response, count) => {
    response.setHeader('content-length', 8);
    if (count > 1) response.end('complete');
    else response.write('comp', () => response.destroy());
  });
  await downloads().file({ url }, join(folder, 'file'));
  expect([await readFile(join(folder, 'file'), 'utf8'), seen.length]).toEqual(['complete', 2]);
});

test('a body that always breaks off is an error and leaves nothing', async () => {
  const { url, seen } = await serve((_request, response) => {
    response.setHeader('content-length', 8);
    response.write('comp', () => response.destroy());
  });
  await expect(downloads().file({ url }, join(folder, 'file'))).rejects.toMatchObject({ code: 'download-failed', facts: { url } });
  expect([seen.length, await readdir(folder)]).toEqual([5, []]);
});

test.each([404, 403, 410])('%i is final: not served', async (status) => {
  const { url, seen } = await serve((_request, response) => response.writeHead(status).end('no'));
  await expect(downloads().text({ url })).rejects.toMatchObject({ code: 'not-served', exitCode: 5, facts: { status } });
  expect(seen.length).toBe(1);
});

test.each([400, 401, 407, 418])('%i is final', async (status) => {
  const { url, seen } = await serve((_request, response) => response.writeHead(status).end('no'));
  await expect(downloads().text({ url })).rejects.toMatchObject({ code: 'download-failed', facts: { status } });
  expect(seen.length).toBe(1);
});

test.each([500, 503, 429])('%i is tried again', async (status) => {
  const { url, seen } = await serve((_request, response, count) => response.writeHead(count < 3 ? status : 200).end('text'));
  expect([await downloads().text({ url }), seen.length]).toEqual(['text', 3]);
});

test('gives up on a server that stays broken', async () => {
  const { url, seen } = await serve((_request, response) => response.writeHead(503).end());
  await expect(downloads().text({ url })).rejects.toThrow(`cannot download ${url}: the server answered 503`);
  expect(seen.length).toBe(5);
});

test('a refused connection is an error at once', async () => {
  const { url } = await serve(() => undefined);
  servers[0]!.close();
  await expect(downloads({ retryDelayMs: 60_000 }).text({ url })).rejects.toMatchObject({ code: 'download-failed' });
});

test('redirects are followed; credentials do not go to another server', async () => {
  const other = await serve((request, response) => response.end(String(request.headers.authorization)));
  const { url } = await serve((request, response) => {
    if (request.url === '/far') response.writeHead(302, { location: other.url }).end();
    else if (request.url === '/near') response.writeHead(302, { location: '/here' }).end();
    else response.end(String(request.headers.authorization));
  });
  const headers = { authorization: new Secret('Bearer xyz') };
  expect(await downloads().text({ url: `${url}/near`, headers })).toBe('Bearer xyz');
  expect(await downloads().text({ url: `${url}/far`, headers })).toBe('undefined');
});

test('redirects without end are ended', async () => {
  const { url, seen } = await serve((_request, response, count) => response.writeHead(302, { location: `/${count}` }).end());
  await expect(downloads().text({ url })).rejects.toThrow('the server answered 302');
  expect(seen.length).toBe(11);
});

test('user and password of a URL are sent and never shown', async () => {
  const { url } = await serve((request, response) => {
    const welcome = request.headers.authorization === `Basic ${Buffer.from('me:p w').toString('base64')}`;
    response.writeHead(welcome && request.url === '/ok' ? 200 : 404).end('hello');
  });
  const base = url.replace('//', '//me:p%20w@');
  expect(await downloads().text({ url: `${base}/ok` })).toBe('hello');
  const error: unknown = await downloads()
    .text({ url: `${base}/no` })
    .catch((error: unknown) => error);
  expect(error).toMatchObject({ code: 'not-served' });
  expect(JSON.stringify(error) + String(error)).not.toContain('p%20w');
});

test('aborting half-way leaves nothing', async () => {
  const controller = new AbortController();
  const { url } = await serve((_request, response) => response.setHeader('content-length', 1000).write('some'));
  const onProgress = (): void => {
    controller.abort();
  };
  const file = downloads().file({ url, signal: controller.signal, onProgress }, join(folder, 'file'));
  await expect(file).rejects.toMatchObject({ code: 'cancelled' });
  expect(await readdir(folder)).toEqual([]);
});

test('offline asks nothing and names what is missing', async () => {
  const { url, seen } = await serve((_request, response) => response.end());
  const offline = downloads({ offline: true });
  await expect(offline.text({ url })).rejects.toMatchObject({ code: 'offline', facts: { url } });
  await expect(offline.file({ url }, join(folder, 'file'))).rejects.toThrow(url);
  expect([await offline.answers(url), seen]).toEqual([false, []]);
});

test('answers tells whether a server serves a URL', async () => {
  const { url, seen } = await serve((request, response) => {
    if (request.url === '/no-head' && request.method === 'HEAD') response.writeHead(405).end();
    else response.writeHead(request.url === '/missing' ? 404 : 200).end(request.method === 'GET' ? request.headers.range : '');
  });
  const client = downloads();
  expect(await client.answers(`${url}/there`)).toBe(true);
  expect(await client.answers(`${url}/no-head`)).toBe(true);
  expect(await client.answers(`${url}/missing`)).toBe(false);
  expect(seen).toEqual(['HEAD /there', 'HEAD /no-head', 'GET /no-head', 'HEAD /missing']);
  servers[0]!.close().closeAllConnections();
  expect(await client.answers(url)).toBe(false);
});

test('the proxy of the host is used, except for hosts that are exempt', async () => {
  const proxy = await serve((request, response) => response.end(`proxied ${String(request.url)}`));
  const direct = await serve((_request, response) => response.end('direct'));
  const elsewhere = 'http://files.example/x';
  expect(await downloads({ httpProxy: proxy.url }).text({ url: elsewhere })).toBe(`proxied ${elsewhere}`);
  expect(await downloads({ httpProxy: proxy.url, noProxy: '127.0.0.1' }).text({ url: direct.url })).toBe('direct');
});

test('at most eight connections go to one server at a time', async () => {
  let open = 0;
  let most = 0;
  const { url } = await serve((_request, response) => {
    most = Math.max(most, (open += 1));
    setImmediate(() => {
      open -= 1;
      response.end('x');
    });
  });
  const client = downloads();
  await Promise.all(Array.from({ length: 40 }, (_, index) => client.text({ url: `${url}/${index}` })));
  expect(most).toBeGreaterThan(1);
  expect(most).toBeLessThanOrEqual(8);
});

test('a server with an unknown CA is refused with a hint', async () => {
  const { key, cert } = await selfSigned();
  const url = `https://127.0.0.1:${await listen(createTlsServer({ key, cert }, (_request, response) => response.end('x')))}`;
  await expect(downloads().text({ url })).rejects.toMatchObject({ code: 'download-failed', hint: expect.stringContaining('CA') as string });
});

test('private CAs of the host and tunnels through its proxy', async () => {
  const { key, cert } = await selfSigned();
  const port = await listen(createTlsServer({ key, cert }, (_request, response) => response.end('private')));
  const tunnelled: string[] = [];
  const proxy = createServer().on('connect', (request: IncomingMessage, socket: Socket) => {
    tunnelled.push(String(request.url));
    const upstream = connect(port, '127.0.0.1', () => socket.write('HTTP/1.1 200 OK\r\n\r\n'));
    socket.pipe(upstream).on('error', () => undefined);
    upstream.pipe(socket).on('error', () => undefined);
  });
  const httpsProxy = `http://127.0.0.1:${await listen(proxy)}`;
  const program = `
    import { undiciDownloads } from ${JSON.stringify(join(import.meta.dirname, 'undici-downloads.ts'))};
    const downloads = undiciDownloads({ offline: false, httpsProxy: ${JSON.stringify(httpsProxy)} });
    process.stdout.write(await downloads.text({ url: 'https://127.0.0.1:${port}/' }));`;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module-typescript', '-e', program], {
    env: { ...process.env, NODE_EXTRA_CA_CERTS: join(folder, 'cert.pem') },
  });
  expect([stdout, tunnelled]).toEqual(['private', [`127.0.0.1:${port}`]]);
});

test('a URL that is none, or of another kind, is refused', async () => {
  for (const url of ['nonsense', 'file:///etc/passwd']) await expect(downloads().text({ url })).rejects.toMatchObject({ code: 'bad-url' });
});

test('a folder that cannot be written to is told', async () => {
  const { url } = await serve((_request, response) => response.end('x'));
  await expect(downloads().file({ url }, join(folder, 'none', 'file'))).rejects.toThrow(/ENOENT/);
});

/** Key and certificate of a CA that nobody knows. */
async function selfSigned(): Promise<{ readonly key: string; readonly cert: string }> {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const name = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'];
  await promisify(execFile)('openssl', ['req', ...kind, ...name, '-keyout', key, '-out', cert]);
  return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
}
