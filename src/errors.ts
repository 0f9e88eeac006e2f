// Every error that Stasis reports: one table of kinds, and the class that carries them.
//
// The table is the single source for the codes, the exit codes of the command line and docs/errors.md. Its kinds and names are those of
// ErrorKind in native/base/error.h. test/unit/errors.test.ts holds table, header and document equal.
//
// Rules of the place: callers match `code`, never the message. A mistake in an argument is a TypeError or RangeError (arguments.ts),
// not a StasisError, because the caller's code is wrong and not the world.

import { getSystemErrorMap } from 'node:util';

export interface ErrorEntry {
  /** Name in native/base/error.h. */
  readonly kind: string;
  /** What a caller matches. */
  readonly code: string;
  /** Exit status of the command line. */
  readonly exitCode: number;
  readonly when: string;
  readonly remedy: string;
}

export const errorTable = [
  {
    kind: 'Failed',
    code: 'ERR_STASIS_FAILED',
    exitCode: 1,
    when: 'An operation could not be carried out: a system call failed, a port or file that a restore needs is taken or gone, the application is in a state that does not allow it.',
    remedy: 'Read `message`: it names the step, the process, fd, path or address, and the kernel’s answer.',
  },
  {
    kind: 'Usage',
    code: 'ERR_STASIS_USAGE',
    exitCode: 2,
    when: 'The command line names an unknown command or option, or gives a value that cannot be right.',
    remedy: 'See `stasis COMMAND --help`.',
  },
  {
    kind: 'Unsupported',
    code: 'ERR_STASIS_UNSUPPORTED',
    exitCode: 3,
    when: 'The application holds a resource that cannot be saved, or is a program that cannot be launched (32-bit). It was found before the application was stopped; `details` lists every finding.',
    remedy: 'Have the application close what is listed before the checkpoint, or choose another moment.',
  },
  {
    kind: 'Incompatible',
    code: 'ERR_STASIS_INCOMPATIBLE',
    exitCode: 4,
    when: 'This host does not fit the image: a CPU feature is missing, a mapped file is gone or changed, the format is newer or of another architecture.',
    remedy:
      'Restore where the named feature or file is as it was, or make a new snapshot here. `stasis check` shows what this host offers.',
  },
  {
    kind: 'Damaged',
    code: 'ERR_STASIS_DAMAGED',
    exitCode: 5,
    when: 'An image is truncated, altered or no image at all. `offset` says where. Nothing was started and the image was not touched.',
    remedy: 'Copy the snapshot again from where it was made, or make a new one.',
  },
  {
    kind: 'NotFound',
    code: 'ERR_STASIS_NOT_FOUND',
    exitCode: 6,
    when: 'No application, snapshot, program or file of that name.',
    remedy: '`stasis ps --all` lists applications and their snapshots.',
  },
  {
    kind: 'Busy',
    code: 'ERR_STASIS_BUSY',
    exitCode: 7,
    when: 'A name or an output directory is taken, the application still runs, or another operation works on it.',
    remedy: 'Choose another name, or end and remove the holder that the message names.',
  },
  {
    kind: 'Permission',
    code: 'ERR_STASIS_PERMISSION',
    exitCode: 8,
    when: 'The kernel refused access, or the state directory belongs to another user.',
    remedy: 'Run as the user that started the application; `stasis check` names kernel settings that stand in the way.',
  },
  {
    kind: 'Timeout',
    code: 'ERR_STASIS_TIMEOUT',
    exitCode: 9,
    when: 'A deadline passed. The message says what was waited for. A checkpoint that ran out of time left the application running.',
    remedy: 'Give more time with `--timeout` or `timeout`, or look at what is waited for.',
  },
  {
    kind: 'Cancelled',
    code: 'ERR_STASIS_CANCELLED',
    exitCode: 1,
    when: 'The caller’s AbortSignal was aborted; `cause` is its reason. A checkpoint that was cancelled left the application running.',
    remedy: 'None: it was asked for. On the command line an interrupt gives 128 plus the signal’s number.',
  },
] as const satisfies readonly ErrorEntry[];

export type ErrorKind = (typeof errorTable)[number]['kind'];
export type StasisErrorCode = (typeof errorTable)[number]['code'];

