// The course that every server program goes through: state built by requests, a checkpoint that leaves it running, one that ends it,
// restores, a second restore of the same image, and a checkpoint of a restored application. Its own clock must go on as if no time had
// passed, and what it keeps in memory must be what it was.

import { expect } from 'vitest';
import { TestHome } from './home.js';
import { firstAnswer, freePort, get } from './http.js';
import type { TestUser } from './users.js';
import { sleep, until } from './waiting.js';

export interface Server {
  /** Its command line on a port. */
  words(port: number, home: TestHome): string[];
  /** What must be equal in every answer. */
  constant?: string;
  /** Counters that go on by themselves. */
  growing?: readonly string[];
  path?: string;
  /** Requests before the first checkpoint. */
  warm?: number;
}

const pauseMs = 2000;

const secondsSince = (start: number): number => (performance.now() - start) / 1000;

export async function serverCourse(user: TestUser, server: Server): Promise<void> {
  await using home = TestHome.create(user);
  const port = await freePort();
  const path = server.path ?? '/';
  await home.run('server', server.words(port, home));
  await home.outputLine('server', 'listening', 60_000);
  const first = await firstAnswer(port, path);
  expect(first.count).toBe(1);
  for (let i = 0; i < (server.warm ?? 20); i++) await get(port, path);
  let expected = first.count + (server.warm ?? 20);
  let askedAt = performance.now();
  let last = await get(port, path);
  expected++;

  /** `pausedSeconds`: for that long at least it has not run since the last answer. */
  const ask = async (what: string, pausedSeconds = 0): Promise<void> => {
    const now = performance.now();
    const answer = await firstAnswer(port, path);
    expect(answer.count, `${what}: the counter`).toBe(++expected);
    if (server.constant !== undefined)
      expect(answer[server.constant], `${what}: ${server.constant}`).toEqual(first[server.constant]);
    expect(answer.uptime, `${what}: the clock never steps back`).toBeGreaterThanOrEqual(last.uptime);
    // Both readings of its clock lie between the question before and now. Some give milliseconds.
    const most = secondsSince(askedAt) - pausedSeconds + 0.01;
    expect(answer.uptime - last.uptime, `${what}: the pause does not count`).toBeLessThan(most);
    for (const key of server.growing ?? []) expect(answer[key], `${what}: ${key}`).toBeGreaterThanOrEqual(last[key]);
    last = answer;
    askedAt = now;
  };
  // Threads and timers that go on by themselves do so after a restore as well.
  const moves = async (what: string): Promise<void> => {
    const before = last;
    const goOn = async (): Promise<boolean> => {
      await ask(what);
      return (server.growing ?? []).every((key) => last[key] > before[key]);
    };
    await until(`${what}: ${server.growing ?? []} go on`, goOn, {
      step: 50,
      detail: () => JSON.stringify([before, last]),
    });
  };

  await home.ok(['checkpoint', '--leave-running', 'server']);
  await ask('left running');
  await home.ok(['checkpoint', 'server']);
  expect(await home.ended('server')).toMatch(/^checkpointed /);
  const atCheckpoint = { expected, last, askedAt };
  const stoppedAt = performance.now();
  await sleep(pauseMs);

  const pause = secondsSince(stoppedAt);
  await home.ok(['restore', 'server@2', '--detach', '--name', 'copy']);
  await ask('first restore', pause);
  await moves('first restore');
  await home.ok(['checkpoint', 'copy']);
  const ofCopy = { expected, last, askedAt };
  const copyStoppedAt = performance.now();

  ({ expected, last, askedAt } = atCheckpoint);
  const secondPause = secondsSince(stoppedAt);
  await home.ok(['restore', 'server@2', '--detach', '--name', 'again']);
  await ask('second restore of one image', secondPause);
  await moves('second restore of one image');
  await home.ok(['kill', 'again', '--signal', 'KILL']);
  expect(await home.ended('again')).toBe('signaled 9');

  ({ expected, last, askedAt } = ofCopy);
  const pauseOfCopy = secondsSince(copyStoppedAt);
  await home.ok(['restore', 'copy@1', '--detach', '--name', 'third']);
  await ask('restore of a restored one', pauseOfCopy);
  await moves('restore of a restored one');
  for (let i = 0; i < 50; i++) await ask('restore of a restored one, at work');
  expect(home.output('third', 'stderr')).toBe('');
}
