// Whole applications whose checkpoints and restores are cut off by kill -9 at random moments (support/applications/killed.ts). The seed is
// printed with a failure; `STASIS_KILLS=20` makes as many kills for each as the nightly run.

import { describe, test } from 'vitest';
import { applications } from '../support/applications/index.js';
import { killedCourse } from '../support/applications/killed.js';
import { users } from '../support/users.js';

const kills = Number(process.env.STASIS_KILLS ?? 4);
const seed = Number(process.env.STASIS_SEED ?? Math.floor(Math.random() * 2 ** 31));

describe.each(users.slice(-1))('as $name', (user) => {
  const here = applications.filter((application) => application.runsAs?.(user) ?? true);
  test.each(here.map((application) => [application.name, application] as const))(
    '%s',
    { timeout: 60_000 + kills * 30_000 },
    async (_name, application) => {
      await killedCourse(user, application, kills, seed);
    },
  );
});
