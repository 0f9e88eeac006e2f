// What `run` and `restore` share before a process exists: an id, a directory, a name, streams, app.json; and how to take it all back.
//
//     directory -> name -> streams -> app.json -> (process) -> commit
//
// Rules of the place: every step can be undone until commit, in reverse order. app.json stands before the process does, so that a
// process is listed whatever happens to this one (writing it meanwhile would spare 0.07 ms of a restore). The directory exists before
// its name, so a name never leads nowhere. When a stopped application gives its place to a restore, its lock is held from the moment the
// name moves until its directory is removed (commit) or the name moved back (undo). A foreground restore becomes another program before
// it is known to succeed, so it cannot commit: it moves that directory into its own, from where undo can still fetch it.

import { mkdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError, StasisError } from '../errors.js';
import type { Addon } from '../native.js';
import { callNative, callNativeNow } from '../native-call.js';
import { type ApplicationPaths, type Home, newApplicationId } from '../store/home.js';
import { generateName, holderOfName, moveName, releaseName, takeName } from '../store/names.js';
import { bootId, ownIdentity } from '../store/process-identity.js';
import { type ApplicationRecord, readRecord, writeRecord } from '../store/record.js';
import { type ApplicationStatus, isReplaceable, readStatus, readStatusFields } from '../store/status.js';
import { describeStatus } from './describe.js';
import { type OpenStdio, openStdio, type Stream } from './stdio.js';

export interface Preparation {
  readonly name: string | undefined;
  /** `stopped`: also an application of that name that a checkpoint stopped makes way. */
  readonly replace: 'failed' | 'stopped';
  readonly command: readonly string[];
  readonly cwd: string;
  readonly mode: 'detached' | 'foreground';
  readonly runtime: string;
  readonly streams: readonly [Stream, Stream, Stream];
  readonly restoredFrom: string | null;
  /** Said when the name is taken. */
  readonly takenRemedy: string;
}

export interface Prepared {
  readonly record: ApplicationRecord;
  readonly paths: ApplicationPaths;
  readonly stdio: OpenStdio;
  /** The process runs: lets go of the streams, and of the application that made way. */
  commit(): void;
  /** Instead of commit, where there is no way to know that the process runs: the application that made way goes when this one does. */
  setAside(): void;
  /** Takes everything back. */
  undo(): void;
}

interface NameClaim {
  readonly name: string;
  readonly replaced: ApplicationPaths | undefined;
  commit(): void;
  setAside(directory: string): void;
  undo(): void;
}

export async function prepare(home: Home, plan: Preparation): Promise<Prepared> {
  const id = newApplicationId();
  const paths = home.application(id);
  let claim: NameClaim | undefined;
  let stdio: OpenStdio | undefined;
  const undo = (): void => {
    stdio?.close();
    claim?.undo();
    rmSync(paths.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
  };
  try {
    mkdirSync(paths.directory, { mode: 0o700 });
    claim = plan.name === undefined ? claimAnyName(home, id) : await claimName(home, plan.name, id, plan);
    stdio = openStdio(plan.streams, paths, claim.replaced);
    const record: ApplicationRecord = {
      version: 1,
      id,
      name: claim.name,
      command: plan.command,
      cwd: plan.cwd,
      mode: plan.mode,
      createdAt: Date.now(),
      runtime: plan.runtime,
      stdio: stdio.identities,
      logged: stdio.logged,
      launcher: ownIdentity(),
      bootId: bootId(),
      restoredFrom: plan.restoredFrom,
      lastCheckpoint: null,
    };
    writeRecord(home, record);
    const taken = claim;
    const open = stdio;
    return {
      record,
      paths,
      stdio,
      commit() {
        open.close();
        taken.commit();
      },
      setAside: () => taken.setAside(join(paths.directory, 'replaced')),
      undo,
    };
  } catch (error) {
    undo();
    throw fromSystemError(error, 'preparing the application');
  }
}

/** Starts the process; if that fails all is taken back. */
export async function bringUp<T>(prepared: Prepared, operation: (addon: Addon) => Promise<T>): Promise<T> {
  try {
    return await callNative(operation);
  } catch (error) {
    prepared.undo();
    throw error;
  }
}

function claimAnyName(home: Home, id: string): NameClaim {
  for (let attempt = 0; attempt < 100; attempt++) {
    const name = generateName(attempt);
    if (takeName(home, name, id)) return freshClaim(home, name, id);
  }
  throw new StasisError('Busy', 'found no free name in 100 attempts', { remedy: 'choose one with --name' });
}

function freshClaim(home: Home, name: string, id: string): NameClaim {
  return { name, replaced: undefined, commit() {}, setAside() {}, undo: () => void releaseName(home, name, id) };
}

async function claimName(home: Home, name: string, id: string, plan: Preparation): Promise<NameClaim> {
  // The holder may go away between the two looks; then the name is free, unless another one was faster.
  for (let attempt = 0; attempt < 3; attempt++) {
    if (takeName(home, name, id)) return freshClaim(home, name, id);
    const holder = holderOfName(home, name);
    if (holder === undefined) continue;
    if (holder === null) {
      throw new StasisError('Busy', `the name ${name} is held by an application that is gone`, {
        remedy: `stasis rm ${name}`,
      });
    }
    const claim = await takeOver(home, name, holder, id, plan);
    if (claim !== undefined) return claim;
  }
  throw new StasisError('Busy', `the name ${name} keeps changing hands`, { remedy: plan.takenRemedy });
}

/** Undefined when the name has another holder by now. */
async function takeOver(
  home: Home,
  name: string,
  holder: string,
  id: string,
  plan: Preparation,
): Promise<NameClaim | undefined> {
  const status = await statusOf(home, holder);
  const replaceable = plan.replace === 'stopped' ? isReplaceable(status) : status.state === 'failed';
  if (!replaceable) {
    throw new StasisError('Busy', `the name ${name} is held by application ${holder}, ${describeStatus(status)}`, {
      remedy:
        status.state === 'running' || status.state === 'starting'
          ? plan.takenRemedy
          : `\`stasis rm ${name}\`, or ${plan.takenRemedy}`,
    });
  }
  const old = home.application(holder);
  const lock = callNativeNow((addon) => addon.lock(old.lock));
  try {
    if (holderOfName(home, name) !== holder) {
      lock.release();
      return undefined;
    }
    moveName(home, name, id);
  } catch (error) {
    lock.release();
    throw error;
  }
  let aside: string | undefined;
  return {
    name,
    replaced: old,
    commit() {
      rmSync(old.directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
      lock.release();
    },
    setAside(directory) {
      renameSync(old.directory, directory);
      aside = directory;
    },
    undo() {
      if (aside !== undefined) renameSync(aside, old.directory);
      moveName(home, name, holder);
      lock.release();
    },
  };
}

/** The usual case, an application that a checkpoint stopped, is told by its status file alone, which spares loading the schema. */
async function statusOf(home: Home, id: string): Promise<ApplicationStatus> {
  const paths = home.application(id);
  const fields = readStatusFields(paths);
  if (fields?.state === 'checkpointed')
    return { state: 'checkpointed', snapshot: fields.snapshot ?? '', endedAt: null };
  const record = await readRecord(home, id);
  // A directory without a record is being prepared this very moment.
  return record === undefined ? { state: 'starting' } : readStatus(paths, record);
}
