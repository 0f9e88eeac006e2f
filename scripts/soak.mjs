// A long run (minutes as the first argument, default 60) of what must hold again and again: a Node server is checkpointed while it goes
// on, checkpointed and restored, and restored from checkpoints of restored ones, under requests, and its counter never loses a step.
// Prints a line a minute; ends with 1 at the first lost step.
//
//     npm run build && npm run soak -- 60

import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Stasis } from '../dist/index.js';

const minutes = Number(process.argv[2] ?? 60);
const program = fileURLToPath(new URL('../test/support/programs/http-node.mjs', import.meta.url));
const home = mkdtempSync(join(tmpdir(), 'stasis-soak-'));

const freePort = () =>
  new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });

async function count(port) {
  for (let attempt = 0; attempt < 500; attempt++) {
    try {
      const reply = await fetch(`http://127.0.0.1:${port}/`, { headers: { connection: 'close' } });
      return (await reply.json()).count;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
  throw new Error(`no answer on port ${port}`);
}

const port = await freePort();
const stasis = await Stasis.open({ home });
let app = await stasis.run([process.execPath, program, String(port)], { name: 'soak' });
let expected = await count(port);
const rounds = { kept: 0, restored: 0 };
const started = Date.now();
let reported = started;

try {
  while (Date.now() - started < minutes * 60_000) {
    for (let request = 0; request < 20; request++) {
      const seen = await count(port);
      if (seen !== ++expected) throw new Error(`the counter is ${seen}, not ${expected}`);
    }
    const leaveRunning = Math.random() < 0.5;
    const snapshot = await app.checkpoint({ leaveRunning });
    if (leaveRunning) {
      rounds.kept++;
    } else {
      app = await stasis.restore(snapshot, { name: 'soak' });
      rounds.restored++;
    }
    await stasis.remove(snapshot.reference, { force: true }).catch(() => {});
    if (Date.now() - reported > 60_000) {
      reported = Date.now();
      console.log(
        `${Math.round((reported - started) / 60_000)} min: ${rounds.kept} kept, ${rounds.restored} restored, counter ${expected}`,
      );
    }
  }
  console.log(
    `soak passed: ${rounds.kept} checkpoints kept running, ${rounds.restored} restores, ${expected} requests`,
  );
} finally {
  await app.kill('SIGKILL').catch(() => {});
  rmSync(home, { recursive: true, force: true });
}
