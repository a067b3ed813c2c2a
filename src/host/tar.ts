import type { Readable } from 'node:stream';

/**
 * What a path is, as a tar header or a file system tells it; `path` is relative, without a leading `./` or a trailing `/`; the
 * root is `.`. Names that are not UTF-8 carry each stray byte as a lone surrogate (see `tar-bytes.ts`), so nothing is lost.
 */
export interface TarEntry {
  readonly path: string;
  readonly type: 'file' | 'directory' | 'symlink' | 'hardlink' | 'character-device' | 'block-device' | 'fifo';
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Whole seconds since the epoch. */
  readonly mtime: number;
  /** Bytes; 0 for everything but files. */
  readonly size: number;
  /** Target of a symlink or hard link. A hard link's is a path like `path`. */
  readonly linkname?: string;
  /** Extended attributes by full name (`security.capability`), values as bytes in latin1. */
  readonly xattrs: Readonly<Record<string, string>>;
  readonly device?: { readonly major: number; readonly minor: number };
}

/** An entry with its content: `content` is called at most once, and only for files. */
export interface TarEntryWithContent extends TarEntry {
  readonly content: () => Readable;
}

/** An entry as it is read; its content is gone when the next one is asked for. */
export interface TarReadEntry extends TarEntryWithContent {
  /** Where the content starts, in bytes from the start of the tar; absent when it is not stored as it is (sparse files). */
  readonly offset?: number;
}

export interface Tar {
  /**
   * Entries in the order they stand in the tar. Content that is not read, or not to its end, is skipped.
   *
   * With `complete`, a tar without the zero blocks at its end is refused; some tools leave them out of layers, whose digest is
   * checked instead.
   *
   * @throws KvciError `tar-damaged` (also for one that ends early), `tar-unsupported`; an error of the source as it is
   */
  read(tar: Readable, options?: { readonly complete?: boolean }): AsyncIterableIterator<TarReadEntry>;
  /**
   * A tar of the entries, in their order: ustar headers, and PAX records where ustar has no room. Equal entries give equal bytes.
   * The stream fails with whatever the entries or their contents fail with, and `tar-size-differs` where a content is not
   * as long as its entry says.
   *
   * With `binaryNames`, names that are not ASCII are marked as bytes: for readers that would convert them to their locale.
   */
  write(
    entries: AsyncIterable<TarEntryWithContent> | Iterable<TarEntryWithContent>,
    options?: { readonly binaryNames?: boolean },
  ): Readable;
}
