// Every guest program of test/guests, in each way it is linked, as each user: bare, under `stasis run`, under `stasis run --shift-ids`, where
// every id it sees is another one than the kernel's, and, if it is a checkpoint guest, through this course:
//
//     run, READY, checkpoint --leave-running         -> first    the original goes on and passes
//     restore first                                  -> copy     checkpointed at once, which ends it -> second
//     restore first again                            -> again    passes
//     restore second (an image of a restored one)    -> third    passes
//
// Any other is also checkpointed before its main() and does all of its work in a restored process, with shifted ids before and after.
//
// Before each restore the guest's files are put back to their state at the checkpoint, as a program expects that owns them.

import { spawnSync } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { LibraryAgent } from '../support/agent.js';
import { TestHome } from '../support/home.js';
import { guestBinaries, guestSources } from '../support/paths.js';
import { users } from '../support/users.js';
import { sleep } from '../support/waiting.js';

/** Far from any id that this machine gives out while the tests run, so that one that is not translated shows. */
const shift = 100_000;

interface Guest {
  /** File name in build/guests. */
  readonly name: string;
  readonly checkpoint: boolean;
  readonly pauseSeconds: number;
  /** It cannot run without privileges. */
  readonly privileged: boolean;
}

function header(source: string, key: string): string {
  return new RegExp(`^// ${key}: (.*)$`, 'm').exec(source)?.[1]?.trim() ?? '';
}

const guests: Guest[] = readdirSync(guestSources)
  .filter((file) => /\.(c|cc)$/.test(file))
  .sort()
  .flatMap((file) => {
    const source = readFileSync(join(guestSources, file), 'utf8');
    const name = basename(file).replace(/\.(c|cc)$/, '');
    const checkpoint = header(source, 'mode') === 'checkpoint' || /^(checkpoint|restore)-/.test(name);
    const linked = [
      '',
      ...header(source, 'build')
        .split(' ')
        .filter(Boolean)
        .map((kind) => `.${kind}`),
    ];
    return linked.map((suffix) => ({
      name: `${name}${suffix}`,
      checkpoint,
      pauseSeconds: Number(header(source, 'pause') || 0),
      privileged: header(source, 'needs') !== '',
    }));
  });

class Course {
  readonly directory: string;
  readonly go: string;
  readonly #saved: string;
  readonly words: string[];
  readonly env: Record<string, string>;

  constructor(
    readonly home: TestHome,
    readonly guest: Guest,
    label = '',
  ) {
    this.directory = join(home.scratch, `files${label}`);
    this.go = join(home.scratch, `go${label}`);
    this.#saved = join(home.scratch, `saved${label}`);
    this.words = [join(guestBinaries, guest.name)];
    this.env = { GUEST_DIR: this.directory, GUEST_GO: this.go };
    this.reset();
  }

  /** An empty directory, and nobody may go on. */
  reset(): void {
    rmSync(this.go, { force: true });
    rmSync(this.directory, { recursive: true, force: true });
    mkdirSync(this.directory);
    chownSync(this.directory, this.home.user.uid, this.home.user.gid);
  }

  copy(from: string, to: string): void {
    rmSync(to, { recursive: true, force: true });
    const { status, stderr } = spawnSync('cp', ['-a', from, to]);
    if (status !== 0) throw new Error(`cp: ${stderr.toString()}`);
  }

  save(): void {
    this.copy(this.directory, this.#saved);
  }

  putBack(): void {
    rmSync(this.go, { force: true });
    this.copy(this.#saved, this.directory);
  }

  async passes(name: string): Promise<void> {
    writeFileSync(this.go, '');
    await this.home.outputLine(name, 'PASS', 60_000);
    expect(await this.home.ended(name)).toBe('exited 0');
    expect(this.home.output(name)).not.toContain('FAIL');
  }
}

async function passesFromBirth(agent: LibraryAgent, course: Course): Promise<void> {
  const env = { ...course.env, GUEST_AT_BIRTH: '1', GUEST_SHIFT: String(shift) };
  await agent.run('guest', course.words, env, { shiftIds: shift });
  await course.home.outputLine('guest', 'READY');
  expect(await agent.checkpoint('guest')).toBe('guest@1');
  expect(await agent.wait('guest')).toMatchObject({ state: 'checkpointed' });
  await agent.restore('guest@1', 'copy', { shiftIds: shift });
  await course.passes('copy');
}

describe.each(users)('as $name', (user) => {
  const able = guests.filter((guest) => user.privileged || !guest.privileged);
  test.concurrent.each(able)('$name', { timeout: 180_000 }, async (guest) => {
    await using home = TestHome.create(user);
    const course = new Course(home, guest);
    expect(existsSync(course.words[0] as string), 'compiled by scripts/test-programs.sh').toBe(true);

    writeFileSync(course.go, '');
    const bare = await home.execute(course.words, { env: course.env });
    expect(bare, 'bare').toMatchObject({ code: 0, stdout: expect.stringMatching(/(^|\n)PASS\n$/) });

    course.reset();
    writeFileSync(course.go, '');
    const other = new Course(home, guest, '-shifted');
    writeFileSync(other.go, '');
    const [launched, shifted] = await Promise.all([
      home.stasis(['run', '--', ...course.words], { env: course.env }),
      home.stasis(['run', '--shift-ids', String(shift), '--', ...other.words], {
        env: { ...other.env, GUEST_SHIFT: String(shift) },
      }),
    ]);
    expect(launched, 'stasis run').toMatchObject({ code: 0, stdout: expect.stringMatching(/(^|\n)PASS\n$/) });
    expect(shifted, 'with shifted ids').toMatchObject({ code: 0, stdout: expect.stringMatching(/(^|\n)PASS\n$/) });
    const agent = new LibraryAgent(home);
    course.reset();
    if (!guest.checkpoint) return await passesFromBirth(agent, course);

    await agent.run('guest', course.words, course.env);
    await home.outputLine('guest', 'READY');
    expect(await agent.checkpoint('guest', { leaveRunning: true })).toBe('guest@1');
    course.save();
    await course.passes('guest');
    await sleep(guest.pauseSeconds * 1000);

    course.putBack();
    await agent.restore('guest@1', 'copy');
    expect(await agent.checkpoint('copy')).toBe('copy@1');
    expect(await agent.wait('copy')).toMatchObject({ state: 'checkpointed' });

    course.putBack();
    await agent.restore('guest@1', 'again');
    await course.passes('again');
    await sleep(guest.pauseSeconds * 1000);

    course.putBack();
    await agent.restore('copy@1', 'third');
    await course.passes('third');
  });
});
