// The main job, live: a Node HTTP server with a counter and a warm heap of 150 MB is started, asked, checkpointed (which ends it), restored
// and asked again. Written against the public library. Leaves nothing behind; fails if the counter or the heap is not what it was.
//
//     npm run demo            builds first
//     FORCE_COLOR=1 node scripts/demo.mjs | node scripts/terminal-svg.mjs --title 'npm run demo' >docs/images/demo.svg

import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import pc from 'picocolors';
import { Stasis } from '../dist/index.js';

const heapMegabytes = 150;
const deadlineMs = 60_000;
const program = fileURLToPath(new URL('../test/support/programs/http-node.mjs', import.meta.url));

/** One request on a connection of its own, tried again every millisecond until the server takes it. */
function firstReply(port, path = '/') {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const attempt = () => {
      let text = '';
      const socket = connect(port, '127.0.0.1', () =>
        socket.write(`GET ${path} HTTP/1.1\r\nhost: demo\r\nconnection: close\r\n\r\n`),
      );
      socket.setNoDelay(true);
      socket.on('data', (chunk) => {
        text += chunk;
      });
      socket.on('error', () => {});
      socket.on('close', () => {
        const body = text.split('\r\n\r\n')[1];
        if (body) resolve(JSON.parse(body.replace(/^[0-9a-f]+\r\n/, '').replace(/\r\n0$/, '')));
        else if (performance.now() - started > deadlineMs) reject(new Error(`no answer on port ${port}`));
        else setTimeout(attempt, 1);
      });
    };
    attempt();
  });
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

async function timed(action) {
  const started = performance.now();
  const value = await action();
  return { value, ms: performance.now() - started };
}

const time = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(2)} s ` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`).padStart(9);
const megabytes = (bytes) => `${Math.round(bytes / 1e6)} MB`;

// biome-ignore lint/suspicious/noControlCharactersInRegex: colours take no room
const room = (text, width) => text + ' '.repeat(Math.max(0, width - text.replace(/\x1b\[\d+m/g, '').length));

function step(what, ms, remark = '') {
  console.log(`  ${pc.green('●')} ${room(what, 36)} ${pc.bold(time(ms))}   ${remark && pc.dim(remark)}`.trimEnd());
}

function answered(path, reply) {
  const sum = reply.check === undefined ? '' : pc.dim(`   heap sum ${reply.check}`);
  console.log(`  ${pc.cyan('→')} ${room(`GET ${path}`, 16)} count ${pc.yellow(reply.count)}${sum}`);
}

const directory = mkdtempSync(join(tmpdir(), 'stasis-demo-'));
let stasis;
try {
  stasis = await Stasis.open({ home: join(directory, 'state') });
  const port = await freePort();
  console.log(
    `\n  ${pc.bold('stasis')}  ${pc.dim(`a Node HTTP server with a counter and a heap of ${heapMegabytes} MB`)}\n`,
  );

  const cold = await timed(async () => {
    const words = [process.execPath, program, String(port), String(heapMegabytes)];
    const application = await stasis.run(words, { name: 'web' });
    return { application, reply: await firstReply(port) };
  });
  const { application, reply } = cold.value;
  step('cold start to the first reply', cold.ms, `pid ${application.status().pid}`);
  answered('/', reply);
  answered('/', await firstReply(port));
  const last = await firstReply(port, '/check');
  answered('/check', last);

  const saved = await timed(() => application.checkpoint());
  const { statistics, bytes, reference } = saved.value;
  const ending = await application.wait({ timeout: deadlineMs });
  step(
    `checkpoint to ${reference}`,
    saved.ms,
    `${megabytes(bytes)}, ${statistics.threads} threads; the server is ${ending.state === 'checkpointed' ? 'gone' : ending.state}`,
  );

  const restored = await timed(() => stasis.restore(saved.value));
  const again = await timed(() => firstReply(port));
  const woken = restored.value;
  step('restore: running again', restored.ms, `pid ${woken.status().pid}, ${statistics.mappings} mappings`);
  step('restore to the first reply', restored.ms + again.ms);
  answered('/', again.value);
  const check = await firstReply(port, '/check');
  answered('/check', check);

  const ratio = cold.ms / (restored.ms + again.ms);
  console.log(
    `\n  ${pc.bold(pc.green(`${ratio.toFixed(0)} times faster`))} than a cold start, with the heap and the counter as they were\n`,
  );
  if (again.value.count !== last.count + 1 || check.count !== last.count + 2 || check.check !== last.check) {
    console.error(pc.red(`  the counter or the heap is wrong: ${JSON.stringify({ last, again: again.value, check })}`));
    process.exitCode = 1;
  }
} finally {
  for (const application of (await stasis?.applications()) ?? []) await application.remove({ force: true });
  rmSync(directory, { recursive: true, force: true });
}
