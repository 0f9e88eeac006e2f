// Libraries that a program has mapped and that are others at the restore: told by build id, else by content, whatever size and time say.

import { copyFileSync, renameSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { TestHome } from '../support/home.js';
import { users } from '../support/users.js';

async function compile(home: TestHome, name: string, source: string, flags: string[]): Promise<string> {
  const path = join(home.scratch, name);
  writeFileSync(`${path}.c`, source);
  const { code, stderr } = await home.execute(['gcc', '-O1', '-o', path, `${path}.c`, ...flags]);
  expect({ code, stderr }).toMatchObject({ code: 0 });
  return path;
}

const library = (home: TestHome, name: string, value: number, id: string): Promise<string> =>
  compile(home, name, `int value(void) { return ${value}; }\n`, ['-shared', '-fPIC', `-Wl,--build-id=${id}`]);

/** Lets the file be another one, with the time of the one that it replaces. */
function replace(path: string, by: string): void {
  const { atime, mtime, size } = statSync(path);
  expect(statSync(by).size).toBe(size);
  utimesSync(by, atime, mtime);
  renameSync(by, path);
  expect(statSync(path).mtimeMs).toBe(mtime.getTime());
}

describe.each(users)('as $name', (user) => {
  test.each([
    ['with a build id', 'sha1', 'was replaced by another build'],
    ['without', 'none', 'has changed its content'],
  ])('a library %s', async (_, id, words) => {
    await using home = TestHome.create(user);
    const path = await library(home, 'libvalue.so', 1, id);
    const other = await library(home, 'libother.so', 2, id);
    utimesSync(path, 1_700_000_000, 1_700_000_000);
    const source =
      '#include <stdio.h>\n#include <unistd.h>\nint value(void);\nint main(void) { printf("%d\\n", value()); fflush(stdout); for (;;) pause(); }\n';
    const program = await compile(home, 'program', source, [path, '-Wl,-rpath,$ORIGIN']);
    await home.run('own', [program]);
    await home.outputLine('own', '1');
    await home.ok(['checkpoint', 'own']);
    copyFileSync(path, `${path}.then`);

    replace(path, other);
    const refused = await home.stasis(['restore', 'own@1', '--detach', '--name', 'copy']);
    expect(refused).toMatchObject({ code: 4, stderr: expect.stringContaining(path) });
    expect(refused.stderr).toContain(words);
    await home.noProcess();

    // A copy of the right one, made later.
    renameSync(`${path}.then`, path);
    await home.ok(['restore', 'own@1', '--detach', '--name', 'copy']);
    expect(home.status('copy').state).toBe('running');
  });
});
