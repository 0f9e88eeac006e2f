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
import { until } from '../support/waiting.js';

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

/** programs/ids/outside.py, which answers each line, and finds that its threads have counted and its ids are what they were. */
class Conversation {
  output = '';
  readonly child;
  readonly ended: Promise<number | null>;

  constructor(home: TestHome, words: readonly string[]) {
    this.child = home.spawn(words);
    for (const stream of [this.child.stdout, this.child.stderr])
      stream?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.ended = new Promise((resolve) => this.child.once('close', resolve));
  }

  async heard(text: string): Promise<void> {
    await until(text, () => this.output.includes(text), { detail: () => this.output });
  }

  async say(word: string): Promise<void> {
    this.child.stdin?.write(`${word}\n`);
    await this.heard(`alive ${word}\n`);
  }
}

/** strace follows it for a while, then gdb looks at all of its threads; it answers meanwhile and afterwards. */
async function lookedAt(home: TestHome, program: Conversation, pid: number): Promise<void> {
  const log = join(home.scratch, `strace.${pid}`);
  const strace = home.spawn(['strace', '-f', '-p', String(pid), '-o', log]);
  const detached = new Promise((resolve) => strace.once('close', resolve));
  const traced = (call: string): Promise<boolean> =>
    until(call, () => existsSync(log) && readFileSync(log, 'utf8').includes(call), { detail: () => program.output });
  await traced('clock_nanosleep(');
  await program.say(`traced ${pid}`);
  await traced('execve("');
  strace.kill('SIGINT');
  await detached;
  await program.say(`after strace ${pid}`);

  // /proc/PID/exe is the runtime, so gdb is told which program it is.
  const gdbWords = ['gdb', '-nx', '-batch', '-iex', 'set exec-file-mismatch off'];
  const commands = ['info threads', 'thread apply all bt', 'detach'].flatMap((command) => ['-ex', command]);
  const gdb = await home.execute([...gdbWords, '/usr/bin/python3', '-p', String(pid), ...commands], {
    env: { DEBUGINFOD_URLS: '' },
  });
  expect(gdb.stdout).toMatch(new RegExp(`LWP ${pid}\\b`));
  expect(gdb.stdout.match(/^Thread \d+ \(/gm)?.length, gdb.stdout).toBe(3);
  expect(gdb.stdout, 'a stack down to main').toMatch(/#\d+ .* (main|__libc_start\w*|_start) /);
  expect(gdb.stdout).toMatch(/detached/);
  await program.say(`after gdb ${pid}`);
}

/** Waits until the process runs and its group has the terminal it is on (proc_pid_stat(5)). */
async function inForeground(pid: number): Promise<void> {
  await until(`process ${pid} in the foreground`, () => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    const [state, , group, , , foreground] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return state !== 'T' && group === foreground;
  });
}

async function jobControl(home: TestHome, run: readonly string[], shiftIds = 0): Promise<number[]> {
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
  await inForeground(Number(stopped) - shiftIds);
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
    for (const id of await jobControl(home, [...home.words(shifted), '--'], shift)) expect(id).toBeGreaterThan(shift);
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
    const words = home.words([...shifted, '--name', 'program', '--', '/usr/bin/python3', source('outside.py')]);
    const launched = new Conversation(home, words);
    await launched.heard('ready\n');
    await launched.say('first');
    const own = home.pid('program') + shift;
    expect(ids(launched.output)[0]).toBe(own);
    await lookedAt(home, launched, home.pid('program'));

    await home.ok(['checkpoint', 'program']);
    const again = ['restore', 'program', '--name', 'copy', '--shift-ids', String(shift)];
    const restored = new Conversation(home, home.words(again));
    await restored.say('restored');
    await lookedAt(home, restored, home.pid('copy'));
    expect(home.pid('copy') + shift).not.toBe(own);
    restored.child.stdin?.end();
    expect(await restored.ended, restored.output).toBe(0);
    expect(restored.output).toMatch(/PASS\n$/);
  });
});
