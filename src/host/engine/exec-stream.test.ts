import { PassThrough, Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';

import { forwardOutput, FrameReader } from './exec-stream.ts';

function frame(stream: number, content: string): Buffer {
  const bytes = Buffer.from(content);
  const header = Buffer.alloc(8);
  header.writeUInt8(stream, 0);
  header.writeUInt32BE(bytes.length, 4);
  return Buffer.concat([header, bytes]);
}

const STREAMS = Buffer.concat([frame(1, 'out'), frame(2, 'err'), frame(1, ''), frame(1, ' and on')]);

describe('the streams of a command', () => {
  it.each([1, 2, 7, 8, 9, 1000])('come apart in chunks of %i bytes', (size) => {
    const reader = new FrameReader();
    const found = { stdout: '', stderr: '' };
    for (let at = 0; at < STREAMS.length; at += size) {
      for (const [stream, bytes] of reader.read(STREAMS.subarray(at, at + size))) found[stream] += bytes.toString();
    }
    expect(found).toEqual({ stdout: 'out and on', stderr: 'err' });
  });

  it('what is no frame is not taken for one', () => {
    expect(() => [...new FrameReader().read(Buffer.from('plain text'))]).toThrow(
      expect.objectContaining({ code: 'engine-stream-damaged' }) as Error,
    );
  });

  it('go to two sinks, no faster than the sinks take them', async () => {
    const stdout = new PassThrough({ highWaterMark: 4 });
    const stderr = new PassThrough();
    const read = Promise.all([text(stdout), text(stderr)]);
    await forwardOutput(Readable.from([STREAMS, frame(1, 'x'.repeat(100))]), { stdout, stderr }, false);
    stdout.end();
    stderr.end();
    expect(await read).toEqual([`out and on${'x'.repeat(100)}`, 'err']);
  });

  it('a closed sink takes nothing and stops nothing', async () => {
    const stdout = new PassThrough();
    stdout.destroy();
    const stderr = new PassThrough();
    await forwardOutput(Readable.from([STREAMS]), { stdout, stderr }, false);
    stderr.end();
    expect(await text(stderr)).toBe('err');
  });

  it('a terminal has one stream', async () => {
    const stdout = new PassThrough();
    await forwardOutput(Readable.from([Buffer.from('as it is')]), { stdout, stderr: new PassThrough() }, true);
    stdout.end();
    expect(await text(stdout)).toBe('as it is');
  });
});