/** What is known of the subject of an error; absent where it does not apply. */
export interface ErrorSubject {
  readonly pid?: number;
  readonly tid?: number;
  readonly fd?: number;
  readonly path?: string;
  readonly address?: bigint;
  readonly length?: bigint;
  /** Byte offset in a damaged file. */
  readonly offset?: number;
  readonly errno?: number;
  readonly syscall?: string;
  /** One line per finding, such as every resource that cannot be saved. */
  readonly details?: readonly string[];
  /** What the user can do about this very case. */
  readonly remedy?: string;
}

export interface StasisErrorOptions extends ErrorSubject {
  readonly cause?: unknown;
}

const byKind = new Map<string, (typeof errorTable)[number]>(errorTable.map((entry) => [entry.kind, entry]));
const byCode = new Map<string, (typeof errorTable)[number]>(errorTable.map((entry) => [entry.code, entry]));

const subjectKeys = [
  'pid',
  'tid',
  'fd',
  'path',
  'address',
  'length',
  'offset',
  'errno',
  'syscall',
  'details',
  'remedy',
] as const;

export class StasisError extends Error {
  readonly code: StasisErrorCode;
  declare readonly pid?: number;
  declare readonly tid?: number;
  declare readonly fd?: number;
  declare readonly path?: string;
  declare readonly address?: bigint;
  declare readonly length?: bigint;
  declare readonly offset?: number;
  declare readonly errno?: number;
  declare readonly syscall?: string;
  declare readonly details?: readonly string[];
  declare readonly remedy?: string;

  constructor(kind: ErrorKind, message: string, options: StasisErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = entryOfKind(kind).code;
    for (const key of subjectKeys) {
      if (options[key] !== undefined) Object.defineProperty(this, key, { value: options[key], enumerable: true });
    }
  }

  override get name(): string {
    return 'StasisError';
  }

  /** The exit status of a command that fails with this error. */
  get exitCode(): number {
    return byCode.get(this.code)?.exitCode ?? 1;
  }

  /** Plain data for `--json`: addresses and lengths as hexadecimal text, since JSON numbers end at 2^53. */
  toJSON(): Record<string, unknown> {
    const plain: Record<string, unknown> = { code: this.code, message: this.message };
    for (const key of subjectKeys) {
      const value = this[key];
      if (value !== undefined) plain[key] = typeof value === 'bigint' ? `0x${value.toString(16)}` : value;
    }
    // The addon's error behind this one says the same; an abort's reason or a system error does not.
    if (this.cause instanceof Error && !this.cause.message.startsWith(this.message)) plain.cause = this.cause.message;
    return plain;
  }
}

function entryOfKind(kind: ErrorKind): (typeof errorTable)[number] {
  const entry = byKind.get(kind);
  if (entry === undefined) throw new RangeError(`unknown kind of error: ${kind}`);
  return entry;
}

/** The kind that belongs to a code of the table. */
export function kindOfCode(code: string): ErrorKind | undefined {
  return byCode.get(code)?.kind;
}

/** The error for an aborted signal: `what` completes "cancelled while ...". */
export function cancelled(what: string, signal: AbortSignal): StasisError {
  return new StasisError('Cancelled', `cancelled while ${what}`, { cause: signal.reason });
}

const kindOfErrno: Readonly<Record<string, ErrorKind>> = {
  EPERM: 'Permission',
  EACCES: 'Permission',
  EROFS: 'Permission',
  ENOENT: 'NotFound',
  ESRCH: 'NotFound',
  EEXIST: 'Busy',
  EBUSY: 'Busy',
  ETIMEDOUT: 'Timeout',
};

/** Wraps an error of Node's fs as a StasisError; anything else is returned as it is. `doing` is a sentence without the subject. */
export function fromSystemError(error: unknown, doing: string, kind?: ErrorKind): unknown {
  if (!(error instanceof Error) || error instanceof StasisError) return error;
  const { code, errno, syscall, path } = error as NodeJS.ErrnoException;
  if (code === undefined || syscall === undefined) return error;
  return new StasisError(
    kind ?? kindOfErrno[code] ?? 'Failed',
    `${doing}${path === undefined ? '' : `, ${path}`}: ${getSystemErrorMap().get(errno ?? 0)?.[1] ?? code}`,
    {
      cause: error,
      syscall,
      ...(errno === undefined ? {} : { errno: Math.abs(errno) }),
      ...(path === undefined ? {} : { path }),
    },
  );
}
