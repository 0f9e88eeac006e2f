// Real programs whose processes, groups, sessions and threads have ids that are not the system's: with `--shift-ids` virtual = system +
// 100000, so that an id which slips through untranslated is too small or names nobody. Each program checks itself, bare first, prints `id N`
// for the ids it sees, and PASS.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { TestHome } from '../support/home.js';
import { freePort } from '../support/http.js';
import { idPrograms, ids, openDirectory, shift, source } from '../support/id-programs.js';
import { Redis, redisInfo, redisWords, saveInChild } from '../support/redis.js';
import { users } from '../support/users.js';
import { sleep, until } from '../support/waiting.js';

const shifted = ['run', '--shift-ids', String(shift)];

/** The program bare, then with shifted ids: it passes both times, and no id is one of the system's. */
async function passesBoth(
  home: TestHome,
  words: (run: string) => Promise<readonly string[]> | readonly string[],
): Promise<void> {
  const passed = { code: 0, stdout: expect.stringMatching(/(^|\n)PASS\n$/) };
  expect(await home.execute(await words('bare')), 'bare').toMatchObject(passed);
  const outcome = await home.stasis([...shifted, '--', ...(await words('shifted'))]);
  expect(outcome, 'with shifted ids').toMatchObject(passed);
  expect(ids(outcome.stdout).length).toBeGreaterThan(1);
  for (const id of ids(outcome.stdout)) expect(id).toBeGreaterThan(shift);
}

/** A program on a terminal of its own, typed to. */
class Dialogue {
  output = '';
  readonly ended: Promise<number | null>;
  readonly #child;

  constructor(home: TestHome, words: readonly string[]) {
    const line = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
    this.#child = home.spawn(['script', '-qec', line, '/dev/null'], {
      env: { TERM: 'dumb', SHELL: '/bin/sh', PS1: 'ready> ', HISTFILE: '' },
    });
    this.#child.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.ended = new Promise((resolve) => this.#child.once('close', resolve));
  }

  /** Types and gives what is written from then on up to the wanted text. */
  async type(text: string, wanted: RegExp): Promise<RegExpExecArray> {
    const from = this.output.length;
    if (text !== '') this.#child.stdin?.write(text);
    return until(`${wanted} after ${JSON.stringify(text)}`, () => wanted.exec(this.output.slice(from)), {
      detail: () => JSON.stringify(this.output),
    });
  }
}

