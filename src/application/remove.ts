// Removing by what a user typed: an application's name or id, a snapshot's NAME@N, a name whose application is gone, and, by force,
// an application whose record cannot be read.

import { existsSync } from 'node:fs';
import { fromSystemError, StasisError } from '../errors.js';
import { Snapshot } from '../snapshot/snapshot.js';
import { applicationIdPattern, type Home } from '../store/home.js';
import { holderOfName, isName, listNames, releaseName } from '../store/names.js';
import { findSnapshot, parseReference } from '../store/snapshots.js';
import { readStatus } from '../store/status.js';
import { Application, killDeadlineMs, type RemoveOptions, removeApplication, sendKill } from './application.js';
import { waitForEnding } from './ending.js';
import { findRecord } from './find.js';

export async function removeByReference(home: Home, reference: string, options: RemoveOptions): Promise<void> {
  if (parseReference(reference) !== undefined) {
    await new Snapshot(home, findSnapshot(home, reference)).remove();
    return;
  }
  if (isName(reference) && holderOfName(home, reference) === null) {
    releaseOrphan(home, reference);
    return;
  }
  try {
    const record = await findRecord(home, reference);
    await new Application(home, record).remove(options);
  } catch (error) {
    const id = unreadableId(home, reference, error);
    if (id === undefined || !options.force) throw error;
    await removeUnreadable(home, id, options);
  }
}

function releaseOrphan(home: Home, name: string): void {
  try {
    releaseName(home, name, null);
  } catch (error) {
    throw fromSystemError(error, 'freeing the name');
  }
}

/** The application behind the reference, when its record is damaged or missing. */
function unreadableId(home: Home, reference: string, error: unknown): string | undefined {
  if (!(error instanceof StasisError) || !['ERR_STASIS_DAMAGED', 'ERR_STASIS_NOT_FOUND'].includes(error.code))
    return undefined;
  const id = (isName(reference) ? holderOfName(home, reference) : undefined) ?? reference;
  return applicationIdPattern.test(id) && existsSync(home.application(id).directory) ? id : undefined;
}

async function removeUnreadable(home: Home, id: string, { signal }: RemoveOptions): Promise<void> {
  const paths = home.application(id);
  // Who launched it and when is not known, nor asked for what runs.
  const record = { name: id, launcher: { pid: 0, startTime: 0 }, bootId: '' };
  const status = readStatus(paths, record);
  if (status.state === 'running') {
    sendKill(status.pid, status.startTime);
    // Its keeper writes down the end in the directory that is to go.
    await waitForEnding(paths, record, { timeoutMs: killDeadlineMs, signal });
  }
  const name = [...listNames(home)].find(([, holder]) => holder === id)?.[0];
  removeApplication(home, id, name);
}
