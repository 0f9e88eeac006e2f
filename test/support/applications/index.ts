// The list of whole applications that the tests and the soak run, and what of it a run of the soak is to take.

import type { TestUser } from '../users.js';
import { users } from '../users.js';
import type { Application } from './application.js';
import { postgres } from './postgres.js';
import { pipeline, redis, sqlite } from './storage.js';
import { go, java, nginx, nodeCluster, pool } from './web.js';

export const applications: readonly Application[] = [
  postgres,
  nginx,
  redis,
  nodeCluster,
  pipeline,
  pool,
  java,
  go,
  sqlite,
];

/** Each of `names` (all, if there are none) with each user that it runs as, and a title for a test. Throws for an unknown name. */
export function chosen(
  names: readonly string[],
  asUsers: readonly TestUser[] = users,
): [title: string, application: Application, user: TestUser][] {
  const unknown = names.filter((name) => applications.every((application) => application.name !== name));
  if (unknown.length > 0) throw new Error(`no application is called ${unknown.join(' or ')}`);
  return applications
    .filter(({ name }) => names.length === 0 || names.includes(name))
    .flatMap((application) =>
      asUsers
        .filter((user) => application.runsAs?.(user) ?? true)
        .map((user) => [`${application.name}, ${user.name}`, application, user] as [string, Application, TestUser]),
    );
}

/** What scripts/soak.mjs was asked for. */
export const soakNames: readonly string[] = (process.env.STASIS_SOAK_NAMES ?? '').split(' ').filter(Boolean);
