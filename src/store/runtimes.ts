// runtimes/BUILD-ID: a copy of every runtime that an application here was started with. An application executes its runtime again at
// every exec and an image fits only the runtime it was made under, so the file must outlive an upgrade of the package.

import { randomBytes } from 'node:crypto';
import { type BigIntStats, chmodSync, copyFileSync, readFileSync, renameSync, statSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fromSystemError } from '../errors.js';
import type { Home } from './home.js';

export interface StoredRuntime {
  readonly buildId: string;
  readonly path: string;
}

/** What was found of a pair of files, good for as long as both stay what they were. */
interface Finding {
  readonly stamps: string;
  readonly buildId: string;
}

/** By the path of the package's runtime and the state directory: reading both files at every launch would cost more than the launch. */
const findings = new Map<string, Finding>();

/** Makes sure that the package's runtime lies in the state directory. */
export function ensureRuntime(home: Home, file: string, buildId: (file: string) => string): StoredRuntime {
  const key = `${home.runtimes}\0${file}`;
  const known = findings.get(key);
  if (known !== undefined) {
    const path = join(home.runtimes, known.buildId);
    if (known.stamps === stampsOf(file, path)) return { buildId: known.buildId, path };
  }
  const id = buildId(file);
  const path = join(home.runtimes, id);
  if (!sameContent(file, path)) store(file, path);
  const stamps = stampsOf(file, path);
  if (stamps !== undefined) findings.set(key, { stamps, buildId: id });
  return { buildId: id, path };
}

function store(file: string, path: string): void {
  const temporary = `${path}.${randomBytes(4).toString('hex')}`;
  try {
    copyFileSync(file, temporary);
    // For a program that gives up root, which then executes it by /proc/self/exe; the directory lets nobody else in.
    chmodSync(temporary, 0o555);
    renameSync(temporary, path);
  } catch (error) {
    try {
      unlinkSync(temporary);
    } catch {
      // Never made.
    }
    throw fromSystemError(error, 'storing the runtime');
  }
}

/** Changes with every write to either file, and with their replacement. */
function stampsOf(file: string, path: string): string | undefined {
  try {
    return [file, path]
      .map((each) => statSync(each, { bigint: true }))
      .map(stampOf)
      .join(' ');
  } catch {
    return undefined;
  }
}

function stampOf({ dev, ino, size, ctimeNs }: BigIntStats): string {
  return `${dev}:${ino}:${size}:${ctimeNs}`;
}

/** A copy may be cut short, or have come with a foreign image that only claims this build id. */
function sameContent(file: string, path: string): boolean {
  try {
    return readFileSync(path).equals(readFileSync(file));
  } catch {
    return false;
  }
}
