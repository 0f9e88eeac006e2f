// What an application is doing. The keeper writes apps/ID/status; this file reads it and holds it against /proc, because a keeper that
// was killed cannot write any more.
//
//     status file            keeper   process   ->
//     running                any      alive     running (supervised: the keeper lives)
//     running                alive    gone      running, about to be written: callers that wait look again
//     running                gone     gone      lost: it ended and nobody saw how
//     exited|signaled|checkpointed              as written
//     starting or none       alive              starting
//     starting or none       gone               failed: it never came up

import { readFileSync } from 'node:fs';
import { constants } from 'node:os';
import type { ApplicationPaths } from './home.js';
import { bootId, isAlive, type ProcessIdentity } from './process-identity.js';
import type { ApplicationRecord } from './record.js';

export type ApplicationStatus =
  | { readonly state: 'starting' }
  | { readonly state: 'running'; readonly pid: number; readonly startTime: number; readonly supervised: boolean }
  | Ending;

/** How an application came to its end. */
export type Ending =
  | { readonly state: 'exited'; readonly code: number; readonly endedAt: Date | null }
  | { readonly state: 'signaled'; readonly signal: number; readonly signalName: string; readonly endedAt: Date | null }
  | { readonly state: 'checkpointed'; readonly snapshot: string; readonly endedAt: Date | null }
  /** Ended while its keeper was gone: how is not known. */
  | { readonly state: 'lost'; readonly endedAt: null }
  /** It never came up. */
  | { readonly state: 'failed'; readonly endedAt: null };

/** The status file's lines. Keys that are not known are ignored, values that cannot be right are dropped. */
export interface StatusFields {
  readonly state?: string;
  readonly process?: ProcessIdentity;
  readonly keeper?: ProcessIdentity;
  readonly code?: number;
  readonly signal?: number;
  readonly ended?: number;
  readonly snapshot?: string;
}

export function parseStatus(text: string): StatusFields {
  const values = new Map<string, string>();
  for (const line of text.split('\n')) {
    const equals = line.indexOf('=');
    if (equals > 0) values.set(line.slice(0, equals), line.slice(equals + 1));
  }
  const number = (key: string): number | undefined => {
    const value = values.get(key);
    return value !== undefined && /^\d{1,15}$/.test(value) ? Number(value) : undefined;
  };
  const identity = (pidKey: string, startKey: string): ProcessIdentity | undefined => {
    const pid = number(pidKey);
    const startTime = number(startKey);
    return pid === undefined || pid === 0 || startTime === undefined ? undefined : { pid, startTime };
  };
  return definedOnly({
    state: values.get('state'),
    process: identity('pid', 'start'),
    keeper: identity('keeper', 'keeper_start'),
    code: number('code'),
    signal: number('signal'),
    ended: number('ended'),
    snapshot: values.get('snapshot'),
  });
}

/** Who may be asked whether a process lives; /proc in production. */
export type Liveness = (identity: ProcessIdentity) => boolean;

/** `launcher` is the process that started the application: until the keeper has written a status, only it can still bring it up. */
export function resolveStatus(
  fields: StatusFields | undefined,
  launcher: ProcessIdentity | undefined,
  alive: Liveness,
): ApplicationStatus {
  const endedAt = fields?.ended === undefined ? null : new Date(fields.ended);
  const lives = (identity: ProcessIdentity | undefined): boolean => identity !== undefined && alive(identity);
  switch (fields?.state) {
    case 'exited':
      return { state: 'exited', code: fields.code ?? 0, endedAt };
    case 'signaled': {
      const signal = fields.signal ?? 0;
      return { state: 'signaled', signal, signalName: signalName(signal), endedAt };
    }
    case 'checkpointed':
      return { state: 'checkpointed', snapshot: fields.snapshot ?? '', endedAt };
    case 'running': {
      const supervised = lives(fields.keeper);
      if (fields.process !== undefined && (supervised || lives(fields.process))) {
        return { state: 'running', ...fields.process, supervised };
      }
      return { state: 'lost', endedAt: null };
    }
    default:
      return lives(fields?.keeper) || lives(launcher) ? { state: 'starting' } : { state: 'failed', endedAt: null };
  }
}

export function readStatusFields(paths: ApplicationPaths, path = paths.status): StatusFields | undefined {
  try {
    return parseStatus(readFileSync(path, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** The status of an application now. */
export function readStatus(
  paths: ApplicationPaths,
  record: Pick<ApplicationRecord, 'launcher' | 'bootId'>,
): ApplicationStatus {
  const sameBoot = record.bootId === '' || bootId() === '' || record.bootId === bootId();
  const look = (path = paths.status) =>
    resolveStatus(readStatusFields(paths, path), record.launcher, sameBoot ? isAlive : () => false);
  const status = look();
  // The keeper prepares its next word before the application runs and publishes it afterwards: one that was killed in between leaves an
  // application that runs.
  if (status.state === 'failed') {
    const prepared = look(`${paths.status}.new`);
    if (prepared.state === 'running') return prepared;
  }
  // A keeper that was found gone may have written its last word between the reading of the file and the look at its process.
  return status.state === 'lost' || status.state === 'failed' ? look() : status;
}

export function hasEnded(status: ApplicationStatus): status is Ending {
  return status.state !== 'running' && status.state !== 'starting';
}

/** A stopped application that its snapshot stands for, or one that never ran: a restore may take its place. */
export function isReplaceable(status: ApplicationStatus): boolean {
  return status.state === 'checkpointed' || status.state === 'failed';
}

export function signalName(signal: number): string {
  for (const [name, number] of Object.entries(constants.signals)) {
    if (number === signal && name !== 'SIGIOT' && name !== 'SIGPOLL' && name !== 'SIGUNUSED') return name;
  }
  return `signal ${signal}`;
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function definedOnly<T extends object>(value: T): Defined<T> {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as Defined<T>;
}
