// The state directory: where it is, and the names of everything in it (docs/architecture.md). Paths only; what lies there is the
// business of the other files of this folder.
//
// Rules of the place: directories are mode 0700, files 0600. Files are replaced by rename, never written in place. The calls are
// synchronous on purpose: each is one or two system calls on metadata, which cost microseconds here and several times as much by way
// of libuv's thread pool, and a restore is measured in milliseconds.

import { randomUUID } from 'node:crypto';
import { mkdirSync, renameSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fromSystemError, StasisError } from '../errors.js';

/** The directory of one application. */
export interface ApplicationPaths {
  readonly directory: string;
  readonly record: string;
  readonly status: string;
  readonly controlSocket: string;
  readonly stdoutLog: string;
  readonly stderrLog: string;
  readonly lock: string;
}

export const applicationIdPattern = /^[0-9a-f]{12}$/;

export function newApplicationId(): string {
  return randomHex();
}

/** 12 digits. Of a UUID because Node draws the random bytes of many at a time, where randomBytes asks for each (30 us). */
function randomHex(): string {
  const uuid = randomUUID();
  return `${uuid.slice(0, 8)}${uuid.slice(9, 13)}`;
}

export class Home {
  readonly root: string;
  readonly apps: string;
  readonly names: string;
  readonly snapshots: string;
  readonly runtimes: string;
  readonly partial: string;
  readonly verified: string;
  /** Made by the first application in one. */
  readonly environments: string;

  private constructor(root: string) {
    this.root = root;
    this.apps = join(root, 'apps');
    this.names = join(root, 'names');
    this.snapshots = join(root, 'snapshots');
    this.runtimes = join(root, 'runtimes');
    this.partial = join(root, 'partial');
    this.verified = join(root, 'verified');
    this.environments = join(root, 'environments');
  }

  /** Opens the state directory and makes what is missing. Refuses one that another user could have prepared. */
  static open(path: string): Home {
    const home = new Home(resolve(path));
    try {
      makePath(home.root);
      const stat = statSync(home.root);
      if (!stat.isDirectory()) {
        throw new StasisError('Failed', `the state directory is no directory, ${home.root}`, { path: home.root });
      }
      const { uid, mode } = stat;
      const self = process.geteuid?.() ?? uid;
      if (uid !== self || (mode & 0o022) !== 0) {
        throw new StasisError(
          'Permission',
          uid === self
            ? `the state directory can be written by other users, ${home.root}`
            : `the state directory belongs to uid ${uid}, ${home.root}`,
          { path: home.root, remedy: uid === self ? `chmod 700 ${home.root}` : 'choose another one with STASIS_HOME' },
        );
      }
      for (const directory of [home.apps, home.names, home.snapshots, home.runtimes, home.partial, home.verified]) {
        makeDirectory(directory);
      }
    } catch (error) {
      throw fromSystemError(error, 'opening the state directory');
    }
    return home;
  }

  application(id: string): ApplicationPaths {
    const directory = `${this.apps}/${id}`;
    return {
      directory,
      record: `${directory}/app.json`,
      status: `${directory}/status`,
      controlSocket: `${directory}/control.sock`,
      stdoutLog: `${directory}/stdout.log`,
      stderrLog: `${directory}/stderr.log`,
      lock: `${directory}/lock`,
    };
  }
}

/** `$STASIS_HOME`, else `$XDG_STATE_HOME/stasis`, else `~/.local/state/stasis`. */
export function defaultHome(env: NodeJS.ProcessEnv = process.env): string {
  if (env.STASIS_HOME) return env.STASIS_HOME;
  // The XDG base directory specification: a relative path is invalid and to be ignored.
  if (env.XDG_STATE_HOME?.startsWith('/')) return join(env.XDG_STATE_HOME, 'stasis');
  return join(env.HOME || homedir(), '.local', 'state', 'stasis');
}

/** A directory and those above it. Not mkdir's `recursive`, which never returns for a path in /proc (Node 20). */
function makePath(path: string): void {
  try {
    makeDirectory(path);
  } catch (error) {
    const parent = dirname(path);
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || parent === path) throw error;
    makePath(parent);
    makeDirectory(path);
  }
}

function makeDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
}

/**
 * Puts a file in place whole: readers see the old text or the new one. Nobody else writes the file meanwhile: the caller holds a lock, or
 * alone knows the path. A process that is killed between the two calls leaves the temporary file, which the next replacement takes over,
 * so that they do not pile up.
 */
export function replaceFile(path: string, text: string, temporary = `${path}.new`): void {
  try {
    writeFileSync(temporary, text, { mode: 0o600 });
    renameSync(temporary, path);
  } catch (error) {
    try {
      unlinkSync(temporary);
    } catch {
      // It was never made, or the rename took it.
    }
    throw error;
  }
}
