// Postgres under pgbench, with a transaction that is open across the checkpoint. Its clients are members of the application
// (programs/postgres_session.py), as connections from outside cannot be kept without privilege. Afterwards the server's own checks and the
// sums over all accounts tell whether anything was lost.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { get as httpGet } from 'node:http';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { TestHome } from '../home.js';
import { freePort } from '../http.js';
import { programs } from '../paths.js';
import { until } from '../waiting.js';
import type { Application } from './application.js';

/** The newest server's programs: those in the PATH are wrappers that look for clusters of the system. */
export function postgresBinaries(): string {
  const root = '/usr/lib/postgresql';
  const versions = existsSync(root) ? readdirSync(root).sort((a, b) => Number(a) - Number(b)) : [];
  const newest = versions.at(-1);
  if (newest === undefined) throw new Error(`no Postgres in ${root}`);
  return join(root, newest, 'bin');
}

/** The text of one answer; the connection is closed with it. */
export function order(port: number, path: string, ms = 30_000): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = httpGet(
      { host: '127.0.0.1', port, path, agent: false, timeout: ms, headers: { connection: 'close' } },
      (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('error', reject);
        response.on('close', () =>
          response.statusCode === 200 ? resolve(text) : reject(new Error(`${path}: ${response.statusCode} ${text}`)),
        );
      },
    );
    call.on('timeout', () => call.destroy(new Error(`${path}: no answer within ${ms} ms`)));
    call.on('error', reject);
  });
}

async function psql(home: TestHome, sockets: string, statement: string): Promise<string> {
  const words = [join(postgresBinaries(), 'psql'), '-XqAt', '-h', sockets, '-c', statement, 'bench'];
  const { code, stdout, stderr } = await home.execute(words);
  expect({ code, stderr }, statement).toEqual({ code: 0, stderr: '' });
  return stdout.trim();
}

async function prepare(home: TestHome, data: string, sockets: string): Promise<void> {
  const binaries = postgresBinaries();
  const run = async (words: string[]): Promise<void> => {
    const { code, stdout, stderr } = await home.execute(words, { timeout: 120_000 });
    if (code !== 0) throw new Error(`${words.join(' ')} ended with ${code}: ${stdout}${stderr}`);
  };
  await run([join(binaries, 'initdb'), '-k', '-D', data, '-A', 'trust', '--no-sync']);
  const control = join(binaries, 'pg_ctl');
  await run([control, '-D', data, '-w', '-l', join(home.scratch, 'setup.log'), '-o', `-k ${sockets} -h ''`, 'start']);
  await run([join(binaries, 'createdb'), '-h', sockets, 'bench']);
  await run([join(binaries, 'pgbench'), '-q', '-i', '-s', '2', '-h', sockets, 'bench']);
  await psql(home, sockets, 'CREATE TABLE ledger(v int)');
  await psql(home, sockets, 'CREATE EXTENSION amcheck');
  await run([control, '-D', data, '-w', 'stop']);
}

export const postgres: Application = {
  name: 'postgres',
  cycleMs: 20_000,
  // The server refuses to run as root.
  runsAs: (user) => user.uid !== 0,
  async start(home) {
    const port = await freePort();
    const data = join(home.scratch, 'data');
    const sockets = home.scratch;
    await prepare(home, data, sockets);
    await home.run('app', [
      '/usr/bin/python3',
      join(programs, 'postgres_session.py'),
      postgresBinaries(),
      data,
      sockets,
      String(port),
    ]);
    await home.outputLine('app', 'listening', 60_000);
    let committed = 0;
    await order(port, '/load');
    const transactions = async (): Promise<number> =>
      Number(await psql(home, sockets, 'SELECT count(*) FROM pgbench_history'));
    const ledger = (): Promise<string> =>
      psql(home, sockets, "SELECT count(*) || ' ' || coalesce(sum(v), 0) FROM ledger");
    const sums = async (): Promise<void> => {
      const statement = `SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)
        AND (SELECT sum(tbalance) FROM pgbench_tellers) = (SELECT sum(delta) FROM pgbench_history)
        AND (SELECT sum(bbalance) FROM pgbench_branches) = (SELECT sum(delta) FROM pgbench_history)`;
      expect(await psql(home, sockets, statement), 'the sums over accounts, tellers and branches').toBe('t');
    };
    return {
      async load(cycle) {
        await order(port, `/begin?${cycle}`);
      },
      async check(cycle) {
        const before = await transactions();
        // The open transaction is not seen by others before it is committed, and is there after it.
        expect(await ledger()).toBe(`${committed} ${(committed * (committed + 1)) / 2}`);
        expect(await order(port, '/commit')).toBe('committed');
        committed = cycle;
        expect(await ledger()).toBe(`${committed} ${(committed * (committed + 1)) / 2}`);
        await sums();
        await until('pgbench goes on', async () => (await transactions()) > before + 10, { ms: 30_000, step: 50 });
      },
      async finish() {
        expect(await order(port, '/unload')).toMatch(/^pgbench ended/);
        await sums();
        const check = await home.execute(
          [join(postgresBinaries(), 'pg_amcheck'), '-h', sockets, '--heapallindexed', 'bench'],
          {
            timeout: 120_000,
          },
        );
        expect(check).toMatchObject({ code: 0, stderr: '' });
        expect(await order(port, '/quit')).toBe('the server ended 0');
        const log = readFileSync(join(sockets, 'server.log'), 'utf8').split('\n');
        // A client that ends is told of too; what is wrong with the data or with a call is an error or worse.
        const complaints = log.filter(
          (line) => /ERROR|PANIC|WARNING|corrupt|invalid/.test(line) && !/canceling/.test(line),
        );
        expect(complaints, 'what the server complains of').toEqual([]);
      },
    };
  },
};
