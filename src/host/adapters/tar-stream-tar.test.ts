import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, describe, expect, it } from 'vitest';

import type { TarEntry, TarEntryWithContent } from '../tar.ts';
import { tarStreamTar } from './tar-stream-tar.ts';

const scratch = mkdtempSync(join(tmpdir(), 'kvci-tar-'));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function entry(path: string, more: Partial<TarEntryWithContent> & { readonly bytes?: Buffer } = {}): TarEntryWithContent {
  const { bytes = Buffer.alloc(0), ...rest } = more;
  return {
    path,
    type: 'file',
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: 1_700_000_000,
    size: bytes.length,
    xattrs: {},
    content: () => Readable.from([bytes]),
    ...rest,
  };
}

function metadata({ path, type, mode, uid, gid, mtime, size, linkname, xattrs, device }: TarEntry): TarEntry {
  return {
    path,
    type,
    mode,
    uid,
    gid,
    mtime,
    size,
    xattrs,
    ...(linkname === undefined ? {} : { linkname }),
    ...(device === undefined ? {} : { device }),
  };
}

async function readAll(tar: Readable): Promise<(TarEntry & { readonly bytes: string })[]> {
  const entries: (TarEntry & { readonly bytes: string })[] = [];
  for await (const { content, ...rest } of tarStreamTar.read(tar))
    entries.push({ ...rest, bytes: rest.type === 'file' ? (await buffer(content())).toString('latin1') : '' });
  return entries;
}

function gnuTar(...args: string[]): Buffer {
  return execFileSync('tar', ['-C', scratch, '-c', '-f', '-', ...args], { maxBuffer: 1 << 28 });
}

const CAP_SETUID = Buffer.from('0100000280000000000000000000000000000000', 'hex').toString('latin1');

const ENTRIES: readonly TarEntryWithContent[] = [
  entry('.', { type: 'directory', mode: 0o755 }),
  entry('etc/shadow', { mode: 0, bytes: Buffer.from('root:*') }),
  entry('usr/bin/su', { mode: 0o4755, bytes: Buffer.from('x'.repeat(70_000)) }),
  entry('usr/bin/newuidmap', {
    mode: 0o755,
    bytes: Buffer.from([0, 255]),
    xattrs: { 'security.capability': CAP_SETUID, 'user.line\nfeed': 'a=b\n\0' },
  }),
  entry(`${'long/'.repeat(60)}name`, { bytes: Buffer.from('deep') }),
  entry('link', { type: 'symlink', linkname: '../'.repeat(50) }),
  entry('hard', { type: 'hardlink', linkname: `${'long/'.repeat(60)}name` }),
  entry('dev/null', { type: 'character-device', mode: 0o666, device: { major: 1, minor: 3 } }),
  entry('dev/nvme', { type: 'block-device', device: { major: 259, minor: 100_000 } }),
  entry('run/pipe', { type: 'fifo' }),
  entry('owner', { uid: 2_000_000_000, gid: 300_000 }),
  entry('late', { mtime: 4_000_000_000 }),
  entry('early', { mtime: -5 }),
  entry('with space and ünïcode ☃', {}),
  entry('stray-\udcff\udc80-byte', {}),
  entry('tab\tand\nnewline', {}),
];

