// Checkpoint of an application: lock it, note where the image is being written, let the addon write it, and, if the application is to
// stop, see it recorded as stopped.
//
// Whatever fails, and also when this process is killed midway, the application goes on and no half image is left: the note in partial/
// lets the next command clear what lies about (store/partial.ts).

import { lstatSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { describeStatus } from '../application/describe.js';
import { waitForEnding } from '../application/ending.js';
import { checkBytes, checkFlag, checkOptions, checkSignal, checkText, checkTimeout } from '../arguments.js';
import { cancelled, fromSystemError, StasisError } from '../errors.js';
import {
  type Addon,
  type CancelToken,
  type CheckpointOutcome,
  helperPrograms,
  type CheckpointOptions as NativeOptions,
} from '../native.js';
import { callNative, callNativeNow } from '../native-call.js';
import { type Home, replaceFile } from '../store/home.js';
import { claimPartial, cleanPartials } from '../store/partial.js';
import { type ApplicationRecord, readRecord, writeRecord } from '../store/record.js';
import { nextSnapshotPath, parseReference, type SnapshotLocation } from '../store/snapshots.js';
import { readStatus } from '../store/status.js';
import { throwIfAborted, timedOut, type WaitOptions } from '../waiting.js';
import { type CheckpointStatistics, Snapshot } from './snapshot.js';

export interface CheckpointOptions {
  /** Directory to make; it must not exist, its parent must. Default: the next NAME@N in the state directory. */
  readonly output?: string;
  /** Lets the application go on; otherwise it is stopped once the image is safe. */
  readonly leaveRunning?: boolean;
  /**
   * With `leaveRunning`: bytes that the application and the copies of it, from which its pages are read, may come to use more than now.
   * If they might need more, the application stands still while the pages are written. Default: half of the memory that is available.
   */
  readonly maxCopy?: number;
  /** Also stores the content of files open for writing, of each up to so many bytes; a longer one is an error. */
  readonly saveFiles?: number;
  /**
   * Keeps TCP connections to programs outside, which needs CAP_NET_ADMIN. If the application is stopped, they are held open for ten
   * minutes, for a restore on this host. Without this or `tcpClose` such connections are an error.
   */
  readonly tcpEstablished?: boolean;
  /** The restored application finds TCP connections to programs outside reset; with `tcpEstablished` those that cannot be kept. */
  readonly tcpClose?: boolean;
  readonly signal?: AbortSignal;
  /** Milliseconds for the whole checkpoint; default ten minutes. */
  readonly timeout?: number;
}

const defaultTimeoutMs = 600_000;
/** Node fires a timer beyond this at once. */
const maxTimerMs = 2 ** 31 - 1;
/** From the image's commit to the keeper's word that the application has ended; its memory is freed meanwhile. */
const endDeadlineMs = 30_000;

export async function checkpoint(home: Home, record: ApplicationRecord, options: CheckpointOptions): Promise<Snapshot> {
  checkOptions(options);
  checkSignal(options.signal);
  checkTimeout(options.timeout);
  const given = checkKinds(options);
  const output = options.output === undefined ? undefined : resolve(checkText('options.output', options.output));
  const paths = home.application(record.id);
  const what = `checkpointing ${record.name}`;
  throwIfAborted(options.signal, what);
  const status = readStatus(paths, record);
  if (status.state !== 'running') {
    throw new StasisError('Failed', `${record.name} is not running: ${describeStatus(status)}`);
  }
  if (record.environment !== undefined) {
    throw new StasisError(
      'Unsupported',
      `${record.name} is in the environment ${record.environment.name}, and images hold none`,
      {
        remedy: 'to have it saved, run it without --environment',
      },
    );
  }
  cleanPartials(home);
  const lock = callNativeNow((addon) => addon.lock(paths.lock));
  try {
    const destination = output ?? nextSnapshotPath(home, record.name);
    checkDestination(destination);
    const claim = claimPartial(home, destination);
    let outcome: CheckpointOutcome;
    try {
      const request = {
        pid: status.pid,
        startTime: status.startTime,
        partial: claim.directory,
        destination,
        stamps: home.verified,
        controlSocket: paths.controlSocket,
        leaveRunning: options.leaveRunning ?? false,
        stdio: record.stdio,
        keeper: helperPrograms().keeper,
        ...given,
        timeoutMs: options.timeout ?? defaultTimeoutMs,
      };
      outcome = await withDeadline({ what, timeoutMs: request.timeoutMs, signal: options.signal }, (addon, token) =>
        addon.checkpoint(request, token),
      );
    } finally {
      claim.release();
    }
    if (outcome.leftRunning) await noteCheckpoint(home, record.id, destination);
    else await confirmStopped(home, record, destination);
    return new Snapshot(home, locationOf(home, destination), statisticsOf(outcome));
  } catch (error) {
    throw fromSystemError(error, what);
  } finally {
    lock.release();
  }
}

type KindOptions = Pick<NativeOptions, 'maxCopy' | 'saveFiles' | 'tcpEstablished' | 'tcpClose'>;

function checkKinds(options: CheckpointOptions): KindOptions {
  const { maxCopy, saveFiles, tcpEstablished, tcpClose } = options;
  return {
    ...(maxCopy === undefined ? {} : { maxCopy: checkBytes('options.maxCopy', maxCopy) }),
    ...(saveFiles === undefined ? {} : { saveFiles: checkBytes('options.saveFiles', saveFiles) }),
    tcpEstablished: checkFlag('options.tcpEstablished', tcpEstablished),
    tcpClose: checkFlag('options.tcpClose', tcpClose),
  };
}

/** Runs an operation of the addon that the caller's signal or the deadline stops. */
async function withDeadline<T>(
  { what, timeoutMs, signal }: WaitOptions & { readonly timeoutMs: number },
  operation: (addon: Addon, token: CancelToken) => Promise<T>,
): Promise<T> {
  const token = callNativeNow((addon) => addon.cancelToken());
  const cancel = (): void => callNativeNow((addon) => addon.cancel(token));
  let late = false;
  const timer = setTimeout(
    () => {
      late = true;
      cancel();
    },
    Math.min(timeoutMs, maxTimerMs),
  );
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    return await callNative((addon) => operation(addon, token));
  } catch (error) {
    if (!(error instanceof StasisError && error.code === 'ERR_STASIS_CANCELLED')) throw error;
    if (signal?.aborted) throw cancelled(what, signal);
    throw late ? timedOut(what, timeoutMs) : error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', cancel);
  }
}

