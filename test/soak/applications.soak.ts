// The long run of the applications, by way of scripts/soak.mjs: cycles and names come through the environment.

import { describe, expect, test } from 'vitest';
import { applicationCourse, expectNoGrowth } from '../support/applications/application.js';
import { longRunning as applications } from '../support/applications/index.js';
import { users } from '../support/users.js';

const cycles = Number(process.env.STASIS_SOAK_CYCLES ?? 50);
const names = (process.env.STASIS_SOAK_NAMES ?? '').split(' ').filter(Boolean);
const chosen = names.length === 0 ? applications : applications.filter(({ name }) => names.includes(name));

test('the names are those of applications', () => {
  const known = applications.map(({ name }) => name);
  for (const name of names) expect(known).toContain(name);
});

describe.each(users)('as $name', (user) => {
  const here = chosen.filter((application) => application.runsAs?.(user) ?? true);
  // A name whose application does not run as this user leaves nothing to do here.
  if (here.length === 0) return;
  test.each(here.map((application) => [application.name, application] as const))('%s', async (name, application) => {
    const started = performance.now();
    const { sizes } = await applicationCourse(user, application, cycles, (cycle, size) => {
      if (cycle % 10 !== 0 && cycle !== cycles) return;
      const seconds = Math.round((performance.now() - started) / 1000);
      console.log(
        `${name}, ${user.name}: ${cycle} of ${cycles} cycles, ${seconds} s, ${size.processes} processes, ${size.fds} fds, ${size.anonymousKb} kB`,
      );
    });
    expectNoGrowth(sizes);
  });
});
