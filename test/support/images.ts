// Snapshots on disk as the bad-input tests see them: what is in them, byte by byte, and copies with damage.

import { createHash } from 'node:crypto';
import { chownSync, closeSync, copyFileSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, rmSync, statSync, truncateSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { TestHome } from './home.js';

/** SHA-256 of each file. */
export function hashes(directory: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(directory)
      .sort()
      .map((file) => [file, createHash('sha256').update(readFileSync(join(directory, file))).digest('hex')]),
  );
}

/** A copy of a snapshot that belongs to the test's user, under the scratch directory. */
export class ImageCopy {
  readonly directory: string;

  constructor(
    home: TestHome,
    readonly from: string,
    name = 'damaged',
  ) {
    this.directory = join(home.scratch, name);
    rmSync(this.directory, { recursive: true, force: true });
    mkdirSync(this.directory, { mode: 0o700 });
    for (const file of readdirSync(from)) copyFileSync(join(from, file), join(this.directory, file));
    for (const path of [this.directory, ...readdirSync(from).map((file) => join(this.directory, file))]) chownSync(path, home.user.uid, home.user.gid);
  }

  /** Files of raw pages. */
  get pageFiles(): string[] {
    return readdirSync(this.directory).filter((file) => /^pages-/.test(file));
  }

  size(file: string): number {
    return statSync(join(this.directory, file)).size;
  }

  truncate(file: string, bytes: number): void {
    truncateSync(join(this.directory, file), bytes);
  }

  flip(file: string, offset: number, mask = 1 << (offset % 8)): void {
    const fd = openSync(join(this.directory, file), 'r+');
    try {
      const byte = Buffer.alloc(1);
      readSync(fd, byte, 0, 1, offset);
      byte[0] = (byte[0] ?? 0) ^ mask;
      writeSync(fd, byte, 0, 1, offset);
    } finally {
      closeSync(fd);
    }
  }
}
