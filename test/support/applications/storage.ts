// Programs whose files are part of what they hold: redis with an append-only file and a child that saves, sqlite in a write transaction, a
// pipeline of bash.

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { expect } from 'vitest';
import { freePort } from '../http.js';
import { programs } from '../paths.js';
import { fill, Redis, redisInfo, redisWords } from '../redis.js';
import { until } from '../waiting.js';
import type { Application } from './application.js';
import { order } from './postgres.js';

export const redis: Application = {
  name: 'redis',
  cycleMs: 20_000,
  async start(home) {
    const port = await freePort();
    await home.run('app', [...redisWords(port, home.scratch), '--appendonly', 'yes', '--appendfsync', 'always']);
    const connected = (): Promise<Redis> =>
      until('redis', () => Redis.connect(port).catch(() => undefined), { ms: 20_000 });
    let written = 0;
    const write = async (client: Redis, count: number): Promise<void> => {
      for (let i = 0; i < count; i++) {
        expect(await client.call('INCR', 'written')).toBe(++written);
        await client.call('RPUSH', 'log', written);
      }
    };
    {
      await using client = await connected();
      await fill(client, 20_000, 1);
      await write(client, 100);
    }
    let digest = '';
    let saves = 0;
    return {
      async load() {
        await using client = await connected();
        // The child is at work for long enough to be there at the checkpoint.
        await client.call('CONFIG', 'SET', 'rdb-key-save-delay', '120');
        saves = Number(await redisInfo(client, 'persistence', 'rdb_saves'));
        await until('the start of BGSAVE', async () => (await client.call('BGSAVE').catch(() => null)) !== null);
        await write(client, 50);
        digest = String(await client.call('DEBUG', 'DIGEST'));
        expect(await redisInfo(client, 'persistence', 'rdb_bgsave_in_progress')).toBe('1');
      },
      async check() {
        await using client = await connected();
        expect(await client.call('DEBUG', 'DIGEST')).toBe(digest);
        await write(client, 50);
        await until(
          'the end of BGSAVE',
          async () => (await redisInfo(client, 'persistence', 'rdb_bgsave_in_progress')) === '0',
          {
            ms: 30_000,
          },
        );
        expect(await redisInfo(client, 'persistence', 'rdb_last_bgsave_status')).toBe('ok');
        expect(Number(await redisInfo(client, 'persistence', 'rdb_saves')), 'its child has saved').toBe(saves + 1);
        digest = String(await client.call('DEBUG', 'DIGEST'));
      },
      // What the file holds is what the memory held: another server, started from it, has the same data.
      async finish() {
        {
          await using client = await connected();
          digest = String(await client.call('DEBUG', 'DIGEST'));
          await client.call('SHUTDOWN', 'NOSAVE').catch(() => {});
        }
        expect(await home.ended('app')).toBe('exited 0');
        await home.run('bare', [...redisWords(port, home.scratch), '--appendonly', 'yes']);
        await using client = await connected();
        await until('the file to be read', async () => (await redisInfo(client, 'persistence', 'loading')) === '0');
        expect(await client.call('DEBUG', 'DIGEST')).toBe(digest);
        expect(Number(await client.call('GET', 'written'))).toBe(written);
        expect(Number(await client.call('LLEN', 'log'))).toBe(written);
      },
    };
  },
};

export const sqlite: Application = {
  name: 'sqlite',
  cycleMs: 8_000,
  async start(home) {
    const port = await freePort();
    const file = join(home.scratch, 'ledger.db');
    await home.run('app', ['/usr/bin/python3', join(programs, 'sqlite_session.py'), file, String(port)]);
    await home.outputLine('app', 'listening');
    const outside = async (statement: string): Promise<string> => {
      const script =
        'import sqlite3,sys; print(sqlite3.connect(sys.argv[1], timeout=1).execute(sys.argv[2]).fetchone()[0])';
      const { code, stdout, stderr } = await home.execute(['/usr/bin/python3', '-c', script, file, statement]);
      return code === 0 ? stdout.trim() : stderr;
    };
    const sumTo = (n: number): string => String((n * (n + 1)) / 2);
    return {
      async load(cycle) {
        expect(await order(port, `/begin?${cycle}`)).toBe('begun');
      },
      async check(cycle) {
        expect(await order(port, '/sum'), 'what the transaction sees').toBe(sumTo(cycle));
        expect(await outside('SELECT coalesce(sum(v), 0) FROM ledger'), 'what others see').toBe(sumTo(cycle - 1));
        // Nobody else can write as long as the transaction is open: its locks are there again.
        expect(await outside('DELETE FROM ledger RETURNING v')).toContain('database is locked');
        expect(await order(port, '/commit')).toBe('committed');
        expect(await outside('SELECT sum(v) FROM ledger')).toBe(sumTo(cycle));
        expect(await outside('PRAGMA integrity_check')).toBe('ok');
      },
    };
  },
};

export const pipeline: Application = {
  name: 'bash-pipeline',
  cycleMs: 8_000,
  async start(home) {
    const script = join(programs, 'counting-pipeline.sh');
    // Some seconds of work, of which a checkpoint at its beginning finds every stage busy.
    const lines = 200_000;
    const hash = createHash('sha256');
    for (let line = 1; line <= lines; line++) {
      hash.update(String(line).replace(/\d/g, (digit) => String.fromCharCode(97 + Number(digit))));
      hash.update('\n');
    }
    const expected = `${hash.digest('hex')}  -\ndone 0 0 0 0 0 0\n`;
    const begin = async (): Promise<void> => {
      await home.run('app', ['bash', script, String(lines)]);
      await home.outputLine('app', 'listening');
    };
    await begin();
    return {
      async load(cycle) {
        if (cycle > 1) {
          await home.ended('app', 2_000).catch(() => {});
          await home.ok(['rm', '--force', 'app']);
          await begin();
        }
      },
      async check(cycle) {
        // Its own word: without a keeper, which the kills may have ended, nobody notes how it ended.
        await until('the end of the pipeline', () => /^done /m.test(home.output('app')), { ms: 60_000 });
        // A log that begins after the checkpoint has only what came after it.
        expect(home.output('app').replace(/^listening\n/, ''), `cycle ${cycle}`).toBe(expected);
      },
    };
  },
};
