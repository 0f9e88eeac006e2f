// A snapshot: the saved state of an application at one instant, a directory that holds an image (docs/image-format.md). Objects hold
// nothing open.

import { existsSync, lstatSync, readdirSync, rmdirSync, rmSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError } from '../errors.js';
import { callNative } from '../native-call.js';
import type { Home } from '../store/home.js';
import { imageFileName, type SnapshotLocation } from '../store/snapshots.js';

/** What a checkpoint cost and what it wrote. */
export interface CheckpointStatistics {
  /** How long the application stood still, milliseconds. */
  readonly pauseMs: number;
  readonly totalMs: number;
  readonly processes: number;
  readonly threads: number;
  readonly mappings: number;
  readonly pageBytes: number;
  readonly imageBytes: number;
  /** `fork`: pages were read from copies of the processes, which went on meanwhile; `copy`: while they stood still. */
  readonly pauseKind: 'fork' | 'copy';
  /** What a restored application will not have as it is, a sentence each. */
  readonly warnings: readonly string[];
}

export class Snapshot {
  readonly #home: Home;
  /** Absolute path of its directory. */
  readonly path: string;
  /** `NAME@N` when it lies in the state directory, else null. */
  readonly reference: string | null;
  /** The application's name, as far as the place tells it. */
  readonly name: string | null;
  readonly number: number | null;
  /** Of a snapshot that this object was made with; null for one that was looked up. */
  readonly statistics: CheckpointStatistics | null;

  /** Not for callers: `Stasis` and `Application` make snapshots. */
  constructor(home: Home, location: SnapshotLocation, statistics: CheckpointStatistics | null = null) {
    this.#home = home;
    this.path = location.path;
    this.reference = location.reference;
    this.name = location.name;
    this.number = location.number;
    this.statistics = statistics;
  }

  /** Bytes of all its files. */
  get bytes(): number {
    try {
      return readdirSync(this.path).reduce((sum, entry) => sum + statSync(join(this.path, entry)).size, 0);
    } catch (error) {
      throw fromSystemError(error, 'reading the snapshot’s directory');
    }
  }

  get createdAt(): Date {
    try {
      return statSync(join(this.path, imageFileName)).mtime;
    } catch (error) {
      throw fromSystemError(error, 'reading the snapshot’s directory');
    }
  }

  /** The image's header: format, kernel, CPU features, runtime. */
  async header(): Promise<Record<string, unknown>> {
    return JSON.parse(await this.#inspect('header')) as Record<string, unknown>;
  }

  /** Every record of the image. */
  async inspect(): Promise<Record<string, unknown>> {
    return JSON.parse(await this.#inspect('json')) as Record<string, unknown>;
  }

  /** Every record of the image, for people. */
  async inspectText(): Promise<string> {
    return this.#inspect('text');
  }

  /** Reads the whole image, pages included, and compares it with its checksums. */
  async verify(): Promise<void> {
    await callNative((addon) => addon.verify(this.path));
  }

  /** Deletes it. Applications that were restored from it go on: they hold the files that they have mapped. */
  async remove(): Promise<void> {
    try {
      // Without its image file the directory is no snapshot any more, whatever happens next.
      unlinkSync(join(this.path, imageFileName));
      for (const entry of readdirSync(this.path)) {
        if (entry.endsWith('.raw')) forget(this.#home, join(this.path, entry));
        unlinkSync(join(this.path, entry));
      }
      rmdirSync(this.path);
    } catch (error) {
      throw fromSystemError(error, 'removing the snapshot');
    }
  }

  toJSON(): Record<string, unknown> {
    const { path, reference, name, number, statistics } = this;
    return { path, reference, name, number, ...(statistics === null ? {} : { statistics }) };
  }

  #inspect(format: 'json' | 'text' | 'header'): Promise<string> {
    return callNative((addon) => addon.inspect(this.path, { format }));
  }
}

/** Removes what the state directory knows of a page file: its stamp, its working set, and what a writer of these was killed over. */
function forget(home: Home, pageFile: string): void {
  const { dev, ino } = lstatSync(pageFile, { bigint: true });
  const stamp = `${dev}-${ino}`;
  for (const entry of existsSync(home.verified) ? readdirSync(home.verified) : []) {
    if (entry === stamp || entry.startsWith(`${stamp}.written`) || entry.startsWith(`.${stamp}.`)) {
      rmSync(join(home.verified, entry), { force: true });
    }
  }
}