async function jobControl(home: TestHome, run: readonly string[]): Promise<number[]> {
  const bash = new Dialogue(home, [...run, 'bash', '--norc', '--noprofile', '-i']);
  await until('a prompt', () => bash.output.includes('ready> '), { detail: () => bash.output });
  const [, shell] = await bash.type('echo "my"id $$\n', /myid (\d+)\r\n/);
  await bash.type("sh -c 'echo be''gun; exec sleep 500'\n", /begun\r\n/);
  await bash.type('\x1a', /Stopped.*\r\n[\s\S]*ready> $/);
  const [, stopped] = await bash.type('jobs -l\n', /\[1\]\+ +(\d+) Stopped[\s\S]*ready> $/);
  await bash.type('bg\n', /\[1\]\+ sh -c[\s\S]*ready> $/);
  await bash.type('jobs\n', /\[1\]\+ +Running[\s\S]*ready> $/);
  // The groups of the job and of the shell, and the terminal's, in the words of /proc.
  const groups = (of: string): Promise<RegExpExecArray> =>
    bash.type(`ps -o pgid=,tpgid= -p ${of}; echo sho''wn\n`, /\n *(\d+) +(\d+)\r\nshown\r\n/);
  const [, ofJob, terminal] = await groups(stopped as string);
  expect(ofJob).toBe(stopped);
  expect(Number(terminal)).toBeGreaterThan(Number(shell));
  expect((await groups('$$'))[1]).toBe(shell);
  await bash.type('fg\n', /exec sleep 500'\r\n/);
  await sleep(100);
  await bash.type('\x03', /ready> $/);
  await bash.type('echo "code" $?\n', /code 130\r\n[\s\S]*ready> $/);
  const [, piped] = await bash.type('sleep 500 | cat &\n', /\[1\] (\d+)\r\n[\s\S]*ready> $/);
  await bash.type('kill %1; wait; echo "all" ended\n', /all ended\r\n[\s\S]*ready> $/);
  await bash.type('sleep 0.1; fg; echo "no" job\n', /no such job|no job/);
  bash.type('exit 3\n', /exit/).catch(() => {});
  expect(await bash.ended, bash.output).toBe(3);
  return [shell, stopped, piped].map(Number);
}

describe.each(users)('as $name', (user) => {
  test.concurrent.each(Object.entries(idPrograms))('%s', async (_name, words) => {
    await using home = TestHome.create(user);
    await passesBoth(home, () => words);
  });

  test.concurrent('make -j2', async () => {
    await using home = TestHome.create(user);
    await passesBoth(home, (run) => [
      'make',
      '--no-print-directory',
      '-j2',
      '-C',
      openDirectory(home, run),
      '-f',
      source('build.mk'),
    ]);
  });

  test.concurrent('bash with job control on a terminal', async () => {
    await using home = TestHome.create(user);
    await jobControl(home, []);
    for (const id of await jobControl(home, [...home.words(shifted), '--'])) expect(id).toBeGreaterThan(shift);
  });

  test.concurrent('redis with BGSAVE and a rewrite of its AOF', async () => {
    await using home = TestHome.create(user);
    const port = await freePort();
    const words = [...redisWords(port, home.scratch), '--appendonly', 'yes'];
    await home.ok([...shifted, '--detach', '--name', 'redis', '--', ...words]);
    await using redis = await until('redis', () => Redis.connect(port).catch(() => undefined));
    expect(await redisInfo(redis, 'server', 'process_id')).toBe(String(home.pid('redis') + shift));
    await redis.call('DEBUG', 'POPULATE', 5000, 'key', 100);
    for (const command of ['BGSAVE', 'BGREWRITEAOF', 'BGSAVE'] as const) await saveInChild(redis, command);
    await redis.call('DEBUG', 'RELOAD');
    expect(await redis.call('DBSIZE')).toBe(5000);
    redis.call('SHUTDOWN', 'NOSAVE').catch(() => {});
    expect(await home.ended('redis')).toBe('exited 0');
  });

  // The server does not run as root: it changes the user first, after its launch.
  test.concurrent('postgres', async () => {
    await using home = TestHome.create(user);
    const as = user.uid === 0 ? ['setpriv', '--reuid=1000', '--regid=1000', '--clear-groups', '--'] : [];
    await passesBoth(home, async (run) => [
      ...as,
      'bash',
      source('postgres.sh'),
      openDirectory(home, run),
      String(await freePort()),
    ]);
  });

  test.concurrent('strace and gdb from outside', async () => {
    await using home = TestHome.create(user);
    const child = home.spawn(home.words([...shifted, '--', '/usr/bin/python3', source('outside.py')]));
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    child.stderr?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    const wait = (text: string): Promise<boolean> => until(text, () => output.includes(text), { detail: () => output });
    await wait('ready\n');
    const pid = String((ids(output)[0] as number) - shift);
    child.stdin?.write('first\n');
    await wait('alive first\n');

    const log = join(home.scratch, 'strace.log');
    const strace = home.spawn(['strace', '-f', '-p', pid, '-o', log]);
    const detached = new Promise((resolve) => strace.once('close', resolve));
    await until('lines of strace', () => existsSync(log) && readFileSync(log, 'utf8').includes(`getpid()`), {
      detail: () => output,
    });
    child.stdin?.write('traced\n');
    await wait('alive traced\n');
    strace.kill('SIGINT');
    await detached;
    child.stdin?.write('after strace\n');
    await wait('alive after strace\n');

    const gdb = await home.execute(['gdb', '-nx', '-batch', '-p', pid, '-ex', 'info threads', '-ex', 'detach'], {
      env: { DEBUGINFOD_URLS: '' },
    });
    expect(gdb.stdout).toMatch(new RegExp(`LWP ${pid}\\b`));
    expect(gdb.stdout).toMatch(/detached/);
    child.stdin?.write('after gdb\n');
    await wait('alive after gdb\n');
    child.stdin?.end();
    expect(await ended, output).toBe(0);
    expect(output).toMatch(/PASS\n$/);
  });
});
