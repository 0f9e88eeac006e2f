// How long an application that goes on stands still for a checkpoint: pages read from copies of its processes ("fork"), beside the same
// checkpoint with its pages written meanwhile ("copy"), alternating in one run, and CRIU's frozen time when CRIU is given.
//
//     npm run bench -- pause [--quick] [--rounds N] [--only CASE,CASE] [--json FILE] [--write]
//
// Before every checkpoint the program is at work as it would be: a server answers, Postgres runs pgbench.

import { mkdirSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { Stasis } from '../../dist/index.js';
import { checkout, compiled, freePorts, nodeServer } from './cases.mjs';
import { Criu } from './criu.mjs';
import { end, firstReply, host, httpRequest, median, sleep, startBare, summary, warmHttp } from './measure.mjs';
import { asServer, makeCluster } from './postgres.mjs';
import { aligned, markdown } from './report.mjs';

const mebibyte = 1 << 20;

/** The bars that the project set itself, milliseconds. */
const limits = { 'c-150': 12, 'c-1024': 40, 'node-175': 16, postgres: 25 };
const criuShare = 1 / 10;

const order = (port, path) =>
  new Promise((resolve, reject) => {
    const call = get({ host: '127.0.0.1', port, path, agent: false, headers: { connection: 'close' } }, (response) => {
      response.resume();
      response.on('close', () =>
        response.statusCode === 200 ? resolve() : reject(new Error(`${path}: ${response.statusCode}`)),
      );
    });
    call.on('error', reject);
  });

/** A server, pgbench with two clients and an open transaction, all members of one application; undefined where Postgres is not installed. */
function postgresCase(directory, port) {
  const cluster = makeCluster(directory);
  if (cluster === undefined) return undefined;
  const { binaries, data, cleanUp } = cluster;
  const script = join(checkout, 'test/support/programs/postgres_session.py');
  return {
    name: 'postgres',
    title: 'Postgres under pgbench',
    words: asServer(['/usr/bin/python3', script, binaries, data, directory, String(port)]),
    ready: async () => {
      for (let tries = 0; ; tries++) {
        try {
          await order(port, '/begin?1');
          break;
        } catch (error) {
          if (tries > 600) throw error;
          await sleep(50);
        }
      }
      await order(port, '/load');
      await sleep(1000);
    },
    work: () => sleep(200),
    cleanUp,
  };
}

async function makeCases(directory) {
  const [node, postgres] = await freePorts(2);
  const sleeper = (megabytes) => ({
    words: [join(compiled, 'sleeper'), String(megabytes * mebibyte), '64'],
    ready: () => sleep(500 + megabytes * 3),
    work: () => sleep(50),
  });
  return [
    { name: 'c-150', title: 'C, 150 MB', ...sleeper(150) },
    { name: 'c-1024', title: 'C, 1 GiB', ...sleeper(1024) },
    {
      name: 'node-175',
      title: 'Node http, 150 MB heap',
      words: nodeServer(node, 150),
      ready: async () => {
        await firstReply(node, httpRequest);
        await warmHttp(node, 2000);
      },
      work: () => warmHttp(node, 50),
    },
    postgresCase(directory, postgres),
  ].filter(Boolean);
}

async function frozenByCriu(criu, entry, rounds) {
  const server = startBare(entry.words);
  try {
    await entry.ready();
    const frozen = [];
    for (let round = 0; round < rounds; round++) {
      await entry.work();
      frozen.push((await criu.dump(entry.name, server.pid, true)).pauseMs);
    }
    return frozen;
  } finally {
    await end(server);
  }
}

export async function measurePause(directory, { quick, rounds, only, say }) {
  const load = loadavg()[0];
  mkdirSync(join(directory, 'postgres'));
  const all = await makeCases(join(directory, 'postgres'));
  const cases = all.filter(({ name }) => !only || only.includes(name));
  const criu = process.env.CRIU ? new Criu(process.env.CRIU, directory) : undefined;
  const problem = criu ? await criu.problem([join(compiled, 'sleeper')]) : 'CRIU was not given';
  const stasis = await Stasis.open({ home: join(directory, 'state') });
  const results = [];
  try {
    for (const entry of cases) {
      say(entry.title);
      const application = await stasis.run(entry.words, { name: entry.name });
      await entry.ready();
      const pauses = { fork: [], copy: [] };
      let facts;
      // The first of each kind finds caches cold.
      for (let round = 0; round <= rounds; round++) {
        for (const kind of quick && round > 1 ? ['fork'] : ['fork', 'copy']) {
          await entry.work();
          const snapshot = await application.checkpoint({
            leaveRunning: true,
            ...(kind === 'copy' ? { maxCopy: 1 } : {}),
          });
          const { pauseMs, pauseKind, pageBytes, mappings, threads, processes } = snapshot.statistics;
          if (kind === 'copy' || pauseKind === 'fork') {
            if (round > 0) pauses[kind].push(pauseMs);
          }
          facts = { pageBytes, mappings, threads, processes };
          await snapshot.remove();
        }
      }
      await application.remove({ force: true });
      const frozen =
        problem === undefined &&
        (await frozenByCriu(criu, entry, Math.min(rounds, 5)).catch((error) => say(error.message)));
      results.push({
        name: entry.name,
        title: entry.title,
        ...facts,
        forkMs: summary(pauses.fork),
        copyMs: summary(pauses.copy),
        criuMs: frozen ? summary(frozen) : undefined,
      });
      writeFileSync(join(directory, 'last.json'), JSON.stringify(results));
    }
  } finally {
    for (const application of await stasis.applications()) await application.remove({ force: true });
    for (const entry of all) entry.cleanUp?.();
  }
  return { host: { ...host(), load }, rounds, criu: problem ?? criu.version, cases: results };
}

const round = (value) => (value === undefined ? '' : value.toFixed(value >= 100 ? 0 : 1));
const both = (samples) => (samples === undefined ? '' : `${round(samples.min)} / ${round(samples.median)}`);

function tableOf({ cases }) {
  const table = [['program', 'processes', 'pages, MB', 'fork, ms', 'copy, ms', 'CRIU, ms']];
  for (const entry of cases) {
    const megabytes = (entry.pageBytes / mebibyte).toFixed(0);
    table.push([
      entry.title,
      String(entry.processes),
      megabytes,
      both(entry.forkMs),
      both(entry.copyMs),
      both(entry.criuMs),
    ]);
  }
  return table;
}

function barsOf({ cases }) {
  const table = [['bar', 'limit, ms', 'measured, ms', '']];
  for (const { name, title, forkMs, criuMs } of cases) {
    const value = forkMs?.median ?? Number.POSITIVE_INFINITY;
    const add = (what, limit) => table.push([what, round(limit), round(value), value <= limit ? 'met' : 'missed']);
    if (limits[name]) add(title, limits[name]);
    if (criuMs) add(`${title}: a tenth of CRIU's frozen time`, median(criuMs.samples) * criuShare);
  }
  return table;
}

const circumstances = ({ host: machine, rounds, criu }) =>
  `minimum / median of ${rounds} rounds; ${machine.cpus} CPUs, kernel ${machine.kernel}, load ${machine.load.toFixed(1)}; ${criu}`;

export const pauseReport = (report) =>
  [
    `Pause of an application that goes on, ${circumstances(report)}`,
    '',
    aligned(tableOf(report)),
    '',
    aligned(barsOf(report)),
    '',
  ].join('\n');

/** docs/benchmarks-pause.md. */
export const pauseDocument = (report) => `# How long an application stands still

Written by \`npm run bench -- pause --write\`; do not edit the figures by hand. The pause of a checkpoint that leaves its application running (\`--leave-running\`), from the first thread that is stopped to the last that is let go: ${circumstances(report)}.

*fork*: the pages are read afterwards, from copies of the processes (docs/adr/0014-the-pause-is-a-fork.md). *copy*: the same checkpoint with its pages written while the application stands still, as it is done where there is no memory for what the application may write meanwhile. Both alternate in the same rounds, and the program is at work before each: the server answers, Postgres runs pgbench with a transaction open. *CRIU*: what it says of its frozen time, in a run of its own on the same machine.

${markdown(tableOf(report))}

## Bars

${markdown(barsOf(report))}
`;
