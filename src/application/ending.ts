// Waiting until an application has ended. The keeper replaces the status file at the end, which a directory watch tells at once; the
// look at /proc after each interval covers a keeper that was killed.

import type { ApplicationPaths } from '../store/home.js';
import type { ApplicationRecord } from '../store/record.js';
import { type Ending, hasEnded, readStatus } from '../store/status.js';
import { DirectoryWatch } from '../store/watch.js';
import { waitUntil } from '../waiting.js';

export interface EndingOptions {
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export async function waitForEnding(
  paths: ApplicationPaths,
  record: Pick<ApplicationRecord, 'name' | 'launcher' | 'bootId'>,
  options: EndingOptions,
): Promise<Ending> {
  const watch = new DirectoryWatch(paths.directory);
  try {
    return await waitUntil(
      () => {
        const status = readStatus(paths, record);
        return hasEnded(status) ? status : undefined;
      },
      { what: `waiting for ${record.name} to end`, ...options, intervalMs: 250, wake: watch.next },
    );
  } finally {
    watch.close();
  }
}
