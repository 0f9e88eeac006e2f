// Whole applications, as people run them: under load, of several processes, each through a few cycles of checkpoint and restore with a client
// that checks the data. `npm run test:soak` goes on for as many cycles as one likes.

import { describe, test } from 'vitest';
import { applicationCourse } from '../support/applications/application.js';
import { applications } from '../support/applications/index.js';
import { users } from '../support/users.js';

const cycles = 3;

describe.each(users)('as $name', (user) => {
  const here = applications.filter((application) => application.runsAs?.(user) ?? true);
  test.each(here.map((application) => [application.name, application] as const))(
    '%s',
    { timeout: 240_000 },
    async (_name, application) => {
      await applicationCourse(user, application, cycles);
    },
  );
});
