// A detached application's output: its two log files, read from the end or the start, then followed until the application has ended.
// The files are written by the application itself, so what a reader sees is exactly what was written, in order within each stream; how
// the two streams interleaved is not recorded.

import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { badType, badValue, checkOptions, checkSignal } from '../arguments.js';
import { StasisError } from '../errors.js';
import type { ApplicationPaths } from '../store/home.js';
import type { ApplicationRecord } from '../store/record.js';
import { hasEnded, readStatus } from '../store/status.js';
import { DirectoryWatch } from '../store/watch.js';
import { sleep, throwIfAborted } from '../waiting.js';

export interface LogOptions {
  /** Goes on until the application has ended. */
  readonly follow?: boolean;
  /** Starts at the last lines of each stream; default everything. */
  readonly tail?: number;
  readonly signal?: AbortSignal;
}

export interface LogChunk {
  readonly stream: 'stdout' | 'stderr';
  /** Bytes as the application wrote them; a chunk may end within a line or a character. */
  readonly data: Buffer;
}

interface OpenLog {
  readonly stream: 'stdout' | 'stderr';
  readonly fd: number;
  position: number;
}

const chunkBytes = 64 * 1024;

export function checkLogOptions(options: LogOptions): void {
  checkOptions(options);
  checkSignal(options.signal);
  const { tail } = options;
  if (tail !== undefined && typeof tail !== 'number') throw badType('options.tail', 'a number of lines', tail);
  if (tail !== undefined && (!Number.isSafeInteger(tail) || tail < 0))
    throw badValue('options.tail', 'must be a number of lines');
}

export async function* readLogs(
  paths: ApplicationPaths,
  record: ApplicationRecord,
  options: LogOptions,
): AsyncGenerator<LogChunk, void, void> {
  const what = `following the output of ${record.name}`;
  throwIfAborted(options.signal, what);
  const watch = options.follow ? new DirectoryWatch(paths.directory) : undefined;
  const logs = openLogs(paths, record, options.tail);
  try {
    for (;;) {
      // In this order: what is written before the end is seen is read after it.
      const ended = !options.follow || hasEnded(readStatus(paths, record));
      let quiet = true;
      for (const log of logs) {
        for (let data = readOn(log); data !== undefined; data = readOn(log)) {
          quiet = false;
          yield { stream: log.stream, data };
          throwIfAborted(options.signal, what);
        }
      }
      if (ended && quiet) return;
      if (quiet && watch !== undefined) await nextChange(watch, options.signal, what);
    }
  } finally {
    watch?.close();
    for (const log of logs) closeSync(log.fd);
  }
}

async function nextChange(watch: DirectoryWatch, signal: AbortSignal | undefined, what: string): Promise<void> {
  const stop = new AbortController();
  const combined = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  const interval = sleep(500, combined, what).catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
  });
  try {
    await Promise.race([interval, watch.next()]);
  } finally {
    stop.abort();
  }
}

function openLogs(paths: ApplicationPaths, record: ApplicationRecord, tail: number | undefined): OpenLog[] {
  const logs: OpenLog[] = [];
  for (const [stream, path] of [
    ['stdout', paths.stdoutLog],
    ['stderr', paths.stderrLog],
  ] as const) {
    try {
      const fd = openSync(path, 'r');
      logs.push({ stream, fd, position: tail === undefined ? 0 : startOfTail(fd, tail) });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  if (logs.length === 0) {
    throw new StasisError('NotFound', `${record.name} has no log`, {
      remedy:
        record.mode === 'foreground'
          ? 'it ran in the foreground: its output went to the terminal'
          : 'its output was sent elsewhere',
    });
  }
  return logs;
}

function readOn(log: OpenLog): Buffer | undefined {
  const buffer = Buffer.allocUnsafe(chunkBytes);
  const bytes = readSync(log.fd, buffer, 0, chunkBytes, log.position);
  if (bytes === 0) return undefined;
  log.position += bytes;
  return buffer.subarray(0, bytes);
}

/** Offset at which the last `lines` lines begin; a last line without its newline counts as one. Reads backwards, block by block. */
export function startOfTail(fd: number, lines: number): number {
  const size = fstatSync(fd).size;
  if (lines === 0) return size;
  const block = Buffer.allocUnsafe(chunkBytes);
  // The newline that ends the last line does not start another one.
  let newlines = 0;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - chunkBytes);
    const bytes = readSync(fd, block, 0, end - start, start);
    for (let index = bytes - 1; index >= 0; index--) {
      const offset = start + index;
      if (block[index] !== 0x0a || offset === size - 1) continue;
      newlines++;
      if (newlines === lines) return offset + 1;
    }
    end = start;
  }
  return 0;
}
