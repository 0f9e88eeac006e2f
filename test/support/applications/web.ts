// Servers of several processes that answer HTTP: nginx with workers under wrk, a Node cluster with children, a Python Pool, servers in Java
// and Go with requests on their way.

import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { TestHome } from '../home.js';
import { firstAnswer, freePort, get } from '../http.js';
import { compiledPrograms, programs } from '../paths.js';
import { until } from '../waiting.js';
import type { Application } from './application.js';

function digestOf(port: number, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const call = request({ host: '127.0.0.1', port, path, agent: false, timeout: 20_000 }, (response) => {
      const hash = createHash('sha256');
      response.on('data', (chunk: Buffer) => hash.update(chunk));
      response.on('error', reject);
      response.on('close', () => resolve(`${response.statusCode} ${hash.digest('hex')}`));
    });
    call.on('timeout', () => call.destroy(new Error('no answer')));
    call.on('error', reject);
    call.end();
  });
}

/** A load from outside for the time of a checkpoint, whose connections the application may lose. */
function wrk(home: TestHome, port: number, path: string): { stop(): Promise<void> } {
  const child = home.spawn(['wrk', '-t1', '-c8', '-d60', `http://127.0.0.1:${port}${path}`], {}, { stdio: 'ignore' });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  return {
    async stop() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

/** With wrk at work during the checkpoint, whose connections are lost. */
export const nginx: Application = {
  name: 'nginx',
  cycleMs: 12_000,
  async start(home) {
    const port = await freePort();
    const root = join(home.scratch, 'nginx');
    for (const name of ['', 'html', 'logs', 'body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'])
      mkdirSync(join(root, name), { recursive: true });
    const body = randomBytes(300_000);
    writeFileSync(join(root, 'html', 'page'), body);
    writeFileSync(join(root, 'html', 'small'), 'small');
    const places = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
    writeFileSync(
      join(root, 'nginx.conf'),
      `daemon off; worker_processes 2; pid ${root}/nginx.pid; error_log ${root}/logs/error.log;
${home.user.privileged ? 'user root;' : ''}
events { worker_connections 128; }
http { access_log ${root}/logs/access.log; ${places.map((place) => `${place}_temp_path ${root}/${place};`).join(' ')}
  limit_req_zone $binary_remote_addr zone=one:1m rate=100000r/s;
  server { listen 127.0.0.1:${port}; location / { root ${root}/html; limit_req zone=one burst=100000 nodelay; } } }`,
    );
    if (home.user.uid !== process.getuid?.()) execFileSync('chown', ['-R', `${home.user.uid}:${home.user.gid}`, root]);
    await home.run('app', [
      '/usr/sbin/nginx',
      '-p',
      root,
      '-c',
      join(root, 'nginx.conf'),
      '-e',
      join(root, 'logs', 'error.log'),
    ]);
    const expected = `200 ${createHash('sha256').update(body).digest('hex')}`;
    await until(
      'nginx',
      () =>
        digestOf(port, '/page').then(
          (digest) => digest === expected,
          () => false,
        ),
      { ms: 20_000 },
    );
    let load: { stop(): Promise<void> } | undefined;
    return {
      checkpoint: ['--tcp-close'],
      async load() {
        load = wrk(home, port, '/small');
        await until('requests', () => digestOf(port, '/page').then((digest) => digest === expected), { ms: 10_000 });
      },
      async unload() {
        await load?.stop();
      },
      async check(cycle) {
        for (let i = 0; i < 30; i++) expect(await digestOf(port, '/page'), `cycle ${cycle}`).toBe(expected);
        await load?.stop();
      },
    };
  },
};

export const nodeCluster: Application = {
  name: 'node-cluster',
  cycleMs: 12_000,
  async start(home) {
    const port = await freePort();
    await home.run('app', [process.execPath, join(programs, 'cluster-node.mjs'), String(port)]);
    await home.outputLine('app', 'listening');
    let last: Record<string, number> = { 1: 0, 2: 0 };
    const moved = (messages: Record<string, number>): boolean =>
      [1, 2].every((id) => (messages[id] ?? 0) > (last[id] ?? 0) + 20);
    const goesOn = async (): Promise<void> => {
      const answer = await until(
        'messages through both workers',
        async () => {
          const seen = await firstAnswer(port);
          return seen.messages !== undefined && moved(seen.messages) ? seen : undefined;
        },
        { ms: 20_000 },
      );
      expect(answer.gaps, 'messages lost, doubled or out of order').toBe(0);
      last = answer.messages;
    };
    await goesOn();
    return { load: goesOn, check: goesOn };
  },
};

export const pool: Application = {
  name: 'python-pool',
  cycleMs: 12_000,
  async start(home) {
    const port = await freePort();
    await home.run('app', ['/usr/bin/python3', join(programs, 'pool.py'), String(port)]);
    await home.outputLine('app', 'listening');
    let last = { count: 0, results: 0 };
    const goesOn = async (): Promise<void> => {
      const answer = await until('results', async () => {
        const seen = await firstAnswer(port);
        return seen.results > last.results + 20 ? seen : undefined;
      });
      expect(answer.wrong, 'results that are wrong or out of order').toBe(0);
      expect(answer.count).toBeGreaterThan(last.count);
      last = answer;
    };
    await goesOn();
    return { load: goesOn, check: goesOn };
  },
};

/** A server of one process under requests, whose answers count them. */
function counting(name: string, words: (port: number, home: TestHome) => string[]): Application {
  return {
    name,
    cycleMs: 12_000,
    async start(home) {
      const port = await freePort();
      await home.run('app', words(port, home));
      await home.outputLine('app', 'listening', 60_000);
      const first = await firstAnswer(port);
      let count = first.count;
      const some = async (): Promise<void> => {
        await firstAnswer(port);
        count++;
        for (let i = 0; i < 20; i++) expect((await get(port)).count).toBe(++count);
      };
      return {
        load: some,
        async check() {
          await some();
          expect((await get(port)).check, 'the sum over its data').toBe(first.check);
          count++;
        },
      };
    },
  };
}

export const java = counting('java', (port, home) => [
  'java',
  '-XX:-UsePerfData',
  `-Djava.io.tmpdir=${home.scratch}`,
  '-Xmx256m',
  '-cp',
  compiledPrograms,
  'HttpServer',
  String(port),
]);
export const go = counting('go', (port) => [join(compiledPrograms, 'http-go'), String(port)]);
