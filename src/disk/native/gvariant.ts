import { Buffer } from 'node:buffer';

/**
 * A value in GVariant's serialised form, as far as OSTree's objects need it.
 *
 * Format: https://developer.gnome.org/documentation/specifications/gvariant-specification-1.0.html
 */
export interface Serialised {
  readonly bytes: Buffer;
  readonly align: number;
  /** Whether all values of its type have the same size. */
  readonly fixed: boolean;
}

/** OSTree stores its numbers big-endian whatever the machine. */
export function uint32(value: number): Serialised {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return { bytes, align: 4, fixed: true };
}

export function uint64(value: number): Serialised {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return { bytes, align: 8, fixed: true };
}

export function string(value: string | Uint8Array): Serialised {
  return { bytes: Buffer.concat([Buffer.from(value as string), Buffer.alloc(1)]), align: 1, fixed: false };
}

/** `ay` */
export function byteArray(value: Uint8Array): Serialised {
  return { bytes: Buffer.from(value), align: 1, fixed: false };
}

/** `v`; `type` is the type string of the value. */
export function variant(value: Serialised, type: string): Serialised {
  return { bytes: Buffer.concat([value.bytes, Buffer.from(`\0${type}`)]), align: 8, fixed: false };
}

/** An array of elements whose sizes differ; `align` is that of the element type, which an empty array has as well. */
export function array(elements: readonly Serialised[], align = 1): Serialised {
  const { body, ends } = layOut(elements);
  return { bytes: frame(body, ends), align, fixed: false };
}

/** A structure or a dictionary entry. */
export function tuple(...members: readonly Serialised[]): Serialised {
  const align = Math.max(...members.map((member) => member.align));
  const { body, ends } = layOut(members);
  if (members.every(({ fixed }) => fixed)) return { bytes: padded(body, align), align, fixed: true };
  // The end of the last member is that of the whole.
  const framed = ends.filter((_, index) => index < members.length - 1 && members[index]?.fixed === false);
  return { bytes: frame(body, framed.toReversed()), align, fixed: false };
}

function layOut(members: readonly Serialised[]): { readonly body: Buffer; readonly ends: readonly number[] } {
  const parts: Buffer[] = [];
  const ends: number[] = [];
  let at = 0;
  for (const { bytes, align } of members) {
    const gap = -at & (align - 1);
    parts.push(Buffer.alloc(gap), bytes);
    at += gap + bytes.length;
    ends.push(at);
  }
  return { body: Buffer.concat(parts), ends };
}

function padded(body: Buffer, align: number): Buffer {
  return Buffer.concat([body, Buffer.alloc(-body.length & (align - 1))]);
}

/** Offsets take as many bytes each as the size of the whole, themselves included, asks for. */
function frame(body: Buffer, offsets: readonly number[]): Buffer {
  const width = [1, 2, 4].find((bytes) => body.length + bytes * offsets.length < 2 ** (8 * bytes)) ?? 8;
  const framing = Buffer.alloc(width * offsets.length);
  for (const [index, offset] of offsets.entries()) {
    if (width === 8) framing.writeBigUInt64LE(BigInt(offset), index * width);
    else framing.writeUIntLE(offset, index * width, width);
  }
  return Buffer.concat([body, framing]);
}
