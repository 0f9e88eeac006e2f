// Leftovers of checkpoints that were killed midway.
//
// A checkpoint writes partial/ID.json, saying where it will write and which process it is, and only then makes that directory, whose
// name ends in `.partial-ID`. When all is well the directory is renamed to its final name and the note removed. The next command finds
// notes whose process is gone and removes what they name. Until a note is whole it is partial/ID.json.PID.START, which names its process
// as well, so that of a checkpoint that was killed while it wrote the note this file goes at once, too.
//
// Rules of the place: a note is input like any other, and it ends in deletion. So only a directory whose name ends with the mark and the
// note's own id is touched, never through a symbolic link, and of its contents only plain files: a directory that holds anything else
// was not made by a checkpoint and stays.

import { randomBytes } from 'node:crypto';
import { lstatSync, readdirSync, readFileSync, rmdirSync, unlinkSync } from 'node:fs';
import { basename, isAbsolute, join, normalize } from 'node:path';
import { type Home, replaceFile } from './home.js';
import { bootId, isAlive, ownIdentity, type ProcessIdentity } from './process-identity.js';

export const partialMark = '.partial-';

const partialIdPattern = /^[0-9a-f]{16}$/;
const maxNoteBytes = 64 * 1024;

export interface PartialNote {
  readonly id: string;
  readonly directory: string;
  readonly pid: number;
  readonly startTime: number;
  readonly bootId: string;
}

/** A checkpoint in progress: where it writes, and how to end the note. */
export interface PartialClaim {
  readonly directory: string;
  /** Removes whatever lies there, and the note. After a commit nothing lies there. */
  release(): void;
}

/** Writes the note for a checkpoint whose result will be `finalPath`. */
export function claimPartial(home: Home, finalPath: string): PartialClaim {
  const id = randomBytes(8).toString('hex');
  const note: PartialNote = { id, directory: `${finalPath}${partialMark}${id}`, ...ownIdentity(), bootId: bootId() };
  const file = join(home.partial, `${id}.json`);
  replaceFile(file, `${JSON.stringify(note)}\n`, `${file}.${note.pid}.${note.startTime}`);
  return {
    directory: note.directory,
    release() {
      try {
        if (removePartialDirectory(note.directory)) unlinkIfThere(file);
      } catch {
        // The note stays, and a later command tries again.
      }
    },
  };
}

/** Reads a note; undefined for anything that a checkpoint cannot have written. */
export function parsePartialNote(id: string, text: string): PartialNote | undefined {
  if (!partialIdPattern.test(id)) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const { id: noted, directory, pid, startTime, bootId: boot } = value as Record<string, unknown>;
  if (noted !== id || typeof directory !== 'string' || typeof boot !== 'string') return undefined;
  if (!Number.isSafeInteger(pid) || !Number.isSafeInteger(startTime)) return undefined;
  if (!isAbsolute(directory) || normalize(directory) !== directory || directory.includes('\0')) return undefined;
  const base = basename(directory);
  const end = `${partialMark}${id}`;
  if (!base.endsWith(end) || base.length === end.length) return undefined;
  return { id, directory, pid: pid as number, startTime: startTime as number, bootId: boot };
}

/** Clears what checkpoints left behind whose process is gone. Never fails: leftovers that cannot be removed stay for the next time. */
export function cleanPartials(home: Home): string[] {
  const removed: string[] = [];
  let entries: string[];
  try {
    entries = readdirSync(home.partial);
  } catch {
    return removed;
  }
  for (const entry of entries) {
    const file = join(home.partial, entry);
    try {
      const stat = lstatSync(file);
      if (!stat.isFile()) continue;
      const writer = writerOfUnfinishedNote(entry);
      if (writer !== undefined && !isAlive(writer)) unlinkIfThere(file);
      if (!entry.endsWith('.json') || stat.size > maxNoteBytes) continue;
      const note = parsePartialNote(entry.slice(0, -'.json'.length), readFileSync(file, 'utf8'));
      if (note === undefined || ownerLives(note)) continue;
      if (!removePartialDirectory(note.directory)) continue;
      unlinkIfThere(file);
      removed.push(note.directory);
    } catch {
      // Gone meanwhile, or not ours to remove.
    }
  }
  return removed;
}

function ownerLives(note: PartialNote): boolean {
  return (note.bootId === '' || bootId() === '' || note.bootId === bootId()) && isAlive(note);
}

/** The process that writes a note which is not in place yet. Such a note does not count: its directory is made later. */
function writerOfUnfinishedNote(entry: string): ProcessIdentity | undefined {
  const match = /^[0-9a-f]{16}\.json\.(\d{1,15})\.(\d{1,15})$/.exec(entry);
  return match === null ? undefined : { pid: Number(match[1]), startTime: Number(match[2]) };
}

/** True when the directory is gone. */
function removePartialDirectory(directory: string): boolean {
  try {
    if (!lstatSync(directory).isDirectory()) return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT';
  }
  const entries = readdirSync(directory, { withFileTypes: true });
  if (!entries.every((entry) => entry.isFile())) return false;
  for (const entry of entries) unlinkIfThere(join(directory, entry.name));
  rmdirSync(directory);
  return true;
}

function unlinkIfThere(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
}
