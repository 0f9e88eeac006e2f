// What `stasis run` costs a Node server: requests per second over keep-alive connections, and the time from the call that starts it to its
// first reply. Bare and launched alternate.

import { createServer } from 'node:net';
import { join } from 'node:path';
import { compiled, nodeServer } from './cases.mjs';
import { end, firstReply, httpRequest, now, outputOf, startBare, summary, warm } from './measure.mjs';

async function freePort() {
  const server = createServer();
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Both ways to start the server, with the same shape. */
function ways(stasis) {
  return {
    bare: async (words) => {
      const child = startBare(words);
      return () => end(child);
    },
    launched: async (words) => {
      const application = await stasis.run(words, { name: 'overhead', stdio: 'ignore' });
      return () => application.remove({ force: true });
    },
  };
}

export async function runOverhead(stasis, { rounds, milliseconds, say }) {
  const samples = { bare: { startMs: [], perSecond: [] }, launched: { startMs: [], perSecond: [] } };
  const port = await freePort();
  for (let round = 0; round <= rounds; round++) {
    say(round === 0 ? 'run overhead: warm-up' : `run overhead: round ${round} of ${rounds}`);
    const order = Object.entries(ways(stasis));
    if (round % 2) order.reverse();
    for (const [way, start] of order) {
      const begun = now();
      const stop = await start(nodeServer(port));
      try {
        const startMs = (await firstReply(port, httpRequest)) - begun;
        await warm(port, httpRequest, 200);
        const load = (ms) => outputOf([join(compiled, 'load'), String(port), '16', String(ms)]);
        await load(milliseconds / 2);
        const perSecond = Number(await load(milliseconds));
        if (round > 0) {
          samples[way].startMs.push(startMs);
          samples[way].perSecond.push(perSecond);
        }
      } finally {
        await stop();
      }
    }
  }
  const sum = ({ startMs, perSecond }) => ({ startMs: summary(startMs), perSecond: summary(perSecond) });
  return { bare: sum(samples.bare), launched: sum(samples.launched) };
}
