// The library, used in this process on real programs.

import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { type ApplicationEvent, type RunOptions, Stasis, StasisError } from '../../src/index.js';
import { helperPrograms, native } from '../../src/native.js';
import { parseRecord } from '../../src/store/record-schema.js';
import { TestHome } from '../support/home.js';
import { ImageCopy } from '../support/images.js';
import { compiledPrograms } from '../support/paths.js';
import { isRunning } from '../support/processes.js';
import { users } from '../support/users.js';
import { sleep, until } from '../support/waiting.js';

// This process is one user; the commands are tested as the other one too.
const [user] = users as readonly [(typeof users)[number]];
const sleeper = [join(compiledPrograms, 'sleeper')];
const ticker = [process.execPath, '-e', 'let n = 0; setInterval(() => console.log(n++), 20)'];

async function open(home: TestHome): Promise<{ stasis: Stasis; options: RunOptions }> {
  return { stasis: await Stasis.open({ home: home.state }), options: { env: home.env } };
}

async function firstOutput(application: {
  logs(options: { follow: boolean }): AsyncIterable<{ data: Buffer }>;
}): Promise<string> {
  for await (const { data } of application.logs({ follow: true })) return data.toString();
  return '';
}

describe('an application', () => {
  test('runs, is found, waited for and removed', async () => {
    await using home = TestHome.create(user);
    const { stasis, options } = await open(home);
    const application = await stasis.run(sleeper, { ...options, name: 'web' });
    expect(application).toMatchObject({ name: 'web', command: sleeper, restoredFrom: null });
    expect(isRunning(application.pid ?? 0)).toBe(true);
    expect((await stasis.application('web')).id).toBe(application.id);
    expect((await stasis.applications()).map(({ id }) => id)).toEqual([application.id]);
    expect(await firstOutput(application)).toBe('listening\n');
    await expect(application.remove()).rejects.toMatchObject({ code: 'ERR_STASIS_BUSY' });
    const ending = application.wait({ timeout: 10_000 });
    await application.kill('SIGUSR1');
    expect(await ending).toMatchObject({ state: 'signaled', signalName: 'SIGUSR1', endedAt: expect.any(Date) });
    expect(application.pid).toBeNull();
    await expect(application.kill()).rejects.toMatchObject({ code: 'ERR_STASIS_FAILED' });
    await expect(application.checkpoint()).rejects.toMatchObject({ code: 'ERR_STASIS_FAILED' });
    await application.remove();
    await expect(stasis.application('web')).rejects.toMatchObject({ code: 'ERR_STASIS_NOT_FOUND' });
  });

  test('lives as long as its scope', async () => {
    await using home = TestHome.create(user);
    const { stasis, options } = await open(home);
    let pid = 0;
    {
      await using application = await stasis.run(sleeper, options);
      pid = application.pid ?? 0;
      expect(isRunning(pid)).toBe(true);
    }
    expect(isRunning(pid)).toBe(false);
    expect(await stasis.applications()).toEqual([]);
  });

  test('writes where it is told', async () => {
    await using home = TestHome.create(user);
    const { stasis, options } = await open(home);
    const quiet = await stasis.run(['sh', '-c', 'echo out; echo err >&2'], {
      ...options,
      stdio: ['ignore', 'ignore', 'log'],
    });
    await quiet.wait({ timeout: 10_000 });
    const chunks = [];
    for await (const chunk of quiet.logs()) chunks.push({ ...chunk, data: chunk.data.toString() });
    expect(chunks).toEqual([{ stream: 'stderr', data: 'err\n' }]);
  });

  test('that cannot be started leaves nothing behind', async () => {
    await using home = TestHome.create(user);
    const { stasis, options } = await open(home);
    await expect(stasis.run(['./no-such-program'], { ...options, name: 'web' })).rejects.toMatchObject({
      code: 'ERR_STASIS_NOT_FOUND',
    });
    await expect(stasis.run(['true'], { ...options, name: 'web', signal: AbortSignal.abort() })).rejects.toMatchObject({
      code: 'ERR_STASIS_CANCELLED',
    });
    expect(await stasis.applications()).toEqual([]);
    await (await stasis.run(['true'], { ...options, name: 'web' })).wait({ timeout: 10_000 });
  });
});