function checkDestination(path: string): void {
  if (lstatSync(path, { throwIfNoEntry: false }) !== undefined) {
    throw new StasisError('Busy', `there is something at ${path} already`, {
      path,
      remedy: 'choose another place with --output',
    });
  }
  const parent = dirname(path);
  if (!statSync(parent, { throwIfNoEntry: false })?.isDirectory()) {
    throw new StasisError('NotFound', `there is no directory ${parent} to put the snapshot in`, { path: parent });
  }
}

/** For `events` and `ps`: the record says when it was saved last. The lock is held, so nobody else writes it. */
async function noteCheckpoint(home: Home, id: string, snapshot: string): Promise<void> {
  const record = await readRecord(home, id);
  if (record !== undefined) writeRecord(home, { ...record, lastCheckpoint: { snapshot, at: Date.now() } });
}

async function confirmStopped(home: Home, record: ApplicationRecord, snapshot: string): Promise<void> {
  const paths = home.application(record.id);
  const ending = await waitForEnding(paths, record, { timeoutMs: endDeadlineMs });
  // Its keeper was killed at some time before, so nobody else will write it down.
  if (ending.state === 'lost')
    replaceFile(paths.status, `state=checkpointed\nsnapshot=${snapshot}\nended=${Date.now()}\n`);
}

function locationOf(home: Home, path: string): SnapshotLocation {
  const reference = dirname(path) === home.snapshots ? parseReference(basename(path)) : undefined;
  return {
    path,
    reference: reference === undefined ? null : basename(path),
    name: reference?.name ?? null,
    number: reference?.number ?? null,
  };
}

function statisticsOf(outcome: CheckpointOutcome): CheckpointStatistics {
  const { pauseUs, totalUs, copied, processes, threads, mappings, pageBytes, imageBytes, warnings } = outcome;
  const pauseKind = copied ? 'fork' : 'copy';
  const pauseMs = pauseUs / 1000;
  const totalMs = totalUs / 1000;
  return { pauseMs, totalMs, processes, threads, mappings, pageBytes, imageBytes, pauseKind, warnings };
}
