// Tables of ids that are damaged, of another version or no tables at all: the runtime refuses each before it has done anything, whatever it was
// started for, an exec of a running program fails and the program goes on, and the host takes nothing from it.

import {
  chmodSync,
  closeSync,
  copyFileSync,
  openSync,
  readFileSync,
  readSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { TestHome } from '../support/home.js';
import { users } from '../support/users.js';
import { until } from '../support/waiting.js';

const { ENOEXEC, EBADF, EACCES, ENODEV } = constants.errno;
const parkedFd = 1023;

/** Places in the header (native/wire/ids.h): each of them changed is a table that nobody may use. */
const places: [string, number][] = [
  ['magic', 0],
  ['version', 8],
  ['length of the header', 12],
  ['length of the table', 16],
  ['checksum', 24],
  ['shift', 28],
  ['parts', 32],
  ['environment', 36],
  ['application', 48],
];

/** What the runtime is started for, in words of its marker (native/wire/launch.h). */
const starts: [string, string][] = [
  ['a first launch', 'filter=1;'],
  ['an exec', ''],
  ['a restore', 'restore=1;'],
];

// Executes a program for each line of its input.
const executing = `
import subprocess, sys
print('ready', flush=True)
for line in sys.stdin:
    try:
        print('code', subprocess.run(['true']).returncode, flush=True)
    except OSError as error:
        print('errno', error.errno, flush=True)
`;

/** Adds one to a byte; again with -1 for the way back. */
function change(path: string, at: number, by = 1): void {
  const file = openSync(path, 'r+');
  const byte = Buffer.alloc(1);
  readSync(file, byte, 0, 1, at);
  byte[0] = ((byte[0] ?? 0) + by) & 255;
  writeSync(file, byte, 0, 1, at);
  closeSync(file);
}

describe.each(users)('as $name', (user) => {
  test('the runtime refuses it, at a launch, at an exec and at a restore', async () => {
    await using home = TestHome.create(user);
    await home.ok(['run', '--detach', '--name', 'app', '--shift-ids', '100000', '--', 'sleep', '1000']);
    const [build] = (await home.execute(['ls', join(home.state, 'runtimes')])).stdout.split('\n');
    const runtime = join(home.state, 'runtimes', build ?? '');
    const good = join(home.scratch, 'good');
    // The header alone: what follows is in pages that do not matter here.
    writeFileSync(good, readFileSync(`/proc/${home.pid('app')}/fd/${parkedFd}`).subarray(0, 4096));
    truncateSync(good, 64 << 20);
    chmodSync(good, 0o666);
    const start = (marker: string, open: string) =>
      home.execute([
        'bash',
        '-c',
        `${open}; exec -a $'\\1stasis;${marker}ids=9;parts=2;rt=${runtime}' ${runtime} /bin/echo echo started`,
      ]);
    const refused = (errno: number) => ({
      code: 126,
      stdout: '',
      stderr: `stasis: mapping the table of ids: errno ${errno}\n`,
    });

    const launched = await start('filter=1;', `exec 9<>${good}`);
    expect(launched, 'the same without damage').toMatchObject({ code: 0, stdout: 'started\n' });
    for (const [what, marker] of starts) {
      for (const [name, at] of places) {
        const damaged = join(home.scratch, 'damaged');
        copyFileSync(good, damaged); // with its mode
        change(damaged, at);
        expect(await start(marker, `exec 9<>${damaged}`), `${what}, ${name}`).toMatchObject(refused(ENOEXEC));
      }
      const short = join(home.scratch, 'short');
      copyFileSync(good, short);
      truncateSync(short, (64 << 20) - 4096);
      expect(await start(marker, `exec 9<>${short}`), `${what}, too short`).toMatchObject(refused(ENOEXEC));
      expect(await start(marker, 'exec 9<>/dev/zero'), `${what}, a device`).toMatchObject(refused(ENOEXEC));
      expect(await start(marker, `exec 9<${good}`), `${what}, read-only`).toMatchObject(refused(EACCES));
      expect(await start(marker, 'exec 9<>/dev/null'), `${what}, not to be mapped`).toMatchObject(refused(ENODEV));
      expect(await start(marker, 'exec 9>&-'), `${what}, closed`).toMatchObject(refused(EBADF));
    }
  });

  test('one that is damaged under a running program', async () => {
    await using home = TestHome.create(user);
    const words = ['run', '--name', 'app', '--shift-ids', '100000', '--', '/usr/bin/python3', '-c', executing];
    const child = home.spawn(home.words(words));
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    const answer = async (): Promise<string | undefined> => {
      const before = output.length;
      child.stdin?.write('go\n');
      await until('an answer', () => output.length > before, { detail: () => output });
      return output.slice(before).trim();
    };
    await until('the start', () => output.includes('ready\n'));
    const table = `/proc/${home.pid('app')}/fd/${parkedFd}`;
    expect(await answer()).toBe('code 0');
    for (const [name, at] of places) {
      change(table, at);
      expect(await answer(), name).toBe(`errno ${ENOEXEC}`);
      for (const words of [
        ['inspect', 'app', '--ids'],
        ['checkpoint', 'app'],
      ]) {
        expect(await home.stasis(words), `${words[0]}, ${name}`).toMatchObject({
          code: name === 'version' ? 4 : 5,
          stdout: '',
          stderr: expect.stringMatching(/table of ids/),
        });
      }
      change(table, at, -1);
      expect(await answer(), `${name}, mended`).toBe('code 0');
    }
    expect(home.snapshotEntries()).toEqual([]);
    expect(await home.ok(['inspect', 'app', '--ids'])).toMatch(/process/);
    child.stdin?.end();
    expect(await ended).toBe(0);
  });
});
