// A checkpoint that is cut off at any instant, by kill -9 of the command, of a process that uses the library or of the keeper, by an
// interrupt, a deadline or a full disk: the application goes on, no half image is listed, and the next command clears what was left.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { TestHome } from '../support/home.js';
import { firstAnswer, freePort, get } from '../support/http.js';
import { compiledPrograms, library, programs } from '../support/paths.js';
import { kill, processState } from '../support/processes.js';
import { users } from '../support/users.js';
import { sleep, until } from '../support/waiting.js';

const node = process.execPath;
const heapMegabytes = 60;

/** A server whose checkpoint takes long enough to be cut off in the midst of it, and what it must keep. */
class Victim {
  #count = 0;
  #check = 0;

  private constructor(
    readonly home: TestHome,
    readonly port: number,
    readonly name: string,
  ) {}

  static async start(home: TestHome, name = 'web'): Promise<Victim> {
    const victim = new Victim(home, await freePort(), name);
    await home.run(name, [node, join(programs, 'http-node.mjs'), String(victim.port), String(heapMegabytes)]);
    const answer = await firstAnswer(victim.port, '/check');
    victim.#count = answer.count;
    victim.#check = answer.check;
    return victim;
  }

  get pid(): number {
    return this.home.pid(this.name);
  }

