// Whole applications whose checkpoints and restores are cut off by kill -9 at random moments (support/applications/killed.ts), STASIS_KILLS
// for each, as the least privileged user. The seed is printed with a failure.

import { test } from 'vitest';
import { chosen, soakNames } from '../support/applications/index.js';
import { killedCourse } from '../support/applications/killed.js';
import { users } from '../support/users.js';

const kills = Number(process.env.STASIS_KILLS ?? 20);
const seed = Number(process.env.STASIS_SEED ?? Math.floor(Math.random() * 2 ** 31));

test.each(chosen(soakNames, users.slice(-1)))('%s', async (title, application, user) => {
  const started = performance.now();
  await killedCourse(user, application, kills, seed);
  console.log(`${title}: ${kills} kills, ${Math.round((performance.now() - started) / 1000)} s, seed ${seed}`);
});
