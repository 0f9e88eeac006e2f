// The three streams of a new application. Its output goes straight to a file that Stasis opened for it (O_APPEND, so that several
// writers do not overwrite each other) or to streams of the caller: no process stands in between.

import { closeSync, constants, fstatSync, linkSync, openSync } from 'node:fs';
import { badType, badValue } from '../arguments.js';
import { fromSystemError } from '../errors.js';
import type { ApplicationPaths } from '../store/home.js';
import type { StreamIdentity } from '../store/record.js';

/** `log`: a file that `logs` shows; `ignore`: /dev/null; `inherit`: this process's own stream of that number; or an open fd. */
export type Stream = 'log' | 'ignore' | 'inherit' | number;

/** One word for all three, where `log` leaves the input at /dev/null, or input, output and error output. */
export type Stdio = 'log' | 'ignore' | 'inherit' | readonly [Stream, Stream, Stream];

export interface OpenStdio {
  readonly fds: readonly [number, number, number];
  readonly logged: boolean;
  /** Until close. */
  identities(): readonly [StreamIdentity, StreamIdentity, StreamIdentity];
  /** Closes what was opened here; fds of the caller stay open. */
  close(): void;
}

const streamNames = ['stdin', 'stdout', 'stderr'] as const;

export function checkStdio(value: unknown): readonly [Stream, Stream, Stream] {
  if (value === undefined || value === 'log') return ['ignore', 'log', 'log'];
  if (value === 'ignore' || value === 'inherit') return [value, value, value];
  if (!Array.isArray(value))
    throw badType('options.stdio', "'log', 'ignore', 'inherit' or an array of three streams", value);
  if (value.length !== 3) throw badValue('options.stdio', `must name three streams, not ${value.length}`);
  const streams = value as unknown[];
  for (const [index, stream] of streams.entries()) {
    const argument = `options.stdio[${index}]`;
    if (typeof stream === 'number') {
      if (!Number.isSafeInteger(stream) || stream < 0) throw badValue(argument, 'must be a file descriptor');
    } else if (stream !== 'log' && stream !== 'ignore' && stream !== 'inherit') {
      throw badType(argument, "'log', 'ignore', 'inherit' or a file descriptor", stream);
    }
  }
  if (streams[0] === 'log') throw badValue('options.stdio[0]', "cannot be 'log': an input is no log");
  return streams as [Stream, Stream, Stream];
}

/** Opens the streams. `continued` is the application whose logs go on here: its files are linked in before they are opened. */
export function openStdio(
  streams: readonly [Stream, Stream, Stream],
  paths: ApplicationPaths,
  continued?: ApplicationPaths,
): OpenStdio {
  const opened: number[] = [];
  const close = (): void => {
    for (const fd of opened.splice(0)) closeSync(fd);
  };
  const open = (index: 0 | 1 | 2): { fd: number; identity: () => StreamIdentity } => {
    const stream = streams[index];
    if (typeof stream === 'number' || stream === 'inherit') {
      const fd = stream === 'inherit' ? index : stream;
      // At once: a descriptor that is not open now could be another's a moment later.
      const identity = identityOf(fd);
      return { fd, identity: () => identity };
    }
    const fd =
      stream === 'ignore' ? openNull(index) : openLog(index === 1 ? 'stdoutLog' : 'stderrLog', paths, continued);
    opened.push(fd);
    return { fd, identity: () => identityOf(fd) };
  };
  const openNamed = (index: 0 | 1 | 2) => {
    try {
      return open(index);
    } catch (error) {
      throw fromSystemError(error, `opening ${streamNames[index]} of the application`);
    }
  };
  try {
    const [input, output, errors] = [openNamed(0), openNamed(1), openNamed(2)];
    return {
      fds: [input.fd, output.fd, errors.fd],
      logged: streams.includes('log'),
      identities: () => [input.identity(), output.identity(), errors.identity()],
      close,
    };
  } catch (error) {
    close();
    throw error;
  }
}

function openNull(index: 0 | 1 | 2): number {
  return openSync('/dev/null', index === 0 ? constants.O_RDONLY : constants.O_WRONLY);
}

function openLog(
  log: 'stdoutLog' | 'stderrLog',
  paths: ApplicationPaths,
  continued: ApplicationPaths | undefined,
): number {
  if (continued !== undefined) {
    try {
      linkSync(continued[log], paths[log]);
    } catch (error) {
      // It had no log of this stream.
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  return openSync(paths[log], constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND, 0o600);
}

function identityOf(fd: number): StreamIdentity {
  const { dev, ino, mode } = fstatSync(fd, { bigint: true });
  return { dev: String(dev), ino: String(ino), type: Number(mode) & constants.S_IFMT };
}