describe('tarStreamTar', () => {
  it('marks names as bytes where that is asked, and they are not ASCII', async () => {
    const named = (path: string) => buffer(tarStreamTar.write([entry(path)], { binaryNames: true }));
    expect((await named('größe')).includes('21 hdrcharset=BINARY\n')).toBe(true);
    expect((await named('x'.repeat(200))).includes('hdrcharset')).toBe(false);
    expect((await buffer(tarStreamTar.write([entry('größe')]))).includes('hdrcharset')).toBe(false);
  });

  it('reads back what it wrote, whatever the entry holds', async () => {
    const entries = await readAll(tarStreamTar.write(ENTRIES));
    expect(entries.map(metadata)).toEqual(ENTRIES.map(metadata));
    expect(entries.find(({ path }) => path === 'usr/bin/su')?.bytes).toBe('x'.repeat(70_000));
    expect(entries.find(({ path }) => path === 'usr/bin/newuidmap')?.bytes).toBe('\0\xff');
  });

  it('tells where each content starts', async () => {
    const tar = await buffer(tarStreamTar.write(ENTRIES));
    let seen = 0;
    for await (const { offset, size, content, type } of tarStreamTar.read(Readable.from([tar]))) {
      if (type !== 'file' || offset === undefined) continue;
      seen += 1;
      expect(tar.subarray(offset, offset + size)).toEqual(await buffer(content()));
    }
    expect(seen).toBe(10);
  });

  it('writes tars that GNU tar extracts', async () => {
    const out = join(scratch, 'extracted');
    mkdirSync(out);
    const entries = ENTRIES.filter(({ path }) => !path.startsWith('dev') && path !== 'owner' && path !== '.');
    const tar = await buffer(tarStreamTar.write(entries));
    execFileSync('tar', ['-C', out, '-x', '-p', '-f', '-', '--no-same-owner'], { input: tar });
    expect(readFileSync(join(out, 'hard'), 'utf8')).toBe('deep');
    expect(execFileSync('stat', ['-c', '%a %Y %h', 'etc/shadow', 'usr/bin/su', 'late', 'hard'], { cwd: out, encoding: 'utf8' })).toBe(
      '0 1700000000 1\n4755 1700000000 1\n644 4000000000 1\n644 1700000000 2\n',
    );
    expect(readFileSync(Buffer.concat([Buffer.from(`${out}/stray-`), Buffer.from([0xff, 0x80]), Buffer.from('-byte')]))).toEqual(
      Buffer.alloc(0),
    );
  });

  it.each(['posix', 'gnu'])('reads what GNU tar wrote (--format=%s)', async (format) => {
    const folder = join(scratch, `in-${format}`);
    mkdirSync(join(folder, 'd', 'e'.repeat(120)), { recursive: true });
    writeFileSync(join(folder, 'd', 'a b'), 'hello');
    writeFileSync(join(folder, 'd', 'e'.repeat(120), 'f'.repeat(120)), 'far');
    writeFileSync(Buffer.concat([Buffer.from(`${folder}/d/`), Buffer.from([0xe9]), Buffer.from('t')]), 'latin1 name');
    execFileSync('ln', [join(folder, 'd', 'a b'), join(folder, 'd', 'z hard')]);
    execFileSync('ln', ['-s', 'g'.repeat(150), join(folder, 'd', 'sym')]);
    const tar = gnuTar(
      `--format=${format}`,
      '--sort=name',
      '--owner=5000000',
      '--group=7',
      '--numeric-owner',
      '--mtime=@1600000000',
      `in-${format}/d`,
    );
    const entries = await readAll(Readable.from([tar]));
    const base = `in-${format}/d`;
    expect(entries.map(({ path, type, linkname, bytes, uid, mtime }) => [path, type, linkname, bytes, uid, mtime])).toEqual(
      [
        [base, 'directory', undefined, ''],
        [`${base}/a b`, 'file', undefined, 'hello'],
        [`${base}/${'e'.repeat(120)}`, 'directory', undefined, ''],
        [`${base}/${'e'.repeat(120)}/${'f'.repeat(120)}`, 'file', undefined, 'far'],
        [`${base}/sym`, 'symlink', 'g'.repeat(150), ''],
        [`${base}/z hard`, 'hardlink', `${base}/a b`, ''],
        [`${base}/\udce9t`, 'file', undefined, 'latin1 name'],
      ].map((fields) => [...fields, 5_000_000, 1_600_000_000]),
    );
  });

  it.each(['0.1', '1.0'])('fills the holes of GNU sparse files (version %s)', async (version) => {
    const file = join(scratch, 'sparse');
    writeFileSync(file, 'start');
    execFileSync('truncate', ['-s', '3000000', file]);
    writeFileSync(file, 'end', { flag: 'a' });
    const tar = gnuTar('--format=posix', '--sparse', `--sparse-version=${version}`, 'sparse');
    expect(tar.length).toBeLessThan(1_000_000);
    const [read] = await readAll(Readable.from([tar]));
    expect(read).toMatchObject({ path: 'sparse', size: 3_000_003 });
    expect(Buffer.from(read?.bytes ?? '', 'latin1').equals(readFileSync(file))).toBe(true);
  });

  it('refuses what it cannot read instead of guessing', async () => {
    const tar = gnuTar('--format=gnu', '--sparse', 'sparse');
    await expect(readAll(Readable.from([tar]))).rejects.toMatchObject({ code: 'tar-unsupported' });
    await expect(readAll(Readable.from([Buffer.from('not a tar'.repeat(100))]))).rejects.toMatchObject({ code: 'tar-damaged' });
    await expect(readAll(tarStreamTar.write([entry('a/../../b')]))).rejects.toMatchObject({ code: 'tar-damaged' });
  });

  it('tells a tar that ends early', async () => {
    const tar = await buffer(tarStreamTar.write(ENTRIES));
    for (const length of [300, 40_000, tar.length - 1500])
      await expect(readAll(Readable.from([tar.subarray(0, length)])), `cut at ${length}`).rejects.toMatchObject({ code: 'tar-damaged' });
  });

  it('passes on the error of its source', async () => {
    const failing = Readable.from(
      (function* () {
        yield Buffer.alloc(100);
        throw new Error('the wire broke');
      })(),
    );
    await expect(readAll(failing)).rejects.toThrow('the wire broke');
  });

  it('skips content that nobody reads, or reads in part', async () => {
    const paths = [];
    for await (const read of tarStreamTar.read(tarStreamTar.write(ENTRIES))) {
      paths.push(read.path);
      if (read.path === 'usr/bin/su') for await (const chunk of read.content()) if ((chunk as Buffer).length > 0) break;
    }
    expect(paths).toEqual(ENTRIES.map(({ path }) => path));
  });

  it('reads headers of files larger than 8 GB', async () => {
    const size = 9 * 2 ** 30;
    const written = tarStreamTar.write([entry('huge', { size, content: () => new Readable() })]);
    const header = (await written[Symbol.asyncIterator]().next()).value as Buffer;
    const endless = new Readable({ read: () => undefined });
    endless.push(header);
    const iterator = tarStreamTar.read(endless);
    expect((await iterator.next()).value).toMatchObject({ path: 'huge', size });
  });

  it.each([Buffer.alloc(10), Buffer.alloc(8), Buffer.alloc(0)])(
    'fails when a content is not as long as its entry says (%#)',
    async (bytes) => {
      const wrong = entry('a', { size: 9, content: () => Readable.from(bytes.length === 0 ? [] : [bytes]) });
      await expect(buffer(tarStreamTar.write([wrong]))).rejects.toMatchObject({ code: 'tar-size-differs' });
    },
  );

  it('fails with the error of a content or of the entries', async () => {
    const broken = entry('a', {
      size: 9,
      content: () =>
        new Readable({
          read() {
            this.destroy(new Error('unreadable'));
          },
        }),
    });
    await expect(buffer(tarStreamTar.write([broken]))).rejects.toThrow('unreadable');
    const entries = (function* () {
      yield entry('a');
      throw new Error('no more');
    })();
    await expect(buffer(tarStreamTar.write(entries))).rejects.toThrow('no more');
  });
});
