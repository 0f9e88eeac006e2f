// Whom the integration tests run as: the user who runs the suite, and, when that is root, also uid 1000 without any capability and with an
// empty bounding set. Run by another user the suite is unprivileged already.

import { accessSync, constants, realpathSync } from 'node:fs';
import { dirname } from 'node:path';

export interface TestUser {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly privileged: boolean;
  /** Words put in front of a command to run it as this user. */
  readonly prefix: readonly string[];
}

const uid = process.getuid?.() ?? 0;
const gid = process.getgid?.() ?? 0;

const self: TestUser = { name: uid === 0 ? 'root' : `uid ${uid}`, uid, gid, privileged: uid === 0, prefix: [] };

const plain: TestUser = {
  name: 'uid 1000 without capabilities',
  uid: 1000,
  gid: 1000,
  privileged: false,
  prefix: ['setpriv', '--reuid=1000', '--regid=1000', '--clear-groups', '--bounding-set=-all', '--inh-caps=-all', '--'],
};

export const users: readonly TestUser[] = uid === 0 ? [self, plain] : [self];

/** Fails early and clearly when the other user could not even read the checkout or run Node. */
export function checkReachable(paths: readonly string[]): void {
  if (uid !== 0) return;
  process.seteuid?.(1000);
  try {
    for (const path of paths) {
      try {
        accessSync(path, constants.R_OK | constants.X_OK);
      } catch {
        throw new Error(
          `uid 1000 cannot use ${path}, which the tests run as that user too: let it search ${dirname(realpathSync.native('/proc/self/cwd'))} and above, or put Node where every user can run it`,
        );
      }
    }
  } finally {
    process.seteuid?.(0);
  }
}