describe('a snapshot', () => {
  test('is restored any number of times', async () => {
    await using home = TestHome.create(user);
    const { stasis, options } = await open(home);
    const application = await stasis.run(ticker, { ...options, name: 'web' });
    await firstOutput(application);
    const snapshot = await application.checkpoint();
    expect(snapshot).toMatchObject({
      reference: 'web@1',
      name: 'web',
      number: 1,
      statistics: { threads: expect.any(Number) },
    });
    expect(application.status()).toMatchObject({ state: 'checkpointed', snapshot: snapshot.path });
    expect(snapshot.bytes).toBeGreaterThan(snapshot.statistics?.pageBytes ?? 0);
    const first = await stasis.restore(snapshot);
    const second = await stasis.restore('web@1', { name: 'second' });
    expect(first).toMatchObject({ name: 'web', restoredFrom: snapshot.path });
    expect(first.restoreTimings?.resumed).toBeGreaterThan(0);
    for (const restored of [first, second]) expect(isRunning(restored.pid ?? 0)).toBe(true);
    await expect(stasis.restore(snapshot)).rejects.toMatchObject({ code: 'ERR_STASIS_BUSY' });
    const again = await second.checkpoint({ leaveRunning: true });
    expect(second.status().state).toBe('running');
    expect((await stasis.snapshots()).map(({ reference }) => reference)).toEqual(['second@1', 'web@1']);
    await using third = await stasis.restore(again, { name: 'third' });
    expect(await stasis.inspect(again)).toEqual(await again.inspect());
    await again.verify();
    expect(await again.header()).toBeTypeOf('object');
    await again.remove();
    expect(isRunning(third.pid ?? 0)).toBe(true);
    await expect(stasis.snapshot('second@1')).rejects.toMatchObject({ code: 'ERR_STASIS_NOT_FOUND' });
  });

  test('is restored with the pages that it wrote before', async () => {
    await using home = TestHome.create(user);
    const { stasis, options } = await open(home);
    const application = await stasis.run(ticker, { ...options, name: 'web' });
    await firstOutput(application);
    const snapshot = await application.checkpoint();
    const verified = join(home.state, 'verified');
    const workingSets = () => readdirSync(verified).filter((file) => file.endsWith('.written'));
    const restored = async (name: string) => {
      const again = await stasis.restore(snapshot, { name });
      // It goes on counting, whatever was populated.
      expect(Number.parseInt(await firstOutput(again), 10)).toBeGreaterThan(0);
      return { again, pages: again.restoreTimings?.populatedPages };
    };
    const first = await restored('first');
    expect(first.pages).toBe(0);
    const workingSet = await until('the working set', () => workingSets()[0]);
    const file = join(verified, workingSet);
    let second = await restored('second');
    // On a busy machine there may be no time for it.
    for (let i = 0; i < 20 && availableParallelism() > 1 && second.pages === 0; i++) {
      await second.again.kill('SIGKILL');
      second = await restored(`second-${i}`);
    }
    if (availableParallelism() > 1) expect(second.pages).toBeGreaterThan(0);
    const third = await stasis.restore(await second.again.checkpoint(), { name: 'third' });
    expect(isRunning(third.pid ?? 0)).toBe(true);
    // So that its keeper does not write down a working set of its own while the snapshots are removed.
    await third.remove({ force: true });
    const content = readFileSync(file);
    content.writeBigUInt64LE(1n, 256);
    writeFileSync(file, content);
    const fourth = await restored('fourth');
    expect(fourth.pages).toBe(0);
    await fourth.again.remove({ force: true });
    expect(readdirSync(verified).length).toBeGreaterThan(0);
    // Somebody was killed while writing these.
    for (const left of [`.${workingSet.split('.')[0]}.1.1`, `${workingSet}.1.new`])
      writeFileSync(join(verified, left), '');
    for (const each of await stasis.snapshots()) await each.remove();
    expect(readdirSync(verified)).toEqual([]);
  });

  test('that was restored is on record', async () => {
    await using home = TestHome.create(user);
    const { stasis, options } = await open(home);
    const snapshot = await (await stasis.run(sleeper, { ...options, name: 'web' })).checkpoint();
    for (const name of ['web', 'second']) {
      const restored = await stasis.restore(snapshot, { name });
      const files = readdirSync(join(home.state, 'apps', restored.id));
      const text = readFileSync(join(home.state, 'apps', restored.id, 'app.json'), 'utf8');
      expect(files.filter((file) => file.startsWith('app.json'))).toEqual(['app.json']);
      expect(parseRecord(text)).toMatchObject({
        record: { id: restored.id, name, restoredFrom: snapshot.path, logged: true, mode: 'detached' },
      });
      expect((await stasis.application(name)).status()).toEqual(restored.status());
    }
  });

  test('that cannot be restored leaves nothing behind', async () => {
    await using home = TestHome.create(user);
    const { stasis, options } = await open(home);
    const snapshot = await (await stasis.run(sleeper, { ...options, name: 'web' })).checkpoint();
    const entries = () =>
      ['apps', 'names'].map((place) => readdirSync(join(home.state, place), { recursive: true }).sort());
    const before = entries();
    // Another's record would not fit either: neither `app.json` nor anything else may be written.
    const full = { within: ['prlimit', '--fsize=64'] };
    for (const name of [undefined, 'other']) {
      const words = ['restore', '--detach', ...(name === undefined ? [] : ['--name', name]), snapshot.path];
      expect(await home.stasis(words, full)).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/EFBIG|too large/i),
      });
      expect(entries()).toEqual(before);
    }
    const damaged = ImageCopy.make(home, snapshot.path);
    damaged.truncate('image.stasis', damaged.size('image.stasis') - 8);
    for (const name of ['web', 'other']) {
      await expect(stasis.restore(damaged.directory, { name })).rejects.toMatchObject({ code: 'ERR_STASIS_DAMAGED' });
      expect(entries()).toEqual(before);
    }
    await home.noProcess();
  });

  test('comes to life when its record stands, not before', async () => {
    await using home = TestHome.create(user);
    const { stasis, options } = await open(home);
    const snapshot = await (await stasis.run(sleeper, { ...options, name: 'web' })).checkpoint();
    const begin = (directory: string) => {
      mkdirSync(directory);
      return native().restore({
        keeper: helperPrograms().keeper,
        runtimes: join(home.state, 'runtimes'),
        directory,
        image: snapshot.path,
        stamps: join(home.state, 'verified'),
        stdio: [0, 1, 2],
      });
    };
    const status = (directory: string) => readFileSync(join(directory, 'status'), 'utf8');
    const abandoned = join(home.scratch, 'abandoned');
    const first = begin(abandoned);
    await sleep(300);
    first.abandon();
    await expect(first.done).rejects.toMatchObject({ kind: 'CANCELLED' });
    first.proceed();
    expect(readdirSync(abandoned)).toEqual([]);
    await home.noProcess();

    const directory = join(home.scratch, 'application');
    const second = begin(directory);
    await sleep(300);
    if (readdirSync(directory).includes('status')) expect(status(directory)).toContain('state=starting');
    second.proceed();
    const { pid } = await second.done;
    expect(status(directory)).toContain('state=running');
    expect(isRunning(pid)).toBe(true);
  });

  test('that is cancelled or late leaves the application running and nothing else', async () => {
    await using home = TestHome.create(user);
    const { stasis, options } = await open(home);
    const application = await stasis.run([...sleeper, '300000000', '200'], { ...options, name: 'web' });
    await firstOutput(application);
    const reason = new Error('enough');
    const controller = new AbortController();
    const checkpoint = application.checkpoint({ signal: controller.signal });
    setTimeout(() => controller.abort(reason), 20);
    await expect(checkpoint).rejects.toMatchObject({ code: 'ERR_STASIS_CANCELLED', cause: reason });
    await expect(application.checkpoint({ timeout: 1 })).rejects.toMatchObject({ code: 'ERR_STASIS_TIMEOUT' });
    expect(application.status().state).toBe('running');
    expect(home.snapshotEntries()).toEqual([]);
    expect((await application.checkpoint()).reference).toBe('web@1');
  });

  test('is made by one at a time', async () => {
    await using home = TestHome.create(user);
    const { stasis, options } = await open(home);
    const application = await stasis.run([...sleeper, '100000000', '50'], { ...options, name: 'web' });
    await firstOutput(application);
    const outcomes = await Promise.allSettled([
      application.checkpoint({ leaveRunning: true }),
      application.checkpoint({ leaveRunning: true }),
    ]);
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected').map(({ reason }) => reason.code);
    expect(refused.every((code) => code === 'ERR_STASIS_BUSY')).toBe(true);
    expect(home.snapshotEntries().length).toBe(2 - refused.length);
  });
});

