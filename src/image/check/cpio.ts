import { gunzipSync, zstdDecompressSync } from 'node:zlib';

/**
 * Names of all files in an initramfs: any number of newc cpio archives one after the other, plain (early microcode) or compressed,
 * with zero bytes between them.
 *
 * Format: https://docs.kernel.org/driver-api/early-userspace/buffer-format.html
 *
 * @throws InitramfsError for anything else
 */
export async function initramfsNames(image: Uint8Array): Promise<string[]> {
  const names: string[] = [];
  let rest = image;
  for (rest = skipZeros(rest); rest.length > 0; rest = skipZeros(rest)) {
    if (isCpio(rest)) rest = readCpio(rest, names);
    else {
      const unpacked = await decompress(rest);
      if (!isCpio(unpacked)) throw new InitramfsError('its compressed part holds no cpio archive');
      for (let inner = unpacked; inner.length > 0; inner = skipZeros(inner)) inner = readCpio(inner, names);
      // A compressed archive is the last: what follows it would have to be found inside its own stream.
      break;
    }
  }
  return names;
}

export class InitramfsError extends Error {
  override readonly name = 'InitramfsError';
}

const HEADER_BYTES = 110;
const NAME_SIZE_AT = 94;
const FILE_SIZE_AT = 54;

function readCpio(archive: Uint8Array, names: string[]): Uint8Array {
  const data = Buffer.from(archive.buffer, archive.byteOffset, archive.byteLength);
  let at = 0;
  while (at + HEADER_BYTES <= data.length) {
    if (!isCpio(data.subarray(at))) throw new InitramfsError(`no cpio header at byte ${String(at)}`);
    const nameSize = hex(data, at + NAME_SIZE_AT);
    const fileSize = hex(data, at + FILE_SIZE_AT);
    const name = data.toString('utf8', at + HEADER_BYTES, at + HEADER_BYTES + nameSize - 1);
    at = align4(at + HEADER_BYTES + nameSize);
    at = align4(at + fileSize);
    if (at > align4(data.length)) break;
    if (name === 'TRAILER!!!') return archive.subarray(Math.min(at, archive.length));
    names.push(name.replace(/^\.?\//, ''));
  }
  throw new InitramfsError('a cpio archive ends before its trailer');
}

function isCpio(data: Uint8Array): boolean {
  const magic = Buffer.from(data.subarray(0, 6)).toString('latin1');
  return magic === '070701' || magic === '070702';
}

function hex(data: Buffer, at: number): number {
  const value = Number.parseInt(data.toString('latin1', at, at + 8), 16);
  if (Number.isNaN(value)) throw new InitramfsError(`no number in the cpio header at byte ${String(at)}`);
  return value;
}

function align4(offset: number): number {
  return Math.ceil(offset / 4) * 4;
}

function skipZeros(data: Uint8Array): Uint8Array {
  const start = data.findIndex((byte) => byte !== 0);
  return start === -1 ? data.subarray(data.length) : data.subarray(start);
}

/** A whole file without its compression, told by its first bytes. @throws InitramfsError */
export async function decompress(data: Uint8Array): Promise<Uint8Array> {
  const magic = Buffer.from(data.subarray(0, 6)).toString('hex');
  try {
    if (magic.startsWith('1f8b')) return gunzipSync(data);
    if (magic.startsWith('28b52ffd')) return zstdDecompressSync(data);
    if (magic.startsWith('fd377a585a00')) return await unxz(data);
  } catch (error) {
    throw new InitramfsError(`it cannot be decompressed: ${error instanceof Error ? error.message : String(error)}`);
  }
  throw new InitramfsError(`unknown compression (starts with ${magic})`);
}

async function unxz(data: Uint8Array): Promise<Uint8Array> {
  // CommonJS whose exports Node cannot tell by looking: all of them are on the default one.
  const { XzReadableStream } = (await import('xz-decompress')).default;
  const source = new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(data);
      controller.close();
    },
  });
  return new Uint8Array(await new Response(new XzReadableStream(source)).arrayBuffer());
}
