// What `stasis run` costs a Node server: requests per second over keep-alive connections, CPU time per request, and the time from the call
// that starts it to its first reply. Bare and launched alternate in short slices, and each slice is compared with its neighbour, so that a
// slow second of the machine falls on both.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { compiled, freePorts, nodeServer } from './cases.mjs';
import { end, firstReply, httpRequest, now, outputOf, startBare, summary } from './measure.mjs';

/** Both ways to start the server, with the same shape. */
function ways(stasis) {
  return {
    bare: async (words) => {
      const child = startBare(words);
      return { pid: child.pid, stop: () => end(child) };
    },
    launched: async (words) => {
      const application = await stasis.run(words, { name: 'overhead', stdio: 'ignore' });
      return { pid: application.status().pid, stop: () => application.remove({ force: true }) };
    },
  };
}

/** User and system time of a process, microseconds (fields 14 and 15 of /proc/PID/stat, in ticks of 10 ms). */
function cpuUs(pid) {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) * 10_000;
}

async function measureStarts(stasis, rounds) {
  const startMs = { bare: [], launched: [] };
  const [port] = await freePorts(1);
  for (let round = 0; round <= rounds; round++) {
    const order = Object.entries(ways(stasis));
    if (round % 2) order.reverse();
    for (const [way, start] of order) {
      const begun = now();
      const { stop } = await start(nodeServer(port));
      try {
        const ms = (await firstReply(port, httpRequest)) - begun;
        if (round > 0) startMs[way].push(ms);
      } finally {
        await stop();
      }
    }
  }
  return startMs;
}

async function measureThroughput(stasis, slices, milliseconds) {
  const ports = await freePorts(2);
  const servers = [];
  try {
    for (const [index, [way, start]] of Object.entries(ways(stasis)).entries()) {
      servers.push({ way, port: ports[index], ...(await start(nodeServer(ports[index]))), perSecond: [], cpuUs: [] });
    }
    const load = async ({ port }, ms) =>
      Number(await outputOf([join(compiled, 'load'), String(port), '16', String(ms)]));
    for (const server of servers) {
      await firstReply(server.port, httpRequest);
      await load(server, 1500);
    }
    for (let slice = 0; slice < slices; slice++) {
      for (const server of slice % 2 ? [...servers].reverse() : servers) {
        const before = cpuUs(server.pid);
        const perSecond = await load(server, milliseconds);
        server.perSecond.push(perSecond);
        server.cpuUs.push((cpuUs(server.pid) - before) / ((perSecond * milliseconds) / 1000));
      }
    }
    return Object.fromEntries(servers.map(({ way, perSecond, cpuUs: cpu }) => [way, { perSecond, cpuUs: cpu }]));
  } finally {
    for (const { stop } of servers) await stop();
  }
}

export async function runOverhead(stasis, { rounds, slices, milliseconds, say }) {
  say(`run overhead: ${rounds} starts, ${slices} slices of load`);
  const startMs = await measureStarts(stasis, rounds);
  const { bare, launched } = await measureThroughput(stasis, slices, milliseconds);
  const sum = (way, { perSecond, cpuUs: cpu }) => ({
    startMs: summary(startMs[way]),
    perSecond: summary(perSecond),
    cpuUs: summary(cpu),
  });
  return {
    bare: sum('bare', bare),
    launched: sum('launched', launched),
    throughputRatio: summary(launched.perSecond.map((value, index) => value / bare.perSecond[index])),
  };
}
