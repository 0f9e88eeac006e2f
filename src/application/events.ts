// Events of all applications of a state directory, whichever process causes them: the directory itself is watched, compared with how it
// was at the last look, and every difference told. Events that happen and are undone between two looks (an application started and
// removed at once) are not seen.

import { statSync } from 'node:fs';
import type { Home } from '../store/home.js';
import { type ApplicationRecord, listIds, readRecord } from '../store/record.js';
import { type ApplicationStatus, type Ending, hasEnded, readStatus, readStatusFields } from '../store/status.js';
import { DirectoryWatch } from '../store/watch.js';
import { waitUntil } from '../waiting.js';

export interface ApplicationSubject {
  readonly id: string;
  readonly name: string;
}

export type ApplicationEvent =
  | { readonly type: 'started'; readonly application: ApplicationSubject; readonly pid: number }
  | {
      readonly type: 'restored';
      readonly application: ApplicationSubject;
      readonly pid: number;
      readonly snapshot: string;
    }
  | {
      readonly type: 'checkpointed';
      readonly application: ApplicationSubject;
      readonly snapshot: string;
      readonly running: boolean;
    }
  | {
      readonly type: 'exited';
      readonly application: ApplicationSubject;
      readonly ending: Exclude<Ending, { state: 'checkpointed' }>;
    };

/** What was told of an application so far. */
interface Seen {
  started: boolean;
  ended: boolean;
  /** Identity of app.json, which is replaced when a checkpoint leaves the application running. */
  recordStamp: string;
  checkpointAt: number;
  record: ApplicationRecord | undefined;
}

/** The look that events are compared with is taken at once; watches are made when the first event is asked for. */
export function applicationEvents(
  home: Home,
  signal: AbortSignal | undefined,
): AsyncIterableIterator<ApplicationEvent> {
  return watchEvents(home, takeBaseline(home), signal);
}

function takeBaseline(home: Home): Map<string, Seen> {
  const seen = new Map<string, Seen>();
  for (const id of listIds(home)) {
    const state = readStatusFields(home.application(id))?.state;
    const started = state !== undefined && state !== 'starting';
    seen.set(id, {
      started,
      ended: started && state !== 'running',
      recordStamp: stampOf(home, id),
      checkpointAt: Date.now(),
      record: undefined,
    });
  }
  return seen;
}

async function* watchEvents(
  home: Home,
  seen: Map<string, Seen>,
  signal: AbortSignal | undefined,
): AsyncGenerator<ApplicationEvent, void, void> {
  const top = new DirectoryWatch(home.apps);
  const watches = new Map<string, DirectoryWatch>();
  try {
    for (;;) {
      const events = await waitUntil(
        async () => {
          watchApplications(home, watches, top);
          const found = await look(home, seen);
          return found.length > 0 ? found : undefined;
        },
        { what: 'waiting for an event', signal, intervalMs: 1000, wake: top.next },
      );
      yield* events;
    }
  } finally {
    top.close();
    for (const watch of watches.values()) watch.close();
  }
}

function watchApplications(home: Home, watches: Map<string, DirectoryWatch>, top: DirectoryWatch): void {
  const ids = new Set(listIds(home));
  for (const [id, watch] of watches) {
    if (ids.has(id)) continue;
    watch.close();
    watches.delete(id);
  }
  for (const id of ids) {
    if (!watches.has(id)) watches.set(id, new DirectoryWatch(home.application(id).directory, () => top.notify()));
  }
}

async function look(home: Home, seen: Map<string, Seen>): Promise<ApplicationEvent[]> {
  const events: ApplicationEvent[] = [];
  for (const id of listIds(home)) {
    const known = seen.get(id) ?? { started: false, ended: false, recordStamp: '', checkpointAt: 0, record: undefined };
    seen.set(id, known);
    const stamp = stampOf(home, id);
    if (stamp === '' || (known.ended && stamp === known.recordStamp)) continue;
    if (stamp !== known.recordStamp || known.record === undefined) {
      known.record = await readRecord(home, id).catch(() => undefined);
      known.recordStamp = stamp;
    }
    if (known.record !== undefined)
      events.push(...compare(known, known.record, readStatus(home.application(id), known.record)));
  }
  return events;
}

/** Brings `known` up to date and tells what is new. */
function compare(known: Seen, record: ApplicationRecord, status: ApplicationStatus): ApplicationEvent[] {
  const events: ApplicationEvent[] = [];
  const application = { id: record.id, name: record.name };
  if (!known.started && status.state !== 'starting' && status.state !== 'failed') {
    known.started = true;
    const pid = status.state === 'running' ? status.pid : 0;
    events.push(
      record.restoredFrom === null
        ? { type: 'started', application, pid }
        : { type: 'restored', application, pid, snapshot: record.restoredFrom },
    );
  }
  const last = record.lastCheckpoint;
  if (last !== null && last.at > known.checkpointAt) {
    known.checkpointAt = last.at;
    events.push({ type: 'checkpointed', application, snapshot: last.snapshot, running: true });
  }
  if (!known.ended && hasEnded(status)) {
    known.ended = true;
    events.push(
      status.state === 'checkpointed'
        ? { type: 'checkpointed', application, snapshot: status.snapshot, running: false }
        : { type: 'exited', application, ending: status },
    );
  }
  return events;
}

function stampOf(home: Home, id: string): string {
  try {
    const { ino, mtimeNs } = statSync(home.application(id).record, { bigint: true });
    return `${ino}:${mtimeNs}`;
  } catch {
    return '';
  }
}
