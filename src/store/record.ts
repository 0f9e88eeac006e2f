// apps/ID/app.json: what was asked when an application was started. Written by the library, by rename; read back with a schema, because
// anything may lie in a directory that people can reach.
//
// Rules of the place: fields are added, never given another meaning. Device and inode numbers are decimal text, since they are 64 bits
// wide. The schema library takes tens of milliseconds to load, so it is loaded when the first record is read, never for a launch.

import { readdirSync, readFileSync } from 'node:fs';
import type { EnvironmentPlace } from '../environment/registry.js';
import { fromSystemError, StasisError } from '../errors.js';
import { applicationIdPattern, type Home, replaceFile } from './home.js';
import type { ProcessIdentity } from './process-identity.js';

/** What a stream of the application is: enough for a checkpoint to tell the application's own stdio from files it opened. */
export interface StreamIdentity {
  readonly dev: string;
  readonly ino: string;
  /** S_IFMT bits of the mode. */
  readonly type: number;
}

export interface ApplicationRecord {
  readonly version: 1;
  readonly id: string;
  readonly name: string;
  /** Program and arguments as they were asked for; empty for an application that was restored from an image. */
  readonly command: readonly string[];
  readonly cwd: string;
  readonly mode: 'detached' | 'foreground';
  /** Epoch milliseconds. */
  readonly createdAt: number;
  /** Build id of the runtime it was started with, hexadecimal. */
  readonly runtime: string;
  readonly stdio: readonly [StreamIdentity, StreamIdentity, StreamIdentity];
  /** stdout.log and stderr.log hold its output. */
  readonly logged: boolean;
  /** The process that started it. */
  readonly launcher: ProcessIdentity;
  readonly bootId: string;
  /** Path of the image it was restored from. */
  readonly restoredFrom: string | null;
  /** The last checkpoint that left it running. */
  readonly lastCheckpoint: { readonly snapshot: string; readonly at: number } | null;
  /** Where it is, if it is in an environment. */
  readonly environment?: EnvironmentPlace;
}

export function writeRecord(home: Home, record: ApplicationRecord): void {
  replaceFile(home.application(record.id).record, `${JSON.stringify(record, null, 2)}\n`);
}

/** The record of an application; undefined when there is no such application. Damaged when its file is not what was written. */
export async function readRecord(home: Home, id: string): Promise<ApplicationRecord | undefined> {
  if (!applicationIdPattern.test(id)) return undefined;
  const path = home.application(id).record;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw fromSystemError(error, 'reading the record of an application');
  }
  const { parseRecord } = await import('./record-schema.js');
  const parsed = parseRecord(text);
  if ('problem' in parsed || parsed.record.id !== id) {
    const problem = 'problem' in parsed ? parsed.problem : `it is the record of ${parsed.record.id}`;
    throw new StasisError('Damaged', `the record of application ${id} is damaged, ${path}: ${problem}`, {
      path,
      remedy: `\`stasis rm --force ${id}\` removes the application from the list`,
    });
  }
  return parsed.record;
}

/** Ids of everything in apps/, whether its record can be read or not. */
export function listIds(home: Home): string[] {
  return readdirSync(home.apps).filter((entry) => applicationIdPattern.test(entry));
}

/** Every application whose record can be read. */
export async function listRecords(home: Home): Promise<ApplicationRecord[]> {
  const records: ApplicationRecord[] = [];
  for (const id of listIds(home)) {
    try {
      const record = await readRecord(home, id);
      if (record !== undefined) records.push(record);
    } catch (error) {
      // One damaged record must not hide the others; naming the application itself reports it.
      if (!(error instanceof StasisError)) throw error;
    }
  }
  return records.sort((a, b) => a.createdAt - b.createdAt);
}

function isMissing(error: unknown): boolean {
  const code = (error as NodeJS.ErrnoException).code;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
