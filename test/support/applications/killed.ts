// Kills at random moments of checkpoints and restores: of the command, or of the keeper that a restore has started. Afterwards the
// application works or its last snapshot does, and nothing in between is there.

import { expect } from 'vitest';
import { TestHome } from '../home.js';
import { kill } from '../processes.js';
import type { TestUser } from '../users.js';
import { sleep, until } from '../waiting.js';
import type { Application, Running } from './application.js';

/** A generator of numbers in [0, 1) that gives the same ones for the same seed (mulberry32). */
function randomNumbers(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Victim {
  /** Of whole commands, to place the kills in. */
  checkpointMs = 0;
  restoreMs = 0;
  #cycle = 0;

  constructor(
    readonly home: TestHome,
    readonly running: Running,
    readonly random: () => number,
  ) {}

  checkpointWords(): string[] {
    return this.home.words(['checkpoint', ...(this.running.checkpoint ?? []), 'app']);
  }

  restoreWords(): string[] {
    const snapshot = this.home.snapshotEntries().at(-1) as string;
    return this.home.words(['restore', snapshot, '--detach', '--name', 'app', ...(this.running.restore ?? [])]);
  }

  async whole(words: string[]): Promise<number> {
    const start = performance.now();
    const outcome = await this.home.execute(words);
    expect(outcome).toMatchObject({ code: 0 });
    return performance.now() - start;
  }

  async load(): Promise<void> {
    await this.running.load(++this.#cycle);
  }

  check(): Promise<void> {
    return this.running.check(this.#cycle);
  }

  async tidy(what: string): Promise<void> {
    await this.home.ok(['ps', '--all']);
    expect(
      this.home.snapshotEntries().filter((entry) => entry.includes('partial')),
      what,
    ).toEqual([]);
  }

  /** Starts the command and kills it, or the keeper that it has started, after `ms`. */
  async cutOff(words: string[], ms: number, who: 'command' | 'keeper'): Promise<void> {
    const child = this.home.spawn(words, {}, { stdio: 'ignore' });
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    await sleep(ms);
    const keeper = who === 'keeper' && this.home.processes().find(({ command }) => /^\S*stasis-keeper /.test(command));
    if (keeper) kill(keeper.pid);
    else child.kill('SIGKILL');
    await ended;
    await this.running.unload?.();
  }

  async state(): Promise<string> {
    const listed: { name: string; status: { state: string } }[] = await this.home.ok(['ps', '--all', '--json']);
    return listed.find(({ name }) => name === 'app')?.status.state ?? '';
  }

  async restoreWhole(): Promise<void> {
    await until('the end of what the restore was making', () => this.home.processes().length === 0, {
      ms: 40_000,
      detail: () => JSON.stringify(this.home.processes()),
    });
    await this.home.execute(this.home.words(['rm', '--force', 'app']));
    await this.whole(this.restoreWords());
  }

  async killInCheckpoint(round: string): Promise<void> {
    await this.load();
    await this.cutOff(this.checkpointWords(), this.checkpointMs * (0.2 + this.random()), 'command');
    await this.tidy(round);
    // The kill may have come before the end of the application, in the midst of it or after it.
    if (this.home.snapshotEntries().length > 0) await sleep(200);
    // One that has ended by itself has its own word to be checked.
    if (!['running', 'exited'].includes(await this.state())) {
      expect(this.home.snapshotEntries(), `${round}: ended without a snapshot`).not.toEqual([]);
      await this.restoreWhole();
    }
    await this.check();
    for (const entry of this.home.snapshotEntries()) await this.home.ok(['rm', '--force', entry]);
  }

  async killInRestore(round: string): Promise<void> {
    await this.load();
    await this.whole(this.checkpointWords());
    expect(await this.home.ended('app')).toMatch(/^checkpointed /);
    const who = this.random() < 0.5 ? 'command' : 'keeper';
    await this.cutOff(this.restoreWords(), this.restoreMs * (0.2 + 0.9 * this.random()), who);
    await this.tidy(round);
    // Either it runs whole, with or without its keeper, or nothing of it does.
    const settled = await until(`${round}: an outcome`, async () => {
      const state = await this.state();
      if (state === 'running' || state === 'exited') return 'whole';
      return this.home.processes().length === 0 ? 'nothing' : undefined;
    });
    if (settled === 'nothing') await this.restoreWhole();
    await this.check();
    for (const entry of this.home.snapshotEntries()) await this.home.ok(['rm', '--force', entry]);
  }
}

export async function killedCourse(
  user: TestUser,
  application: Application,
  kills: number,
  seed: number,
): Promise<void> {
  await using home = TestHome.create(user);
  const victim = new Victim(home, await application.start(home), randomNumbers(seed));
  await victim.load();
  victim.checkpointMs = await victim.whole(victim.checkpointWords());
  expect(await home.ended('app')).toMatch(/^checkpointed /);
  victim.restoreMs = await victim.whole(victim.restoreWords());
  await victim.check();
  for (const entry of home.snapshotEntries()) await home.ok(['rm', '--force', entry]);
  for (let kill = 0; kill < kills; kill++) {
    const round = `seed ${seed}, kill ${kill}`;
    if (kill % 2 === 0) await victim.killInCheckpoint(round);
    else await victim.killInRestore(round);
  }
}