describe('waiting', () => {
  test('ends with its deadline or its signal, and says what for', async () => {
    await using home = TestHome.create(user);
    const { stasis, options } = await open(home);
    const application = await stasis.run(sleeper, { ...options, name: 'web' });
    await expect(application.wait({ timeout: 50 })).rejects.toMatchObject({
      code: 'ERR_STASIS_TIMEOUT',
      message: expect.stringContaining('waiting for web to end'),
    });
    const reason = new Error('enough');
    const controller = new AbortController();
    const waiting = application.wait({ signal: controller.signal });
    controller.abort(reason);
    await expect(waiting).rejects.toMatchObject({ code: 'ERR_STASIS_CANCELLED', cause: reason });
    const followed = (async () => {
      for await (const _ of application.logs({ follow: true, signal: AbortSignal.timeout(50) }));
    })();
    await expect(followed).rejects.toBeInstanceOf(StasisError);
  });

  test('events of any process', async () => {
    await using home = TestHome.create(user);
    const { stasis, options } = await open(home);
    await stasis.run(['true'], { ...options, name: 'before' });
    const seen: ApplicationEvent[] = [];
    const controller = new AbortController();
    const events = stasis.events({ signal: controller.signal });
    const reading = (async () => {
      for await (const event of events) if (event.application.name !== 'before') seen.push(event);
    })();
    const reached = (count: number) =>
      until(`event ${count}`, () => seen.length >= count, { detail: () => JSON.stringify(seen) });
    await home.run('web', ticker);
    await reached(1);
    await home.ok(['checkpoint', '--leave-running', 'web']);
    await reached(2);
    await home.ok(['checkpoint', 'web']);
    await reached(3);
    await home.ok(['restore', '--detach', 'web']);
    await reached(4);
    await home.ok(['kill', 'web']);
    await reached(5);
    controller.abort();
    await expect(reading).rejects.toMatchObject({ code: 'ERR_STASIS_CANCELLED' });
    const snapshot = (number: number): string => join(home.state, 'snapshots', `web@${number}`);
    expect(seen).toMatchObject([
      { type: 'started', application: { name: 'web' }, pid: expect.any(Number) },
      { type: 'checkpointed', snapshot: snapshot(1), running: true },
      { type: 'checkpointed', snapshot: snapshot(2), running: false },
      { type: 'restored', snapshot: snapshot(2), pid: expect.any(Number) },
      { type: 'exited', ending: { state: 'signaled', signalName: 'SIGTERM' } },
    ]);
  });
});

