// The ids of a running application: what each number that its programs know stands for in the system.

import { StasisError } from '../errors.js';
import type { ResourceId } from '../native.js';
import { callNative } from '../native-call.js';
import type { ApplicationPaths } from '../store/home.js';
import type { ApplicationRecord } from '../store/record.js';
import { readStatus } from '../store/status.js';
import { describeStatus } from './describe.js';

/** Read when the first one is asked for; what changes afterwards is not seen. */
export async function* readIds(paths: ApplicationPaths, record: ApplicationRecord): AsyncIterableIterator<ResourceId> {
  const status = readStatus(paths, record);
  if (status.state !== 'running')
    throw new StasisError('Failed', `${record.name} is not running: ${describeStatus(status)}`);
  yield* await callNative((addon) => addon.ids(status.pid, status.startTime));
}
