// runtimes/BUILD-ID: a copy of every runtime that an application here was started with. An application executes its runtime again at
// every exec and an image fits only the runtime it was made under, so the file must outlive an upgrade of the package.

import { randomBytes } from 'node:crypto';
import { chmodSync, copyFileSync, readFileSync, renameSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError } from '../errors.js';
import type { Home } from './home.js';

export interface StoredRuntime {
  readonly buildId: string;
  readonly path: string;
}

/** Makes sure that the package's runtime lies in the state directory. `buildId` is asked for once per file. */
export function ensureRuntime(home: Home, file: string, buildId: (file: string) => string): StoredRuntime {
  const id = cachedBuildId(file, buildId);
  const path = join(home.runtimes, id);
  if (sameContent(file, path)) return { buildId: id, path };
  const temporary = `${path}.${randomBytes(4).toString('hex')}`;
  try {
    copyFileSync(file, temporary);
    chmodSync(temporary, 0o500);
    renameSync(temporary, path);
  } catch (error) {
    try {
      unlinkSync(temporary);
    } catch {
      // Never made.
    }
    throw fromSystemError(error, 'storing the runtime');
  }
  return { buildId: id, path };
}

const buildIds = new Map<string, string>();

function cachedBuildId(file: string, buildId: (file: string) => string): string {
  let id = buildIds.get(file);
  if (id === undefined) {
    id = buildId(file);
    buildIds.set(file, id);
  }
  return id;
}

/** A copy may be cut short, or have come with a foreign image that only claims this build id. */
function sameContent(file: string, path: string): boolean {
  try {
    return readFileSync(path).equals(readFileSync(file));
  } catch {
    return false;
  }
}
