// Snapshots on disk as the bad-input tests see them: what is in them, byte by byte, and copies with damage.

import { createHash } from 'node:crypto';
import {
  chownSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import type { TestHome } from './home.js';

/** SHA-256 of each file. */
export function hashes(directory: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(directory)
      .sort()
      .map((file) => [
        file,
        createHash('sha256')
          .update(readFileSync(join(directory, file)))
          .digest('hex'),
      ]),
  );
}

/** The files of a snapshot, to be damaged. */
export class ImageCopy {
  private constructor(readonly directory: string) {}

  /** A copy that belongs to the test's user, under the scratch directory. */
  static make(home: TestHome, from: string, name = 'damaged'): ImageCopy {
    const directory = join(home.scratch, name);
    rmSync(directory, { recursive: true, force: true });
    mkdirSync(directory, { mode: 0o700 });
    for (const file of readdirSync(from)) copyFileSync(join(from, file), join(directory, file));
    for (const path of [directory, ...readdirSync(from).map((file) => join(directory, file))]) {
      chownSync(path, home.user.uid, home.user.gid);
    }
    return new ImageCopy(directory);
  }

  /** The snapshot itself, no copy. */
  static at(directory: string): ImageCopy {
    return new ImageCopy(directory);
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
