// The course that every server program goes through: state built by requests, a checkpoint that leaves it running, one that ends it,
// restores, a second restore of the same image, and a checkpoint of a restored application. Its own clock must go on as if no time had
// passed, and what it keeps in memory must be what it was.

import { expect } from 'vitest';
import { TestHome } from './home.js';
import { firstAnswer, freePort, get } from './http.js';
import type { TestUser } from './users.js';
import { sleep } from './waiting.js';

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

const pauseSeconds = 4;

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
  let last = await get(port, path);
  expected++;

  const ask = async (what: string): Promise<void> => {
    const answer = await firstAnswer(port, path);
    expect(answer.count, `${what}: the counter`).toBe(++expected);
    if (server.constant !== undefined)
      expect(answer[server.constant], `${what}: ${server.constant}`).toEqual(first[server.constant]);
    expect(answer.uptime, `${what}: the clock never steps back`).toBeGreaterThanOrEqual(last.uptime);
    // Checkpoint, restore and answer take well under this; the pause between them is longer.
    expect(answer.uptime - last.uptime, `${what}: the pause does not count`).toBeLessThan(pauseSeconds);
    for (const key of server.growing ?? []) expect(answer[key], `${what}: ${key}`).toBeGreaterThanOrEqual(last[key]);
    last = answer;
  };
  // Threads and timers that go on by themselves do so after a restore as well.
  const moves = async (what: string): Promise<void> => {
    await sleep(150);
    const before = last;
    await ask(what);
    for (const key of server.growing ?? []) expect(last[key], `${what}: ${key} goes on`).toBeGreaterThan(before[key]);
  };

  await home.ok(['checkpoint', '--leave-running', 'server']);
  await ask('left running');
  await home.ok(['checkpoint', 'server']);
  expect(await home.ended('server')).toMatch(/^checkpointed /);
  const atCheckpoint = { expected, last };
  await sleep(pauseSeconds * 1000 + 500);

  await home.ok(['restore', 'server@2', '--detach', '--name', 'copy']);
  await ask('first restore');
  await moves('first restore');
  await home.ok(['checkpoint', 'copy']);
  const ofCopy = { expected, last };

  ({ expected, last } = atCheckpoint);
  await home.ok(['restore', 'server@2', '--detach', '--name', 'again']);
  await ask('second restore of one image');
  await moves('second restore of one image');
  await home.ok(['kill', 'again', '--signal', 'KILL']);
  expect(await home.ended('again')).toBe('signaled 9');

  ({ expected, last } = ofCopy);
  await home.ok(['restore', 'copy@1', '--detach', '--name', 'third']);
  await ask('restore of a restored one');
  await moves('restore of a restored one');
  for (let i = 0; i < 50; i++) await ask('restore of a restored one, at work');
  expect(home.output('third', 'stderr')).toBe('');
}
