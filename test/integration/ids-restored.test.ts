// Real programs whose processes and threads are born, signalled and waited for after a restore, while the program remembers ids from before:
//
//     run, ready 1, checkpoint                 -> program@1
//     restore program@1 twice, side by side    -> one and two do the first round
//     checkpoint one, ready 2                  -> one@1
//     restore one@1                            -> third and two do the last round and pass
//
// After a plain launch and with shifted ids, where those that are born after a restore are shifted as well.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { LibraryAgent } from '../support/agent.js';
import { TestHome } from '../support/home.js';
import { freePort } from '../support/http.js';
import { idPrograms, ids, shift } from '../support/id-programs.js';
import { compiledPrograms } from '../support/paths.js';
import { fill, Redis, redisInfo, redisWords, saveInChild } from '../support/redis.js';
import { users } from '../support/users.js';
import { until } from '../support/waiting.js';

const modes = [
  { mode: 'after a plain launch', options: {} },
  { mode: 'with shifted ids', options: { shiftIds: shift } },
];

describe.each(users)('as $name', (user) => {
  // The runtime watches the numbers of signalfds by filters of its own, which stay when they are closed.
  test.concurrent.each(['signalfd-closed', 'signalfd-exec'])('a program that had signalfds once: %s', async (kind) => {
    await using home = TestHome.create(user);
    const agent = new LibraryAgent(home);
    await agent.run('program', [join(compiledPrograms, 'refused'), kind], {}, { shiftIds: shift });
    await home.outputLine('program', 'listening');
    const filters = /^Seccomp_filters:\t(\d+)$/m.exec(readFileSync(`/proc/${home.pid('program')}/status`, 'utf8'));
    expect(Number(filters?.[1])).toBeGreaterThan(1);
    await agent.checkpoint('program');
    await agent.restore('program@1', 'copy', { shiftIds: shift });
    await until('a tick', () => /^\d+\n/.test(home.output('copy')));
  });

  describe.each(modes)('$mode', ({ options }) => {
    test.concurrent.each(Object.entries(idPrograms))('%s', async (_name, words) => {
      await using home = TestHome.create(user);
      const agent = new LibraryAgent(home);
      const rounds = join(home.scratch, 'rounds');
      mkdirSync(rounds);
      await agent.run('program', words, { ROUNDS: rounds }, options);
      await home.outputLine('program', 'ready 1');
      const own = home.pid('program') + (options.shiftIds ?? 0);
      await agent.checkpoint('program');
      for (const name of ['one', 'two']) await agent.restore('program@1', name, options);

      writeFileSync(join(rounds, '1'), 'more');
      for (const name of ['one', 'two']) await home.outputLine(name, 'ready 2');
      await agent.checkpoint('one');
      await agent.restore('one@1', 'third', options);
      writeFileSync(join(rounds, '2'), 'last');
      for (const name of ['two', 'third']) {
        await home.outputLine(name, 'PASS');
        expect(await home.ended(name)).toBe('exited 0');
      }

      for (const name of ['one', 'two', 'third']) {
        const seen = ids(home.output(name));
        expect(seen, name).toContain(own);
        expect(home.pid(name)).not.toBe(home.pid('program'));
        if (options.shiftIds !== undefined) expect(Math.min(...seen), name).toBeGreaterThan(shift);
      }
    });

    test.concurrent('redis with BGSAVE and a rewrite of its AOF', async () => {
      await using home = TestHome.create(user);
      const agent = new LibraryAgent(home);
      const port = await freePort();
      const client = (): Promise<Redis> => until('redis', () => Redis.connect(port).catch(() => undefined));
      await agent.run('redis', [...redisWords(port, home.scratch), '--appendonly', 'yes'], {}, options);
      const own = String(home.pid('redis') + (options.shiftIds ?? 0));
      let digest: unknown;
      {
        await using redis = await client();
        expect(await redisInfo(redis, 'server', 'process_id')).toBe(own);
        await fill(redis, 5000, 1);
        digest = await redis.call('DEBUG', 'DIGEST');
      }
      let name = 'redis';
      for (const next of ['second', 'third']) {
        await agent.checkpoint(name);
        await agent.restore(`${name}@1`, next, options);
        name = next;
        await using redis = await client();
        expect(await redisInfo(redis, 'server', 'process_id')).toBe(own);
        await saveInChild(redis, 'BGSAVE');
        await saveInChild(redis, 'BGREWRITEAOF');
        await redis.call('DEBUG', 'RELOAD');
        expect(await redis.call('DEBUG', 'DIGEST')).toBe(digest);
      }
      {
        await using redis = await client();
        redis.call('SHUTDOWN', 'SAVE').catch(() => {});
        expect(await home.ended('third')).toBe('exited 0');
      }
    });
  });
});