  /** The application answers, its memory is what it was, and nobody holds it. */
  async unharmed(what: string): Promise<void> {
    const answer = await get(this.port, '/check', 20_000);
    expect(answer, what).toMatchObject({ count: ++this.#count, check: this.#check });
    expect(processState(this.pid), what).toMatch(/[RSD]/);
  }

  /** Only whole images are listed, and after this command nothing unfinished lies about. */
  async tidy(what: string): Promise<void> {
    await this.home.ok(['ps', '--all']);
    const entries = this.home.snapshotEntries();
    expect(
      entries.filter((entry) => entry.includes('partial')),
      what,
    ).toEqual([]);
    expect(readdirSync(join(this.home.state, 'partial')), what).toEqual([]);
    for (const entry of entries) {
      await this.home.ok(['inspect', entry]);
      await this.home.ok(['rm', entry]);
    }
  }

  /** Milliseconds that one checkpoint takes, the command's own start included. */
  async duration(words: readonly string[]): Promise<number> {
    const start = performance.now();
    const { code, stderr } = await this.home.execute(words);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    return performance.now() - start;
  }
}

describe.each(users)('as $name', (user) => {
  const commands: [string, (home: TestHome, name: string) => string[]][] = [
    ['the command', (home, name) => home.words(['checkpoint', '--leave-running', name])],
    ['a process with the library', (_home, name) => [node, join(programs, 'checkpoint-library.mjs'), library, name]],
  ];

  test.each(commands)('kill -9 of %s', { timeout: 180_000 }, async (_what, wordsFor) => {
    await using home = TestHome.create(user);
    const victim = await Victim.start(home);
    const words = wordsFor(home, victim.name);
    const whole = Math.min(await victim.duration(words), await victim.duration(words));
    await victim.tidy('before');
    const rounds = 10;
    let cut = 0;
    // More rounds where the machine is faster now than when the whole was timed, so that most kills come too late.
    for (let round = 0; round < rounds || (cut <= rounds / 3 && round < 5 * rounds); round++) {
      const child = home.spawn(words, {}, { stdio: 'ignore' });
      const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
      // Over the second part, where the work is: Node's own start takes the first.
      await sleep(whole * (0.25 + (0.75 * ((round % rounds) + Math.random())) / rounds));
      child.kill('SIGKILL');
      if ((await ended) === null) cut++;
      await victim.unharmed(`round ${round}`);
      await victim.tidy(`round ${round}`);
    }
    expect(cut, 'rounds that were cut off').toBeGreaterThan(rounds / 3);
    await home.ok(['checkpoint', victim.name]);
    await home.ok(['restore', victim.name, '--detach']);
    await firstAnswer(victim.port);
  });

  test('kill -9 before the note of the checkpoint is in place', { timeout: 120_000 }, async () => {
    await using home = TestHome.create(user);
    const victim = await Victim.start(home);
    const within = ['strace', '-qq', '-o', '/dev/null', '-e', 'trace=rename', '-e', 'inject=rename:signal=SIGKILL'];
    const { signal, code } = await home.stasis(['checkpoint', '--leave-running', victim.name], { within });
    expect(signal ?? code).toBe('SIGKILL');
    expect(readdirSync(join(home.state, 'partial'))).toEqual([expect.stringMatching(/^[0-9a-f]{16}\.json\.\d+\.\d+$/)]);
    await victim.unharmed('after the kill');
    await victim.tidy('after the kill');
  });

  test('kill -9 of a process that restores', { timeout: 180_000 }, async () => {
    await using home = TestHome.create(user);
    await home.run('web', [join(compiledPrograms, 'sleeper')]);
    await home.outputLine('web', 'listening');
    await home.ok(['checkpoint', 'web']);
    const entries = () => ['apps', 'names'].map((place) => readdirSync(join(home.state, place)).sort());
    const before = entries();
    const outcomes = new Set<string>();
    for (let round = 0; round < 16; round++) {
      const words = [node, join(programs, 'restore-library.mjs'), library, 'web@1', 'copy', String(60 * round ** 2)];
      expect(await home.execute(words)).toMatchObject({ code: null, signal: 'SIGKILL' });
      // The application runs and is listed, or nothing runs once the keeper has seen that nobody is left.
      const outcome = await until(`an outcome of round ${round}`, async () => {
        const listed: { name: string; status: { state: string } }[] = await home.ok(['ps', '--all', '--json']);
        const state = listed.find(({ name }) => name === 'copy')?.status.state;
        if (home.processes().length === 0) return 'nothing';
        return state === 'running' ? state : undefined;
      });
      outcomes.add(outcome);
      if (readdirSync(join(home.state, 'names')).includes('copy')) await home.ok(['rm', '--force', 'copy']);
      for (const id of readdirSync(join(home.state, 'apps'))) {
        if (!before[0]?.includes(id)) await home.ok(['rm', '--force', id]);
      }
      expect(entries(), `round ${round}, ${outcome}`).toEqual(before);
      await home.noProcess(`no process after round ${round}`);
    }
    expect(outcomes).toContain('nothing');
  });

  test('kill -9 of the keeper', { timeout: 180_000 }, async () => {
    for (let round = 0; round < 3; round++) {
      await using home = TestHome.create(user);
      const victim = await Victim.start(home);
      const words = home.words(['checkpoint', '--leave-running', victim.name]);
      const whole = await victim.duration(words);
      const keeper = Number(home.status(victim.name).keeper);
      expect(keeper).toBeGreaterThan(1);
      const running = home.execute(words);
      await sleep(whole * (0.4 + 0.2 * round));
      kill(keeper);
      const { code, stderr } = await running;
      expect([0, 1], stderr).toContain(code);
      await victim.unharmed(`round ${round}`);
      await victim.tidy(`round ${round}`);
      const listed = await home.ok(['ps', '--json']);
      expect(JSON.stringify(listed)).toContain('"running"');
      // Without its keeper it can still be saved, stopped and restored.
      await home.ok(['checkpoint', victim.name]);
      await home.noProcess('the end of the application');
      await home.ok(['restore', victim.name, '--detach']);
      await firstAnswer(victim.port);
    }
  });

  test('an interrupt and a deadline', { timeout: 120_000 }, async () => {
    await using home = TestHome.create(user);
    const victim = await Victim.start(home);
    const words = home.words(['checkpoint', '--leave-running', victim.name]);
    const whole = await victim.duration(words);
    for (let round = 0; round < 3; round++) {
      const child = home.spawn(words, {}, { stdio: 'ignore' });
      const ended = new Promise<unknown>((resolve) => child.once('close', (code, signal) => resolve(code ?? signal)));
      await sleep(whole * (0.4 + 0.2 * round));
      child.kill('SIGINT');
      expect([0, 1, 130, 'SIGINT']).toContain(await ended);
      await victim.unharmed(`round ${round}`);
      await victim.tidy(`round ${round}`);
    }
    const { code, stderr } = await home.stasis(['checkpoint', victim.name, '--timeout', '1ms']);
    expect({ code, stderr }).toMatchObject({ code: 9 });
    await victim.unharmed('after the deadline');
    await victim.tidy('after the deadline');
  });

  test('a limit on the size of files', { timeout: 120_000 }, async () => {
    await using home = TestHome.create(user);
    const victim = await Victim.start(home);
    for (const bytes of [0, 1 << 20, 20 << 20]) {
      for (const flags of [['--leave-running'], []]) {
        const { code, stderr } = await home.stasis(['checkpoint', ...flags, victim.name], {
          within: ['prlimit', `--fsize=${bytes}`],
        });
        expect({ code, stderr }, `limit ${bytes}`).toMatchObject({
          code: 1,
          stderr: expect.stringMatching(/EFBIG|too large/i),
        });
        await victim.unharmed(`limit ${bytes}`);
        await victim.tidy(`limit ${bytes}`);
        expect(home.snapshotEntries()).toEqual([]);
      }
    }
    await home.ok(['checkpoint', victim.name]);
  });
});

// Only root can mount the small file system; the program and the command then run as each user.
describe.each(users.filter(() => process.getuid?.() === 0))('a full disk, as $name', (user) => {
  test('the application goes on, nothing is left', { timeout: 120_000 }, async () => {
    await using home = TestHome.create(user);
    const root = users.find(({ privileged }) => privileged) ?? user;
    const port = await freePort();
    const scenario = [
      node,
      join(programs, 'full-disk.mjs'),
      ...home.words([]),
      node,
      join(programs, 'http-node.mjs'),
      String(port),
      String(heapMegabytes),
    ];
    const script = `mkdir -p "$STASIS_HOME" && mount -t tmpfs -o size=40m,mode=0700,uid=${user.uid},gid=${user.gid} none "$STASIS_HOME" && exec "$@"`;
    const outside = TestHome.create(root);
    try {
      const { code, stdout, stderr } = await outside.execute(
        ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', ...user.prefix, ...scenario],
        { env: { ...home.env }, cwd: home.scratch, timeout: 100_000 },
      );
      expect({ code, stderr }).toMatchObject({ code: 0 });
      const told = JSON.parse(stdout);
      expect(told.full).toMatchObject({ code: 1, stderr: expect.stringMatching(/ENOSPC|No space left/i) });
      expect(told).toMatchObject({
        countAfter: told.countBefore + 1,
        checkAfter: told.checkBefore,
        entries: [],
        partial: [],
      });
      expect(told.freed, told.freedError).toBe(0);
    } finally {
      await outside[Symbol.asyncDispose]();
    }
    expect(existsSync(join(home.state, 'apps')), 'the file system was private').toBe(false);
  });
});
