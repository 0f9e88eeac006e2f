// The long run of the applications, by way of scripts/soak.mjs: cycles and names come through the environment.

import { test } from 'vitest';
import { applicationCourse, expectNoGrowth } from '../support/applications/application.js';
import { chosen, soakNames } from '../support/applications/index.js';

const cycles = Number(process.env.STASIS_SOAK_CYCLES ?? 50);

test.each(chosen(soakNames))('%s', async (title, application, user) => {
  const started = performance.now();
  const { sizes } = await applicationCourse(user, application, cycles, (cycle, size) => {
    if (cycle % 10 !== 0 && cycle !== cycles) return;
    const seconds = Math.round((performance.now() - started) / 1000);
    console.log(
      `${title}: ${cycle} of ${cycles} cycles, ${seconds} s, ${size.processes} processes, ${size.fds} fds, ${size.anonymousKb} kB`,
    );
  });
  expectNoGrowth(sizes);
});