test('mistakes in arguments are TypeErrors and RangeErrors, and nothing happens', async () => {
  await using home = TestHome.create(user);
  const { stasis } = await open(home);
  // biome-ignore lint/suspicious/noExplicitAny: wrong on purpose
  const wrong = stasis as any;
  const mistakes: Array<[() => Promise<unknown>, typeof TypeError | typeof RangeError]> = [
    [() => wrong.run('true'), TypeError],
    [() => wrong.run([]), TypeError],
    [() => wrong.run(['']), RangeError],
    [() => wrong.run(['true'], { name: 'No Name' }), RangeError],
    [() => wrong.run(['true'], { name: 7 }), TypeError],
    [() => wrong.run(['true'], { env: { A: 1 } }), TypeError],
    [() => wrong.run(['true'], { stdio: 'pipe' }), TypeError],
    [() => wrong.run(['true'], { stdio: ['log', 'log', 'log'] }), RangeError],
    [() => wrong.run(['true'], { stdio: [0, 1] }), RangeError],
    [() => wrong.run(['true'], { signal: {} }), TypeError],
    [() => wrong.run(['true'], null), TypeError],
    [() => wrong.checkpoint(7), TypeError],
    [() => wrong.restore(undefined), TypeError],
    [() => wrong.application(''), RangeError],
    [() => Stasis.open({ home: 7 } as never), TypeError],
  ];
  for (const [call, type] of mistakes) {
    const error = await call().catch((caught: unknown) => caught);
    expect(error, String(call)).toBeInstanceOf(type);
    expect((error as { code?: unknown }).code, String(call)).toMatch(/^ERR_INVALID_ARG_/);
  }
  expect(await stasis.applications()).toEqual([]);
});

test('check needs no application', async () => {
  await using home = TestHome.create(user);
  const { stasis } = await open(home);
  expect(await stasis.check()).toMatchObject({ ready: true });
});
