// Whole applications, as people run them: under load, of several processes, each through a few cycles of checkpoint and restore with a client
// that checks the data. `npm run test:soak` goes on for as many cycles as one likes.

import { test } from 'vitest';
import { applicationCourse } from '../support/applications/application.js';
import { chosen } from '../support/applications/index.js';

const cycles = 3;

test.each(chosen([]))('%s', { timeout: 240_000 }, async (_title, application, user) => {
  await applicationCourse(user, application, cycles);
});
