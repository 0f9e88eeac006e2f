// The fast path from outside: what its switch does, and that neither images nor restored programs show rewritten call sites.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Stasis } from '../../src/index.js';
import { TestHome } from '../support/home.js';
import { guestBinaries } from '../support/paths.js';
import { users } from '../support/users.js';
import { until } from '../support/waiting.js';

const shift = 100_000;

// Calls getpid of the C library a number of times whenever it is asked, then tells what stands in front of that function's system call.
const caller = [
  '/usr/bin/python3',
  '-c',
  `
import ctypes, os, signal, time
libc = ctypes.CDLL(None)
address = ctypes.cast(libc.getpid, ctypes.c_void_p).value
def sort():
    code = ctypes.string_at(address, 32)
    at = code.index(b'\\x0f\\x05')
    return {0xb8: 'plain', 0xe9: 'rewritten'}[code[at - 5]]
def tell(*unused):
    before = sort()
    own = {libc.getpid() for _ in range(40)}
    print('site', before, sort(), *own, flush=True)
signal.signal(signal.SIGUSR1, tell)
tell()
while True: time.sleep(0.05)
`,
];

interface Told {
  readonly before: string;
  readonly after: string;
  readonly pid: number;
}

function told(home: TestHome, name: string): Told[] {
  return [...home.output(name).matchAll(/^site (\w+) (\w+) (\d+)$/gm)].map(([, before = '', after = '', pid]) => ({
    before,
    after,
    pid: Number(pid),
  }));
}

async function ask(home: TestHome, name: string): Promise<Told> {
  const known = told(home, name).length;
  await home.ok(['kill', '-s', 'USR1', name]);
  await until(`an answer of ${name}`, () => told(home, name).length > known);
  return told(home, name).at(-1) as Told;
}

/** Mappings that the image has of the C library's file. */
async function libraryMappings(home: TestHome, snapshot: string): Promise<number> {
  const { records } = (await home.ok(['inspect', snapshot, '--json'])) as {
    records: { type: string; path?: string }[];
  };
  return records.filter(({ type, path }) => type === 'mapping' && path?.includes('/libc.so')).length;
}

describe.each(users)('as $name', (user) => {
  test('an image has the bytes from before, and no more mappings', { timeout: 120_000 }, async () => {
    await using home = TestHome.create(user);
    const start = (name: string, ...options: string[]): Promise<string> =>
      home.ok(['run', '--detach', '--name', name, '--shift-ids', String(shift), ...options, '--', ...caller]);
    await start('fast');
    await until('the first answer', () => told(home, 'fast').length > 0);
    expect(told(home, 'fast')[0]).toMatchObject({ before: 'plain', after: 'rewritten' });
    const { pid } = told(home, 'fast')[0] as Told;
    await home.ok(['checkpoint', 'fast']);
    await home.ok(['restore', '--detach', '--name', 'copy', 'fast']);
    expect(await ask(home, 'copy')).toEqual({ before: 'plain', after: 'rewritten', pid });
    await home.ok(['checkpoint', 'copy']);
    await home.ok(['restore', '--detach', '--name', 'plain', '--no-fast-path', 'copy']);
    expect(await ask(home, 'plain')).toEqual({ before: 'plain', after: 'plain', pid });
    await home.ok(['checkpoint', 'plain']);

    const mappings = await libraryMappings(home, 'plain');
    expect(mappings).toBeGreaterThan(2);
    expect(await libraryMappings(home, 'fast')).toBe(mappings);
    expect(await libraryMappings(home, 'copy')).toBe(mappings);
  });

  test('switched off, the same calls trap and give the same', { timeout: 120_000 }, async () => {
    await using home = TestHome.create(user);
    const outcome = await home.stasis(
      ['run', '--no-fast-path', '--shift-ids', String(shift), '--', join(guestBinaries, 'fast-signals')],
      { env: { GUEST_SHIFT: String(shift), GUEST_NO_FAST_PATH: '1' } },
    );
    expect(outcome).toMatchObject({ code: 0, stdout: expect.stringMatching(/(^|\n)PASS\n$/) });
  });
});

test('the library has the switch', { timeout: 60_000 }, async () => {
  const [user] = users as readonly [(typeof users)[number]];
  await using home = TestHome.create(user);
  const stasis = await Stasis.open({ home: home.state });
  await using application = await stasis.run(caller, { env: home.env, shiftIds: shift, fastPath: false });
  await until('the first answer', () => told(home, application.name).length > 0);
  expect(told(home, application.name)[0]).toMatchObject({ before: 'plain', after: 'plain' });
  await expect(stasis.run(['true'], { fastPath: 'no' as unknown as boolean })).rejects.toThrow(/fastPath/);
  // No text is writable.
  expect(readFileSync(`/proc/${application.pid}/maps`, 'utf8')).not.toMatch(/^[0-9a-f-]+ rwx/m);
});
