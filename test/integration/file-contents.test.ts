// Named files whose content an image holds: shared memory with a name, always; files open for writing, where the checkpoint was told so. What
// has changed meanwhile is refused, kept or put back, as the user says, and nothing is touched before it is known that the rest is as it must be.

import { existsSync, readdirSync, readFileSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { TestHome } from '../support/home.js';
import { endOutsider, startOutsider } from '../support/outsiders.js';
import { compiledPrograms, guestBinaries } from '../support/paths.js';
import { users } from '../support/users.js';
import { until } from '../support/waiting.js';

const program = join(compiledPrograms, 'shared-file');
let names = 0;

const outside = (home: TestHome, role: string, name: string) => startOutsider(home, [program, role, name]);

/** An application `maker` with shared memory of a name of its own. */
async function withSharedFile(home: TestHome, work: (name: string, path: string) => Promise<void>): Promise<void> {
  const name = `/stasis-test-${process.pid}-${++names}`;
  const path = `/dev/shm${name}`;
  try {
    await home.run('maker', [program, 'make', name]);
    await home.outputLine('maker', 'ready');
    await work(name, path);
  } finally {
    if (existsSync(path)) unlinkSync(path);
  }
}

async function says(home: TestHome, application: string, letter: string): Promise<void> {
  await until(`"${letter}" from ${application}`, () => home.output(application).endsWith(`${letter}\n`));
}

describe.each(users)('shared memory with a name, as $name', (user) => {
  test('is made anew, and taken as it is if nobody has changed it', async () => {
    await using home = TestHome.create(user);
    await withSharedFile(home, async (_, path) => {
      await home.ok(['checkpoint', 'maker']);
      expect(existsSync(path)).toBe(true);
      await home.ok(['restore', 'maker@1', '--detach', '--name', 'same']);
      await says(home, 'same', 'a');
      await home.ok(['checkpoint', 'same']);
      unlinkSync(path);
      await home.ok(['restore', 'same@1', '--detach', '--name', 'anew']);
      await says(home, 'anew', 'a');
      expect(statSync(path)).toMatchObject({ size: 3 * 4096, uid: user.uid });
    });
  });

  test('that has changed meanwhile is refused, kept, or put back', async () => {
    await using home = TestHome.create(user);
    await withSharedFile(home, async (name, path) => {
      await home.ok(['checkpoint', 'maker']);
      expect((await home.execute([program, 'write', name])).code).toBe(0);
      const refused = await home.stasis(['restore', 'maker@1', '--detach', '--name', 'copy']);
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(path) });
      expect(refused.stderr).toContain('its content is not that of the checkpoint');
      expect(readFileSync(path, 'latin1')[0]).toBe('b');
      await home.noProcess();

      await home.ok(['restore', 'maker@1', '--detach', '--name', 'kept', '--files', 'keep']);
      await says(home, 'kept', 'b');
      const second = await home.stasis(['restore', 'maker@1', '--detach', '--name', 'copy']);
      expect(second).toMatchObject({ code: 1, stderr: expect.stringMatching(/process \d+ has it open or mapped/) });
      await home.ok(['kill', 'kept']);
      await home.ended('kept');

      await home.ok(['restore', 'maker@1', '--detach', '--name', 'back', '--files', 'restore-content']);
      await says(home, 'back', 'a');
      expect(readFileSync(path, 'latin1')[0]).toBe('a');
      expect(readdirSync('/dev/shm').filter((entry) => entry.startsWith('.stasis'))).toEqual([]);
    });
  });

  test('that goes on changing after the checkpoint is saved as it was', async () => {
    await using home = TestHome.create(user);
    await withSharedFile(home, async (name, path) => {
      await home.ok(['checkpoint', '--leave-running', 'maker']);
      expect((await home.execute([program, 'write', name])).code).toBe(0);
      await says(home, 'maker', 'b');
      const refused = await home.stasis(['restore', 'maker@1', '--detach', '--name', 'copy']);
      expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/process \d+ has it open or mapped/) });
      await home.ok(['kill', 'maker']);
      await home.ended('maker');
      unlinkSync(path);
      await home.ok(['restore', 'maker@1', '--detach', '--name', 'copy']);
      await says(home, 'copy', 'a');
    });
  });

  test('that a process outside uses is refused', async () => {
    await using home = TestHome.create(user);
    await withSharedFile(home, async (name, path) => {
      const other = await outside(home, 'use', name);
      const refused = await home.stasis(['checkpoint', 'maker']);
      expect(refused).toMatchObject({ code: 3, stderr: expect.stringContaining(path) });
      expect(refused.stderr).toContain(`process ${other.pid}, which is not of the application, uses too`);
      await endOutsider(other);
      await home.ok(['checkpoint', 'maker']);
    });
  });
});

describe.each(users)('a file open for writing, as $name', (user) => {
  async function waiting(home: TestHome, flags: string[]): Promise<{ go: string; path: string }> {
    const go = join(home.scratch, 'go');
    await home.run('files', [join(guestBinaries, 'fd-file')], { env: { GUEST_DIR: home.scratch, GUEST_GO: go } });
    await home.outputLine('files', 'READY');
    await home.ok(['checkpoint', ...flags, 'files']);
    return { go, path: join(home.scratch, 'data') };
  }

  test('is put back to what was saved', async () => {
    await using home = TestHome.create(user);
    const { go, path } = await waiting(home, ['--save-files', '64M']);
    const then = readFileSync(path);
    const { mtimeMs, mode } = statSync(path);
    writeFileSync(path, 'something else altogether');
    const refused = await home.stasis(['restore', 'files@1', '--detach', '--name', 'copy']);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(path) });
    expect(readFileSync(path, 'latin1')).toBe('something else altogether');
    await home.ok(['restore', 'files@1', '--detach', '--name', 'copy', '--files', 'restore-content']);
    expect(readFileSync(path)).toEqual(then);
    expect(statSync(path)).toMatchObject({ mode, uid: user.uid });
    expect(Math.abs(statSync(path).mtimeMs - mtimeMs)).toBeLessThan(1);
    writeFileSync(go, '');
    await home.outputLine('copy', 'PASS');
    expect(readdirSync(home.scratch).filter((entry) => entry.startsWith('.stasis'))).toEqual([]);

    unlinkSync(go);
    unlinkSync(path);
    await home.ok(['restore', 'files@1', '--detach', '--name', 'again', '--files', 'restore-content']);
    expect(readFileSync(path)).toEqual(then);
    writeFileSync(go, '');
    await home.outputLine('again', 'PASS');
  });

  test('is left alone where nothing was saved, or something else is in the way', async () => {
    await using home = TestHome.create(user);
    const { path } = await waiting(home, []);
    writeFileSync(path, 'something else altogether');
    const { code, stderr } = await home.stasis(['restore', 'files@1', '--detach', '--files', 'restore-content']);
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining('--save-files') });
    expect(readFileSync(path, 'latin1')).toBe('something else altogether');
  });

  test('that is longer than what is to be stored is refused', async () => {
    await using home = TestHome.create(user);
    await home.run('files', [join(guestBinaries, 'fd-file')], {
      env: { GUEST_DIR: home.scratch, GUEST_GO: join(home.scratch, 'go') },
    });
    await home.outputLine('files', 'READY');
    const refused = await home.stasis(['checkpoint', '--save-files', '1', 'files']);
    expect(refused).toMatchObject({ code: 3, stderr: expect.stringContaining('whose content is to be stored') });
    expect(home.status('files').state).toBe('running');
  });
});
