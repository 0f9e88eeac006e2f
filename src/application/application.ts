// An application: a program that was started under a keeper, seen through its directory in the state directory. Objects hold no process
// and no connection, so any number of them, in any number of processes, may stand for the same application; nothing has to be closed.

import { rmSync } from 'node:fs';
import { constants } from 'node:os';
import { badType, badValue, checkOptions, checkSignal, checkTimeout } from '../arguments.js';
import type { EnvironmentPlace } from '../environment/registry.js';
import { fromSystemError, StasisError } from '../errors.js';
import type { ResourceId, Restored, RestoreTimings } from '../native.js';
import { callNativeNow } from '../native-call.js';
import { type CheckpointOptions, checkpoint } from '../snapshot/checkpoint.js';
import type { Snapshot } from '../snapshot/snapshot.js';
import type { ApplicationPaths, Home } from '../store/home.js';
import { releaseName } from '../store/names.js';
import type { ApplicationRecord } from '../store/record.js';
import { type ApplicationStatus, type Ending, hasEnded, readStatus } from '../store/status.js';
import { describeStatus } from './describe.js';
import { waitForEnding } from './ending.js';
import { readIds } from './ids.js';
import { checkLogOptions, type LogChunk, type LogOptions, readLogs } from './logs.js';

export interface WaitForEndOptions {
  readonly signal?: AbortSignal;
  /** Milliseconds; default: as long as it takes. */
  readonly timeout?: number;
}

export interface RemoveOptions {
  /** Kills the application first if it still runs. */
  readonly force?: boolean;
  readonly signal?: AbortSignal;
}

/** How long a killed application may take to be gone. The kernel frees its memory meanwhile, which takes seconds for many GiB. */
export const killDeadlineMs = 30_000;

export class Application {
  readonly #home: Home;
  readonly #paths: ApplicationPaths;
  readonly #record: ApplicationRecord;
  /** Of an application that this object was restored as; null otherwise. */
  readonly restoreTimings: RestoreTimings | null;
  /** Of an application that this object was restored with: what it has not as it was, a sentence each. */
  readonly restoreWarnings: readonly string[];

  /** Not for callers: `Stasis` makes applications. */
  constructor(home: Home, record: ApplicationRecord, restored: Restored | null = null) {
    this.#home = home;
    this.#paths = home.application(record.id);
    this.#record = record;
    this.restoreTimings = restored?.timings ?? null;
    this.restoreWarnings = restored?.warnings ?? [];
  }

  get id(): string {
    return this.#record.id;
  }

  get name(): string {
    return this.#record.name;
  }

  /** Program and arguments; empty for an application restored from an image. */
  get command(): readonly string[] {
    return this.#record.command;
  }

