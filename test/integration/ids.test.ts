// The ids of an application: what a program sees after a restore, and what `inspect --ids` and the library tell of them.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { type ResourceId, Stasis } from '../../src/index.js';
import { TestHome } from '../support/home.js';
import { users } from '../support/users.js';
import { until } from '../support/waiting.js';

const shift = 100_000;

// Says who it is, on a line of its own, each time it is asked by SIGUSR1; a child reports itself and its parent.
const teller = [
  '/usr/bin/python3',
  '-c',
  `
import os, signal, subprocess, threading, time
worker = threading.Thread(target=lambda: time.sleep(1000), daemon=True)
worker.start()
def tell(*unused):
    child = subprocess.run(['/bin/sh', '-c', 'echo $$ $PPID'], capture_output=True, text=True).stdout.split()
    print('ids', os.getpid(), threading.get_native_id(), worker.native_id, os.getppid(), os.getpgid(0), os.getsid(0), *child, flush=True)
signal.signal(signal.SIGUSR1, tell)
tell()
while True: time.sleep(0.05)
`,
];

interface Told {
  readonly pid: number;
  readonly worker: number;
  readonly parent: number;
  readonly group: number;
  readonly session: number;
  readonly child: number;
}

function told(home: TestHome, name: string): Told[] {
  return home
    .output(name)
    .split('\n')
    .filter((line) => line.startsWith('ids '))
    .map((line) => {
      const [pid, main, worker, parent, group, session, child, childsParent] = line.split(' ').slice(1).map(Number) as [
        number,
        number,
        number,
        number,
        number,
        number,
        number,
        number,
      ];
      expect(main, 'the main thread has the id of the process').toBe(pid);
      expect(childsParent, "the child's parent").toBe(pid);
      return { pid, worker, parent, group, session, child };
    });
}

async function ask(home: TestHome, name: string): Promise<Told> {
  const before = told(home, name).length;
  await home.ok(['kill', name, '--signal', 'USR1']);
  return until(`an answer of ${name}`, () => told(home, name)[before]);
}

function same(one: Told, other: Told): void {
  const { child: _one, ...kept } = one;
  expect(other).toMatchObject(kept);
}

async function idsOf(home: TestHome, name: string): Promise<ResourceId[]> {
  const outcome = await home.stasis(['inspect', name, '--ids', '--json']);
  expect(outcome.code, outcome.stderr).toBe(0);
  return outcome.stdout
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as ResourceId);
}

/** Parent of a process of the system. */
function parentOf(pid: number): number {
  return Number(/^PPid:\t(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
}

describe.each(users)('as $name', (user) => {
  test('a restored program keeps its ids, twice side by side and in the next generation', {
    timeout: 90_000,
  }, async () => {
    await using home = TestHome.create(user);
    await home.run('web', teller);
    const [first] = await until('its ids', () => (told(home, 'web').length > 0 ? told(home, 'web') : undefined));
    if (first === undefined) throw new Error('nothing was told');
    expect(first.pid).toBe(home.pid('web'));
    await home.ok(['checkpoint', 'web']);
    for (const name of ['one', 'two']) await home.ok(['restore', 'web', '--detach', '--name', name]);
    const one = await ask(home, 'one');
    const two = await ask(home, 'two');
    same(first, one);
    same(first, two);
    for (const name of ['one', 'two']) expect(home.pid(name), 'in the system').not.toBe(first.pid);

    await home.ok(['checkpoint', 'one']);
    await home.ok(['restore', 'one', '--detach', '--name', 'third']);
    const third = await ask(home, 'third');
    same(first, third);
    const known = (await idsOf(home, 'third')).filter(({ state }) => state === 'known');
    expect(known.map((id) => id.virtual)).toContain(one.child);
    expect(third.child).not.toBe(one.child);
  });

  test('inspect --ids tells what each id stands for', { timeout: 60_000 }, async () => {
    await using home = TestHome.create(user);
    await home.run('web', teller);
    await until('its ids', () => (told(home, 'web').length > 0 ? true : undefined));
    const pid = home.pid('web');
    const plain = await idsOf(home, 'web');
    expect(plain.every((id) => id.virtual === id.system && id.state === 'identity')).toBe(true);
    expect(plain.map((id) => id.kind).sort()).toEqual(['process', 'thread']);

    await home.ok(['checkpoint', 'web']);
    await home.ok(['restore', 'web', '--detach', '--name', 'copy']);
    const answer = await ask(home, 'copy');
    const system = home.pid('copy');
    const ids = await idsOf(home, 'copy');
    expect(ids).toContainEqual({ kind: 'process', virtual: pid, system, owner: pid, state: 'live' });
    expect(ids).toContainEqual({
      kind: 'process',
      virtual: answer.parent,
      system: parentOf(system),
      owner: null,
      state: 'foreign',
    });
    expect(ids).toContainEqual({
      kind: 'thread',
      virtual: answer.worker,
      system: expect.any(Number),
      owner: pid,
      state: 'live',
    });
    expect(await home.ok(['inspect', 'copy', '--ids'])).toMatch(
      new RegExp(`^KIND +VIRTUAL +SYSTEM +OWNER +STATE\n[^]*process +${pid} +${system} +${pid} +live\n`),
    );
    await home.ok(['kill', 'copy', '--signal', 'KILL']);
    await home.ended('copy');
    expect(await home.stasis(['inspect', 'copy', '--ids'])).toMatchObject({ code: 1 });
    expect(await home.stasis(['inspect', 'nobody', '--ids'])).toMatchObject({ code: 6 });
  });

  test('with shifted ids no id of the system is seen, and a checkpoint keeps those that are', {
    timeout: 60_000,
  }, async () => {
    await using home = TestHome.create(user);
    await home.ok(['run', '--detach', '--name', 'web', '--shift-ids', String(shift), '--', ...teller]);
    const [first] = await until('its ids', () => (told(home, 'web').length > 0 ? told(home, 'web') : undefined));
    if (first === undefined) throw new Error('nothing was told');
    expect(first.pid).toBe(home.pid('web') + shift);
    for (const id of Object.values(first)) expect(id).toBeGreaterThan(shift);
    await home.ok(['checkpoint', 'web']);
    await home.ok(['restore', 'web', '--detach', '--name', 'copy']);
    same(first, await ask(home, 'copy'));
  });
});

test('a shift is a number from 1 to 4000000', async () => {
  await using home = TestHome.create(users[0] as (typeof users)[number]);
  for (const wrong of ['0', '-1', 'x', '4000001']) {
    expect(await home.stasis(['run', `--shift-ids=${wrong}`, '--', 'true'])).toMatchObject({ code: 2 });
    expect(await home.stasis(['restore', `--shift-ids=${wrong}`, 'nobody'])).toMatchObject({ code: 2 });
  }
});

test('the library gives the ids one by one', { timeout: 60_000 }, async () => {
  const [user] = users as readonly [(typeof users)[number]];
  await using home = TestHome.create(user);
  const stasis = await Stasis.open({ home: home.state });
  await using application = await stasis.run(['sleep', '1000'], { env: home.env, shiftIds: shift });
  const pid = application.pid ?? 0;
  const seen: ResourceId[] = [];
  for await (const id of application.ids()) seen.push(id);
  expect(seen).toContainEqual({
    kind: 'process',
    virtual: pid + shift,
    system: pid,
    owner: pid + shift,
    state: 'live',
  });
  for (const wrong of [0, 1.5, -1, 4_000_001, '7']) {
    await expect(stasis.run(['true'], { env: home.env, shiftIds: wrong as number }), String(wrong)).rejects.toThrow(
      /shiftIds/,
    );
  }
});
