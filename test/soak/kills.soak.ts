// Whole applications whose checkpoints and restores are cut off by kill -9 at random moments (support/applications/killed.ts), STASIS_KILLS
// for each. The seed is printed with a failure.

import { describe, test } from 'vitest';
import { applications } from '../support/applications/index.js';
import { killedCourse } from '../support/applications/killed.js';
import { users } from '../support/users.js';

const kills = Number(process.env.STASIS_KILLS ?? 20);
const names = (process.env.STASIS_SOAK_NAMES ?? '').split(' ').filter(Boolean);
const seed = Number(process.env.STASIS_SEED ?? Math.floor(Math.random() * 2 ** 31));

describe.each(users.slice(-1))('as $name', (user) => {
  const here = applications.filter(
    (application) => (names.length === 0 || names.includes(application.name)) && (application.runsAs?.(user) ?? true),
  );
  if (here.length === 0) return;
  test.each(here.map((application) => [application.name, application] as const))('%s', async (_name, application) => {
    await killedCourse(user, application, kills, seed);
  });
});
