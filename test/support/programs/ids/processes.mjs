// Processes of Node: child_process, cluster, worker_threads, process.kill. Prints "id N" for each id it sees.
// With ROUNDS, a directory, it does all this again for each file that appears there: 1, 2 and so on, until one says "last".

import assert from 'node:assert/strict';
import { execFile, fork, spawn } from 'node:child_process';
import cluster from 'node:cluster';
import { once } from 'node:events';
import { existsSync, readFileSync, readlinkSync } from 'node:fs';
import { get } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { isMainThread, parentPort, Worker } from 'node:worker_threads';

const self = fileURLToPath(import.meta.url);
const show = (id) => console.log(`id ${id}`);

async function withChildren() {
  const { stdout } = await promisify(execFile)('sh', ['-c', 'echo $$ $PPID']);
  const [pid, parent] = stdout.split(' ').map(Number);
  assert.equal(parent, process.pid);
  show(pid);

  const sleeper = spawn('sleep', ['60']);
  show(sleeper.pid);
  assert.ok(process.kill(sleeper.pid, 0));
  process.kill(sleeper.pid, 'SIGTERM');
  assert.deepEqual(await once(sleeper, 'close'), [null, 'SIGTERM']);
  assert.throws(() => process.kill(sleeper.pid, 0), { code: 'ESRCH' });

  const child = fork(self, ['child']);
  child.send({ add: [20, 22] });
  const [answer] = await once(child, 'message');
  assert.deepEqual(answer, { sum: 42, pid: child.pid, parent: process.pid });
  assert.deepEqual(await once(child, 'close'), [0, null]);

  const signalled = once(process, 'SIGUSR2');
  const sender = spawn('sh', ['-c', `kill -USR2 ${process.pid}`]);
  await Promise.all([signalled, once(sender, 'close')]);
}

function child() {
  process.once('message', ({ add: [a, b] }) => {
    process.send({ sum: a + b, pid: process.pid, parent: process.ppid }, () => process.disconnect());
  });
}

async function ask(worker) {
  worker.postMessage('who');
  assert.equal((await once(worker, 'message'))[0], process.pid);
}

async function withWorkers() {
  const workers = Array.from({ length: 3 }, () => new Worker(self));
  for (const worker of workers) {
    await ask(worker);
    await worker.terminate();
  }
}

const request = (port) =>
  new Promise((resolve, reject) => {
    get({ port, host: '127.0.0.1', agent: false }, (response) => {
      let text = '';
      response.on('data', (chunk) => (text += chunk));
      response.on('end', () => resolve(Number(text)));
    }).once('error', reject);
  });

async function withCluster() {
  cluster.setupPrimary({ exec: self, args: ['server'] });
  const servers = [cluster.fork(), cluster.fork()];
  const ports = await Promise.all(servers.map(async (server) => (await once(server, 'listening'))[0].port));
  assert.equal(ports[0], ports[1]);
  const seen = new Set();
  for (let i = 0; i < 20; i++) seen.add(await request(ports[0]));
  assert.deepEqual([...seen].sort(), servers.map((server) => server.process.pid).sort());
  for (const pid of seen) show(pid);
  process.kill(servers[0].process.pid, 'SIGKILL');
  const [code, signal] = await once(servers[0], 'exit');
  assert.deepEqual([code, signal], [null, 'SIGKILL']);
  assert.equal(await request(ports[0]), servers[1].process.pid);
  servers[1].kill();
  await once(servers[1], 'exit');
  cluster.removeAllListeners();
}

async function server() {
  const { createServer } = await import('node:http');
  createServer((_, response) => response.end(String(process.pid))).listen(0, '127.0.0.1');
}

async function* rounds() {
  const { ROUNDS: directory } = process.env;
  delete process.env.ROUNDS;
  for (let round = 1, word = ''; word !== 'last'; round++) {
    if (directory === undefined) word = 'last';
    else {
      console.log(`ready ${round}`);
      const file = `${directory}/${round}`;
      while (!existsSync(file) || readFileSync(file, 'utf8') === '') await sleep(10);
      word = readFileSync(file, 'utf8');
    }
    yield round;
  }
}

if (!isMainThread) parentPort.on('message', () => parentPort.postMessage(process.pid));
else if (process.argv[2] === 'child') child();
else if (process.argv[2] === 'server') await server();
else {
  const { pid, ppid } = process;
  const lasting = new Worker(self);
  for await (const _ of rounds()) {
    assert.deepEqual([process.pid, process.ppid, readlinkSync('/proc/self')], [pid, ppid, String(pid)]);
    show(pid);
    show(ppid);
    await ask(lasting);
    await withChildren();
    await withWorkers();
    await withCluster();
  }
  await lasting.terminate();
  console.log('PASS');
}