  get createdAt(): Date {
    return new Date(this.#record.createdAt);
  }

  /** Path of the image it was restored from. */
  get restoredFrom(): string | null {
    return this.#record.restoredFrom;
  }

  /** The last checkpoint that left it running. */
  get lastCheckpoint(): { readonly snapshot: string; readonly at: Date } | null {
    const last = this.#record.lastCheckpoint;
    return last === null ? null : { snapshot: last.snapshot, at: new Date(last.at) };
  }

  /** Where it is, if it is in an environment. */
  get environment(): EnvironmentPlace | null {
    return this.#record.environment ?? null;
  }

  /** The process id while it runs, else null. */
  get pid(): number | null {
    const status = this.status();
    return status.state === 'running' ? status.pid : null;
  }

  /** What it is doing now, looked up in the state directory and /proc. */
  status(): ApplicationStatus {
    return readStatus(this.#paths, this.#record);
  }

  /** Sends a signal to the application's process; default SIGTERM. */
  async kill(signal: NodeJS.Signals | number = 'SIGTERM'): Promise<void> {
    const number = checkSignalNumber(signal);
    const status = this.status();
    if (status.state !== 'running') throw this.#notRunning(status);
    callNativeNow((addon) => addon.signal(status.pid, status.startTime, number));
  }

  /** Resolves when it has ended, with how. */
  async wait(options: WaitForEndOptions = {}): Promise<Ending> {
    checkOptions(options);
    checkSignal(options.signal);
    checkTimeout(options.timeout);
    return waitForEnding(this.#paths, this.#record, { timeoutMs: options.timeout, signal: options.signal });
  }

  /** Its output, for an application whose streams go to logs. */
  logs(options: LogOptions = {}): AsyncIterableIterator<LogChunk> {
    checkLogOptions(options);
    return readLogs(this.#paths, this.#record, options);
  }

  /** What each id that it knows stands for in the system now. */
  ids(): AsyncIterableIterator<ResourceId> {
    return readIds(this.#paths, this.#record);
  }

  /** Saves it. It is stopped afterwards unless told otherwise; whatever fails leaves it running. */
  async checkpoint(options: CheckpointOptions = {}): Promise<Snapshot> {
    return checkpoint(this.#home, this.#record, options);
  }

  /** Forgets an application that has ended: its name, record and logs. Snapshots stay. */
  async remove(options: RemoveOptions = {}): Promise<void> {
    checkOptions(options);
    checkSignal(options.signal);
    let status = this.status();
    if (!hasEnded(status) && !options.force) {
      throw new StasisError('Busy', `${this.name} is ${describeStatus(status)}`, {
        remedy: `stop it with \`stasis kill ${this.name}\` first, or use --force`,
        ...(status.state === 'running' ? { pid: status.pid } : {}),
      });
    }
    if (status.state === 'running') {
      sendKill(status.pid, status.startTime);
      status = await waitForEnding(this.#paths, this.#record, { timeoutMs: killDeadlineMs, signal: options.signal });
    }
    removeApplication(this.#home, this.id, this.name);
  }

  /** Kills and forgets it, so that `await using` bounds its life. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.remove({ force: true });
  }

  toJSON(): Record<string, unknown> {
    const { id, name, command, createdAt, restoredFrom, lastCheckpoint } = this;
    return {
      id,
      name,
      command,
      mode: this.#record.mode,
      createdAt,
      restoredFrom,
      lastCheckpoint,
      environment: this.environment,
      status: this.status(),
    };
  }

  #notRunning(status: ApplicationStatus): StasisError {
    return new StasisError('Failed', `${this.name} is not running: ${describeStatus(status)}`);
  }
}

/** Removes name and directory of an application that has ended. The name goes first, so that it never leads nowhere. */
export function removeApplication(home: Home, id: string, name: string | undefined): void {
  try {
    const paths = home.application(id);
    // Not while a checkpoint or a restore in its place is at work on it.
    const lock = lockIfThere(paths);
    try {
      if (name !== undefined) releaseName(home, name, id);
      rmSync(paths.directory, { recursive: true, force: true, maxRetries: 3, retryDelay: 20 });
    } finally {
      lock?.release();
    }
  } catch (error) {
    throw fromSystemError(error, 'removing the application');
  }
}

function lockIfThere(paths: ApplicationPaths): { release(): void } | undefined {
  try {
    return callNativeNow((addon) => addon.lock(paths.lock));
  } catch (error) {
    if (error instanceof StasisError && error.code === 'ERR_STASIS_NOT_FOUND') return undefined;
    throw error;
  }
}

export function sendKill(pid: number, startTime: number): void {
  try {
    callNativeNow((addon) => addon.signal(pid, startTime, constants.signals.SIGKILL));
  } catch (error) {
    // It ended by itself meanwhile, which is as good.
    if (!(error instanceof StasisError && error.code === 'ERR_STASIS_NOT_FOUND')) throw error;
  }
}

function checkSignalNumber(signal: unknown): number {
  if (typeof signal === 'number') {
    if (!Number.isSafeInteger(signal) || signal < 1 || signal > 64)
      throw badValue('signal', 'must be a signal number from 1 to 64');
    return signal;
  }
  if (typeof signal !== 'string') throw badType('signal', 'a signal name or number', signal);
  const number = (constants.signals as Record<string, unknown>)[signal];
  if (typeof number !== 'number') throw badValue('signal', `${JSON.stringify(signal)} is no signal of this system`);
  return number;
}
