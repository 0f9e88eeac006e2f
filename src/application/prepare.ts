// What `run` and `restore` share before a process exists: an id, a directory, a name, streams, app.json; and how to take it all back.
//
//     directory -> name -> streams -> app.json -> (process) -> commit
//
// Rules of the place: every step can be undone until commit, in reverse order. app.json stands before the process does, so that a
// process is listed whatever happens to this one; a restore begins the native work before it, and lets the process come into being after
// it (docs/adr/0008). The directory exists before its name, so a name never leads nowhere. When a stopped application gives its place to a restore, its lock is held from the moment the
// name moves until its directory is gone (commit) or the name moved back (undo). It is gone when it is moved into the new one's, which is
// one rename(2); its files are removed after the caller has its answer, and if this process ends first, they go with the new application. A
// foreground restore becomes another program before it is known to succeed, so it cannot commit: it moves that directory just so, from
// where undo can still fetch it.

import { mkdirSync, renameSync, rmSync } from 'node:fs';
import type { PublishedPort } from '../environment/publish.js';
import { type EnvironmentPlace, joinEnvironment, leaveEnvironment } from '../environment/registry.js';
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
  /** The name probably has a holder that makes way: it is looked for first, since a failing symlink(2) costs an exception. */
  readonly held: boolean;
  /** `stopped`: also an application of that name that a checkpoint stopped makes way. */
  readonly replace: 'failed' | 'stopped';
  readonly command: readonly string[];
  readonly cwd: string;
  readonly mode: 'detached' | 'foreground';
  readonly runtime: string;
  readonly streams: readonly [Stream, Stream, Stream];
  readonly restoredFrom: string | null;
  readonly environment?: { readonly name: string; readonly publish: readonly PublishedPort[] };
  /** Said when the name is taken. */
  readonly takenRemedy: string;
}

/** Directory, name and streams. */
export interface Place {
  readonly paths: ApplicationPaths;
  readonly stdio: OpenStdio;
  /** Writes app.json. Undoing is left to the caller. */
  describe(): ApplicationRecord;
  /** The process runs: lets go of the streams, and of the application that made way. */
  commit(): void;
  /** Instead of commit, where there is no way to know that the process runs: the application that made way goes when this one does. */
  setAside(): void;
  /** Takes everything back. */
  undo(): void;
}

/** A place with its app.json. */
export interface Prepared extends Place {
  readonly record: ApplicationRecord;
}

interface NameClaim {
  readonly name: string;
  readonly replaced: ApplicationPaths | undefined;
  commit(directory: string): void;
  setAside(directory: string): void;
  undo(): void;
}

export async function prepare(home: Home, plan: Preparation): Promise<Prepared> {
  const place = await takePlace(home, plan);
  try {
    return { ...place, record: place.describe() };
  } catch (error) {
    place.undo();
    throw error;
  }
}

export async function takePlace(home: Home, plan: Preparation): Promise<Place> {
  const id = newApplicationId();
  const paths = home.application(id);
  let claim: NameClaim | undefined;
  let stdio: OpenStdio | undefined;
  let environment: EnvironmentPlace | undefined;
  const undo = (): void => {
    stdio?.close();
    if (environment !== undefined) leaveEnvironment(home, environment, id);
    claim?.undo();
    removeDirectory(paths.directory);
  };
  try {
    mkdirSync(paths.directory, { mode: 0o700 });
    claim = plan.name === undefined ? claimAnyName(home, id) : await claimName(home, plan.name, id, plan);
    stdio = openStdio(plan.streams, paths, claim.replaced);
    if (plan.environment !== undefined) {
      environment = await joinEnvironment(home, plan.environment.name, id, plan.environment.publish);
    }
    const joined = environment;
    const taken = claim;
    const open = stdio;
    const replaced = `${paths.directory}/replaced`;
    return {
      paths,
      stdio,
      describe: () => describe(home, id, taken.name, open, plan, joined),
      commit() {
        open.close();
        taken.commit(replaced);
      },
      setAside: () => taken.setAside(replaced),
      undo,
    };
  } catch (error) {
    undo();
    throw fromSystemError(error, preparing);
  }
}

const preparing = 'preparing the application';

function describe(
  home: Home,
  id: string,
  name: string,
  stdio: OpenStdio,
  plan: Preparation,
  environment: EnvironmentPlace | undefined,
): ApplicationRecord {
  try {
    const record: ApplicationRecord = {
      version: 1,
      id,
      name,
      command: plan.command,
      cwd: plan.cwd,
      mode: plan.mode,
      createdAt: Date.now(),
      runtime: plan.runtime,
      stdio: stdio.identities(),
      logged: stdio.logged,
      launcher: ownIdentity(),
      bootId: bootId(),
      restoredFrom: plan.restoredFrom,
      lastCheckpoint: null,
      ...(environment === undefined ? {} : { environment }),
    };
    writeRecord(home, record);
    return record;
  } catch (error) {
    throw fromSystemError(error, preparing);
  }
}

/** Starts the process; if that fails all is taken back. */
export async function bringUp<T>(prepared: Place, operation: (addon: Addon) => Promise<T>): Promise<T> {
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
  for (let attempt = 0; attempt < 4; attempt++) {
    if (!(plan.held && attempt === 0) && takeName(home, name, id)) return freshClaim(home, name, id);
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
    commit(directory) {
      try {
        renameSync(old.directory, directory);
      } finally {
        lock.release();
      }
      setImmediate(removeLeftover, directory);
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

function removeDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true, maxRetries: 5, retryDelay: 20 });
}

function removeLeftover(directory: string): void {
  try {
    removeDirectory(directory);
  } catch {
    // It goes with the application that it lies in.
  }
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
