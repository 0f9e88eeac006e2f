// System V objects that processes outside the application use, too: refused while that shows, so that the end of the application takes
// nothing away from anybody; saved and removed when nobody else is seen.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { TestHome } from '../support/home.js';
import { endOutsider, startOutsider } from '../support/outsiders.js';
import { compiledPrograms } from '../support/paths.js';
import { users } from '../support/users.js';
import { until } from '../support/waiting.js';

const program = join(compiledPrograms, 'sysv');
let keys = 0x5a000000 + (process.pid & 0xffff) * 256;

/** A process outside every application, in its role. */
const outside = (home: TestHome, role: string, key: number) => startOutsider(home, [program, role, String(key)]);

/** Lines of the kernel's table of objects with the key. */
function objects(table: 'sem' | 'msg' | 'shm', key: number): string[] {
  const lines = readFileSync(`/proc/sysvipc/${table}`, 'latin1').split('\n');
  return lines.filter((line) => Number(line.trim().split(/\s+/)[0]) === key);
}

async function withKey(home: TestHome, work: (key: number) => Promise<void>): Promise<void> {
  const key = ++keys;
  try {
    await work(key);
  } finally {
    await home.execute([program, 'remove', String(key)]);
  }
}

describe.each(users)('as $name', (user) => {
  test.each([
    ['set', 'sem', 'System V semaphores'],
    ['queue', 'msg', 'System V message queue'],
    ['segment', 'shm', 'System V segment'],
  ] as const)('a %s that the application has found is not its own', async (kind, table, words) => {
    await using home = TestHome.create(user);
    await withKey(home, async (key) => {
      const maker = await outside(home, `${kind}-make`, key);
      await home.run('finder', [program, `${kind}-find`, String(key)]);
      await home.outputLine('finder', 'ready');
      for (const flags of [['--leave-running'], []]) {
        const { code, stderr } = await home.stasis(['checkpoint', ...flags, 'finder']);
        expect({ code, stderr }).toMatchObject({ code: 3, stderr: expect.stringContaining(words) });
        expect(stderr).toContain(`with the key 0x${key.toString(16)}, that the application has found and not made`);
      }
      expect(home.status('finder').state).toBe('running');
      expect(objects(table, key)).toHaveLength(1);
      await endOutsider(maker);
    });
  });

  test.each([
    ['set', 'use', 'sem', /semaphores.*process \d+, which is not of the application, has used/],
    ['set', 'wait', 'sem', /semaphores.*a process that is not of the application waits for/],
    ['queue', 'use', 'msg', /queue.*process \d+, which is not of the application, has used/],
  ] as const)("an application's %s that somebody else will %s", async (kind, doing, table, text) => {
    await using home = TestHome.create(user);
    await withKey(home, async (key) => {
      await home.run('maker', [program, `${kind}-make`, String(key)]);
      await home.outputLine('maker', 'ready');
      const other = await outside(home, `${kind}-${doing}`, key);
      if (doing === 'wait')
        await until(
          'the wait',
          () => readFileSync(`/proc/${other.pid}/syscall`, 'latin1').match(/^(65|220) /) !== null,
        );
      const refused = await home.stasis(['checkpoint', 'maker']);
      expect(refused).toMatchObject({ code: 3, stderr: expect.stringMatching(text) });
      expect(home.status('maker').state).toBe('running');
      await endOutsider(other);
      await home.ok(['checkpoint', 'maker']);
      expect(objects(table, key), 'removed with the application').toEqual([]);
      await home.ok(['restore', 'maker', '--detach', '--name', 'copy']);
      expect(objects(table, key)).toHaveLength(1);
      await home.ok(['checkpoint', 'copy']);
      expect(objects(table, key)).toEqual([]);
    });
  });

  test('a segment that nobody has attached', async () => {
    await using home = TestHome.create(user);
    await withKey(home, async (key) => {
      await home.run('maker', [program, 'segment-make', String(key)]);
      await home.outputLine('maker', 'ready');
      const refused = await home.stasis(['checkpoint', 'maker']);
      expect(refused).toMatchObject({ code: 3, stderr: expect.stringContaining('that no process has attached') });
      expect(objects('shm', key)).toHaveLength(1);
    });
  });
});
