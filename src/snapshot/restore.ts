// Restore of a snapshot: `restore` of the library, and the foreground `restore` of the command line, where this process becomes the
// keeper. All or nothing: when it fails no process is left, the name is where it was, and the image is untouched.
//
// The name, when none is asked for, is the one that the snapshot's place tells; the application that was stopped by the checkpoint
// gives way, and its logs go on in the restored one.

import { Application } from '../application/application.js';
import { leaveToKeeper } from '../application/launch.js';
import { bringUp, type Place, type Preparation, prepare, takePlace } from '../application/prepare.js';
import { checkStdio, type Stdio, type Stream } from '../application/stdio.js';
import {
  badType,
  badValue,
  checkFastPath,
  checkFlag,
  checkOptions,
  checkShift,
  checkSignal,
  checkTimeout,
} from '../arguments.js';
import { cancelled } from '../errors.js';
import {
  type Addon,
  type FilesPolicy,
  helperPrograms,
  type RestoreOptions as NativeOptions,
  type Restored,
} from '../native.js';
import type { Home } from '../store/home.js';
import { checkName, listNames } from '../store/names.js';
import type { ApplicationRecord } from '../store/record.js';
import type { SnapshotLocation } from '../store/snapshots.js';
import { readStatusFields } from '../store/status.js';
import { throwIfAborted } from '../waiting.js';

export interface RestoreOptions {
  /** Default: the snapshot's original name, which must be free or held by the application that the checkpoint stopped. */
  readonly name?: string;
  /** Default `log`. The restored program's own stdio is replaced by these. */
  readonly stdio?: Stdio;
  /** For developers: ids of processes that are born from now on are the system's plus this (1 to 4000000). */
  readonly shiftIds?: number;
  /** As for `run`. */
  readonly fastPath?: boolean;
  /**
   * Where a file that the application has open for writing, or shared memory with a name, has changed since the checkpoint: `fail`
   * (default), `keep` the file and go on, or `restore-content`, which puts back what the image holds (`saveFiles` of the checkpoint).
   */
  readonly files?: FilesPolicy;
  /** Connections to programs outside are found reset, also where the image would keep them. */
  readonly tcpClose?: boolean;
  readonly signal?: AbortSignal;
  /** Milliseconds; default 30 s. */
  readonly timeout?: number;
}

export type ForegroundRestoreOptions = Pick<RestoreOptions, 'name' | 'shiftIds' | 'fastPath' | 'files' | 'tcpClose'>;

export async function restore(
  home: Home,
  snapshot: SnapshotLocation,
  options: RestoreOptions = {},
): Promise<Application> {
  checkOptions(options);
  checkSignal(options.signal);
  checkTimeout(options.timeout);
  const choices = checkChoices(options);
  const what = `restoring ${snapshot.reference ?? snapshot.path}`;
  throwIfAborted(options.signal, what);
  const place = await takePlace(home, planFor(home, snapshot, options.name, checkStdio(options.stdio), 'detached'));
  const { record, restored } = await bringUp(place, (addon) =>
    rebuild(addon, place, {
      ...nativeOptions(home, snapshot, place, choices),
      stdio: place.stdio.fds,
      ...(options.timeout === undefined ? {} : { timeoutMs: options.timeout }),
    }),
  );
  const application = new Application(home, record, restored);
  if (options.signal?.aborted) {
    await application.kill('SIGKILL').catch(() => undefined);
    await application.wait({ timeout: 30_000 });
    place.undo();
    throw cancelled(what, options.signal);
  }
  place.commit();
  return application;
}

/** The record is written while the image is read and the keeper starts; the application comes into being when it stands. */
async function rebuild(
  addon: Addon,
  place: Place,
  options: NativeOptions,
): Promise<{ record: ApplicationRecord; restored: Restored }> {
  const begun = addon.restore(options);
  let record: ApplicationRecord;
  try {
    record = place.describe();
  } catch (error) {
    begun.abandon();
    // The keeper still uses the directory until then.
    await begun.done.catch(() => undefined);
    throw error;
  }
  begun.proceed();
  return { record, restored: await begun.done };
}

/** Never returns: the process is replaced by the keeper, with its streams, terminal and exit status. */
export async function restoreInForeground(
  home: Home,
  snapshot: SnapshotLocation,
  options: ForegroundRestoreOptions,
): Promise<never> {
  const choices = checkChoices(options);
  const prepared = await prepare(
    home,
    planFor(home, snapshot, options.name, ['inherit', 'inherit', 'inherit'], 'foreground'),
  );
  return leaveToKeeper(prepared, (addon) => addon.becomeKeeper(nativeOptions(home, snapshot, prepared, choices)));
}

type Choices = Pick<NativeOptions, 'shiftIds' | 'withoutFastPath' | 'files' | 'tcpClose'>;

function checkChoices(options: ForegroundRestoreOptions): Choices {
  return {
    shiftIds: checkShift(options.shiftIds),
    ...(checkFastPath(options.fastPath) ? {} : { withoutFastPath: true }),
    ...(options.files === undefined ? {} : { files: checkPolicy(options.files) }),
    ...(checkFlag('options.tcpClose', options.tcpClose) ? { tcpClose: true } : {}),
  };
}

const policies: readonly FilesPolicy[] = ['fail', 'keep', 'restore-content'];

function checkPolicy(value: unknown): FilesPolicy {
  if (typeof value !== 'string') throw badType('options.files', 'a string', value);
  const policy = policies.find((known) => known === value);
  if (policy === undefined) throw badValue('options.files', `must be one of ${policies.join(', ')}`);
  return policy;
}

function nativeOptions(home: Home, snapshot: SnapshotLocation, place: Place, choices: Choices) {
  return {
    keeper: helperPrograms().keeper,
    runtimes: home.runtimes,
    directory: place.paths.directory,
    image: snapshot.path,
    stamps: home.verified,
    ...choices,
  };
}

function planFor(
  home: Home,
  snapshot: SnapshotLocation,
  name: string | undefined,
  streams: readonly [Stream, Stream, Stream],
  mode: 'detached' | 'foreground',
): Preparation {
  return {
    name: name === undefined ? originalName(home, snapshot) : checkName('options.name', name),
    held: name === undefined,
    replace: 'stopped',
    // What the image says of its command line is for people; reading it here would cost more than the restore.
    command: [],
    cwd: process.cwd(),
    mode,
    runtime: '',
    streams,
    restoredFrom: snapshot.path,
    takenRemedy: 'choose another name with --name',
  };
}

/** The name the saved application had: told by the snapshot's place, else by the application that was stopped there. */
function originalName(home: Home, snapshot: SnapshotLocation): string | undefined {
  if (snapshot.name !== null) return snapshot.name;
  for (const [name, id] of listNames(home)) {
    if (id !== null && readStatusFields(home.application(id))?.snapshot === snapshot.path) return name;
  }
  return undefined;
}
