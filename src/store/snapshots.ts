// Where snapshots lie and how people name them: snapshots/NAME@N, numbered from 1. A snapshot argument is
//
//     a path              anything with a slash
//     NAME@N              that one
//     NAME                the one with the highest N; else where an application of that name was last saved
//     an application id   where that application was last saved
//
// Only directories named NAME@N count, so a checkpoint in progress (NAME@N.partial-...) is never listed.

import { lstatSync, readdirSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { fromSystemError, StasisError } from '../errors.js';
import { applicationIdPattern, type Home } from './home.js';
import { holderOfName, isName } from './names.js';
import { readStatusFields } from './status.js';

/** The file that makes a directory an image. */
export const imageFileName = 'image.stasis';

export interface SnapshotLocation {
  /** Absolute path of the image's directory. */
  readonly path: string;
  /** `NAME@N` when it lies in the state directory. */
  readonly reference: string | null;
  /** The name of the application it was made of, as far as its place tells. */
  readonly name: string | null;
  readonly number: number | null;
}

export function parseReference(text: string): { name: string; number: number } | undefined {
  const match = /^(.+)@([1-9]\d{0,8})$/.exec(text);
  if (match?.[1] === undefined || !isName(match[1])) return undefined;
  return { name: match[1], number: Number(match[2]) };
}

/** Every snapshot in the state directory, by name, then number. */
export function listSnapshots(home: Home): SnapshotLocation[] {
  const found: SnapshotLocation[] = [];
  for (const entry of readdirSync(home.snapshots)) {
    const reference = parseReference(entry);
    if (reference !== undefined && isImage(join(home.snapshots, entry))) found.push(stored(home, reference));
  }
  return found.sort((a, b) => compare(a.name, b.name) || (a.number ?? 0) - (b.number ?? 0));
}

/** The directory for the next snapshot of an application. */
export function nextSnapshotPath(home: Home, name: string): string {
  let highest = 0;
  for (const entry of readdirSync(home.snapshots)) {
    // Unfinished ones count too: their number may be about to be used.
    const reference = parseReference(entry.replace(/\.partial-[0-9a-f]+$/, ''));
    if (reference?.name === name) highest = Math.max(highest, reference.number);
  }
  return join(home.snapshots, `${name}@${highest + 1}`);
}

export function findSnapshot(home: Home, argument: string): SnapshotLocation {
  if (argument.includes('/')) return atPath(home, resolve(argument));
  const reference = parseReference(argument);
  if (reference !== undefined) {
    const location = stored(home, reference);
    if (isImage(location.path)) return location;
    throw notFound(argument);
  }
  if (isName(argument)) {
    const last = listSnapshots(home)
      .filter((snapshot) => snapshot.name === argument)
      .at(-1);
    if (last !== undefined) return last;
  }
  const id = isName(argument) ? (holderOfName(home, argument) ?? argument) : argument;
  const path = applicationIdPattern.test(id) ? readStatusFields(home.application(id))?.snapshot : undefined;
  if (path !== undefined && path !== '') return atPath(home, path);
  throw notFound(argument);
}

function atPath(home: Home, path: string): SnapshotLocation {
  try {
    if (!statSync(path).isDirectory()) throw missing(path, 'a snapshot is a directory');
    if (!isImage(path)) throw missing(path, `there is no ${imageFileName} in it`);
  } catch (error) {
    throw fromSystemError(error, 'looking for the snapshot');
  }
  const reference = parseReference(basename(path));
  const inside = dirname(path) === home.snapshots;
  return {
    path,
    reference: inside && reference !== undefined ? basename(path) : null,
    name: reference?.name ?? null,
    number: reference?.number ?? null,
  };
}

function stored(home: Home, reference: { name: string; number: number }): SnapshotLocation {
  const text = `${reference.name}@${reference.number}`;
  return { path: join(home.snapshots, text), reference: text, ...reference };
}

function isImage(path: string): boolean {
  try {
    return lstatSync(join(path, imageFileName)).isFile();
  } catch {
    return false;
  }
}

function missing(path: string, why: string): StasisError {
  return new StasisError('NotFound', `no snapshot at ${path}: ${why}`, { path });
}

function notFound(argument: string): StasisError {
  return new StasisError('NotFound', `no snapshot ${JSON.stringify(argument)}`, {
    remedy:
      'give NAME, NAME@N, an application id, or a path with a slash in it; `stasis ps --all` shows what was saved',
  });
}

function compare(a: string | null, b: string | null): number {
  return (a ?? '') < (b ?? '') ? -1 : (a ?? '') > (b ?? '') ? 1 : 0;
}
