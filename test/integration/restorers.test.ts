// Restorers that are not like whoever saved the application: another user is refused, what else they may not give is left out with a warning.

import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { TestHome } from '../support/home.js';
import { compiledPrograms } from '../support/paths.js';
import { type TestUser, users } from '../support/users.js';
import { until } from '../support/waiting.js';

/** It counts, in a log of its own. */
const goesOn = (home: TestHome, name: string) =>
  until(`${name} counting`, () => /^\d+\n\d+\n/m.test(home.output(name)), {
    detail: () => home.output(name, 'stderr'),
  });

// Only root can make another user's image and give groups away; a suite run by somebody else has no such pair. CI runs as root.
const rootAndOther = users.length > 1 ? [users as readonly [TestUser, TestUser]] : [];
// A restore can lack a processor only where there are two. CI has two.
const usersWithProcessors = availableParallelism() > 1 ? users : [];

const holder = [join(compiledPrograms, 'refused'), 'nothing'];

test.each(
  rootAndOther,
)('what root has saved is not restored by another user, and by root it is', async (root, plain) => {
  await using home = TestHome.create(root);
  await using other = TestHome.create(plain);
  await home.run('holder', holder, { cwd: '/usr' });
  await home.outputLine('holder', 'listening');
  await home.ok(['checkpoint', 'holder']);
  const image = join(other.scratch, 'image');
  spawnSync('cp', ['-a', join(home.state, 'snapshots', 'holder@1'), image]);
  spawnSync('chown', ['-R', `${plain.uid}:${plain.gid}`, image]);
  const refused = await other.stasis(['restore', '--detach', '--name', 'copy', image]);
  expect(refused.code).not.toBe(0);
  expect(refused.stderr).toContain(`the application ran as user 0, and this is user ${plain.uid}`);
  expect(refused.stderr).toContain('restore it as that user, or as one with CAP_SETUID and CAP_SETGID');
  await other.noProcess();
  await home.ok(['restore', '--detach', '--name', 'copy', 'holder@1']);
  await goesOn(home, 'copy');
});

test.each(
  rootAndOther,
)('groups and capabilities that the restorer has not are left out, with a warning', async (root, plain) => {
  await using home = TestHome.create(plain);
  const asMember = (words: readonly string[], ...more: string[]): [string, ...string[]] => [
    'setpriv',
    `--reuid=${plain.uid}`,
    `--regid=${plain.gid}`,
    ...more,
    '--',
    ...words,
  ];
  expect(root.privileged).toBe(true);
  const [file, ...rest] = asMember(
    home.words(['run', '--detach', '--name', 'holder', '--', ...holder]),
    '--groups=4242',
    '--inh-caps=+kill',
    '--ambient-caps=+kill',
  );
  const started = spawnSync(file, rest, { cwd: home.scratch, env: { ...home.env }, encoding: 'utf8' });
  expect(started.stderr).toBe('');
  await home.outputLine('holder', 'listening');
  const saved = asMember(
    home.words(['checkpoint', 'holder']),
    '--groups=4242',
    '--inh-caps=+kill',
    '--ambient-caps=+kill',
  );
  expect(
    spawnSync(saved[0], saved.slice(1), { cwd: home.scratch, env: { ...home.env }, encoding: 'utf8' }),
  ).toMatchObject({
    status: 0,
  });
  const restored = await home.stasis(['restore', '--detach', '--name', 'copy', 'holder@1']);
  expect(restored).toMatchObject({ code: 0 });
  expect(restored.stderr).toContain("the supplementary groups are the restorer's: changing them needs CAP_SETGID");
  expect(restored.stderr).toMatch(/the application had \d+ capabilities that the restorer does not have/);
  await goesOn(home, 'copy');
});

test.each(
  usersWithProcessors,
)('processors that the restorer has not are left out, with a warning, as $name', async (user) => {
  await using home = TestHome.create(user);
  await home.run('holder', ['taskset', '-c', '1', ...holder]);
  await home.outputLine('holder', 'listening');
  await home.ok(['checkpoint', 'holder']);
  const restored = await home.stasis(['restore', '--detach', '--name', 'copy', 'holder@1'], {
    within: ['taskset', '-c', '0'],
  });
  expect(restored).toMatchObject({ code: 0 });
  expect(restored.stderr).toMatch(/thread \d+ was bound to processors that this host has not; it may use all/);
  await goesOn(home, 'copy');
});
