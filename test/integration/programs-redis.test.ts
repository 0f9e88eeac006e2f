// Redis: the data set is the same byte by byte before and after, its allocator may give memory back and take it again (which fails if pages
// of the image came back where it expects zeros), and a checkpoint under load neither loses nor changes a value.

import { describe, expect, test } from 'vitest';
import { TestHome } from '../support/home.js';
import { freePort } from '../support/http.js';
import { fill, Redis, redisWords } from '../support/redis.js';
import { users } from '../support/users.js';
import { sleep, until } from '../support/waiting.js';

async function connected(port: number): Promise<Redis> {
  return until(`redis on port ${port}`, () => Redis.connect(port).catch(() => undefined), { ms: 20_000, step: 20 });
}

async function digest(port: number): Promise<string> {
  await using redis = await connected(port);
  return String(await redis.call('DEBUG', 'DIGEST'));
}

async function refill(port: number, seed: number, keys: number): Promise<string> {
  await using redis = await connected(port);
  expect(await redis.call('FLUSHALL')).toBe('OK');
  await redis.call('MEMORY', 'PURGE');
  expect(await redis.call('DBSIZE')).toBe(0);
  await fill(redis, keys, seed);
  return String(await redis.call('DEBUG', 'DIGEST'));
}

describe.each(users)('as $name', (user) => {
  test('the data is intact, emptied and filled again', { timeout: 120_000 }, async () => {
    await using home = TestHome.create(user);
    const port = await freePort();
    const keys = 60_000;
    await home.run('redis', redisWords(port, home.scratch));
    const first = await refill(port, 1, keys);
    const other = await refill(port, 2, keys);
    expect(other).not.toBe(first);
    expect(await refill(port, 1, keys)).toBe(first);
    await home.ok(['checkpoint', 'redis']);

    for (const name of ['one', 'two']) {
      await home.ok(['restore', 'redis@1', '--detach', '--name', name]);
      expect(await digest(port), name).toBe(first);
      expect(await refill(port, 2, keys), `${name}, filled again`).toBe(other);
      expect(await digest(port), name).toBe(other);
      await home.ok(['checkpoint', name]);
    }
    await home.ok(['restore', 'two@1', '--detach', '--name', 'three']);
    expect(await digest(port), 'a checkpoint of a restored one').toBe(other);
    expect(await refill(port, 1, keys)).toBe(first);
    await using redis = await connected(port);
    // BGSAVE and RELOAD fork, write a file and read it back.
    await redis.call('DEBUG', 'RELOAD');
    expect(await redis.call('DEBUG', 'DIGEST')).toBe(first);
    expect(await redis.call('BGSAVE')).toContain('started');
    await until(
      'the end of BGSAVE',
      async () => String(await redis.call('INFO', 'persistence')).includes('rdb_bgsave_in_progress:0'),
      { ms: 20_000 },
    );
    expect(String(await redis.call('INFO', 'persistence'))).toContain('rdb_last_bgsave_status:ok');
  });

  test('checkpoints under load', { timeout: 120_000 }, async () => {
    await using home = TestHome.create(user);
    const port = await freePort();
    await home.run('redis', redisWords(port, home.scratch));
    let written = 0;
    let running = true;
    // Each client works in short bursts and closes its connection; between two bursts of all of them a checkpoint succeeds, otherwise it
    // is refused because of the connections, and the server goes on.
    const client = async (index: number): Promise<void> => {
      while (running) {
        await using redis = await connected(port);
        for (let i = 0; i < 50; i++) {
          await redis.call('SET', `key:${index}:${written}`, `value ${index} ${written}`);
          written++;
        }
        await redis.close();
        await sleep(150);
      }
    };
    const clients = [client(0), client(1)];
    let done = 0;
    let refused = 0;
    for (let i = 0; i < 200 && done < 5; i++) {
      const { code, stderr } = await home.stasis(['checkpoint', '--leave-running', 'redis']);
      if (code === 0) done++;
      else {
        expect({ code, stderr }).toMatchObject({ code: 3, stderr: expect.stringMatching(/connect|socket/i) });
        refused++;
      }
    }
    running = false;
    await Promise.all(clients);
    expect(done, `${refused} refused`).toBe(5);
    const last = await digest(port);
    await home.ok(['checkpoint', 'redis']);
    await home.ok(['restore', 'redis@6', '--detach', '--name', 'restored']);
    expect(await digest(port)).toBe(last);
    await using redis = await connected(port);
    expect(await redis.call('DBSIZE')).toBe(written);
  });
});
