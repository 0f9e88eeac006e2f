// What interposition costs: the same work bare, under a plain `stasis run`, and with translated ids (`--shift-ids`, which is what a restored
// application pays). Each round does all three in turn, the order changing from round to round, and a ratio is the median over the rounds of
// neighbours' ratios, so that a slow second of the machine falls on all.
//
// Single calls and births are timed inside the program (test/support/programs/calls.c); commands are repeated by a program that is launched
// (repeat.c); of servers, one of each way runs at a time and the client is the same.

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, chownSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { Stasis } from '../../dist/index.js';
import { checkout, compiled, freePorts, nodeServer } from './cases.mjs';
import { end, firstReply, host, httpRequest, median, outputOf, sleep, startBare, summary } from './measure.mjs';
import { aligned } from './report.mjs';

const shift = 100_000;
const ways = { bare: undefined, plain: {}, shifted: { shiftIds: shift } };
const command = join(checkout, 'dist/cli/main.js');

/** What the issue of virtual identity asks for: `more` is a throughput, which is to stay; the others are times, which are to stay low. */
const bars = {
  getpid: { most: 1.5 },
  gettid: { most: 1.5 },
  kill: { most: 1.5 },
  'fork+exec+wait': { most: 1.35 },
  pthread: { most: 1.5 },
  read: { mostNs: 45 },
  write: { mostNs: 45 },
  futex: { mostNs: 45 },
  epoll_wait: { mostNs: 45 },
  'python start': { most: 1.08 },
  'make -j2, 30 files': { most: 1.03 },
  'redis set': { least: 0.97 },
  'redis get': { least: 0.97 },
  'redis set, pipelined': { least: 0.97 },
  'redis get, pipelined': { least: 0.97 },
  'node http, keep-alive': { least: 0.97 },
  'node http, new connections': { least: 0.95 },
  'pgbench -S': { least: 0.97 },
};

/** Words that run a program in the foreground in one of the ways. */
function inWay(way, words) {
  if (way === 'bare') return words;
  const options = way === 'shifted' ? ['--shift-ids', String(shift)] : [];
  return [process.execPath, command, 'run', ...options, '--', ...words];
}

/** Ways in an order that changes from round to round. */
function order(round) {
  const names = Object.keys(ways);
  const turned = names.map((_, index) => names[(index + round) % names.length]);
  return round % 2 ? turned.reverse() : turned;
}

async function measureCalls({ rounds, milliseconds }, record) {
  for (let round = 0; round < rounds; round++) {
    for (const way of order(round)) {
      const output = await outputOf(inWay(way, [join(compiled, 'calls'), '/bin/true', String(milliseconds)]));
      for (const line of output.trim().split('\n')) {
        const [name, ns] = line.split(' ');
        record(name, 'ns', way, Number(ns));
      }
    }
  }
}

async function measureCommand(name, words, { rounds, times }, record) {
  for (let round = 0; round < rounds; round++) {
    for (const way of order(round)) {
      const output = await outputOf(inWay(way, [join(compiled, 'repeat'), String(times), ...words]));
      record(name, 'us', way, median(output.trim().split('\n').map(Number)));
    }
  }
}

function makeProject(directory) {
  mkdirSync(directory);
  const names = Array.from({ length: 30 }, (_, index) => `part${index}`);
  for (const name of names) {
    writeFileSync(
      join(directory, `${name}.c`),
      `#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\nint ${name}(int n){char b[64];snprintf(b,sizeof b,"%d",n);return atoi(b)+(int)strlen(b);}\n`,
    );
  }
  writeFileSync(join(directory, 'main.c'), `int part0(int);\nint main(void){return part0(1)!=2;}\n`);
  writeFileSync(
    join(directory, 'Makefile'),
    `all: program\nprogram: main.o ${names.map((name) => `${name}.o`).join(' ')}\n\tgcc -o $@ $^\n%.o: %.c\n\tgcc -O1 -c -o $@ $<\n`,
  );
}

/** Starts a server; its words may depend on the way. Ended by SIGINT, so that Postgres takes its shared memory with it. */
async function startServer(stasis, way, words) {
  if (way === 'bare') {
    const child = startBare(words);
    return async () => {
      child.kill('SIGINT');
      await Promise.race([once(child, 'exit'), sleep(10_000)]);
      await end(child);
    };
  }
  const application = await stasis.run(words, { name: `bench-${way}`, stdio: 'ignore', ...ways[way] });
  return async () => {
    await application.kill('SIGINT');
    await application.wait({ timeout: 10_000 }).catch(() => undefined);
    await application.remove({ force: true });
  };
}

/** All three servers run; each slice of load falls on one of them. */
async function measureServer(stasis, start, slices, record) {
  const stops = [];
  try {
    const servers = {};
    for (const way of Object.keys(ways)) {
      const { words, ready, load } = await start(way);
      stops.push(await startServer(stasis, way, words));
      await ready();
      servers[way] = load;
    }
    for (const way of Object.keys(ways)) await servers[way]();
    for (let slice = 0; slice < slices; slice++) {
      for (const way of order(slice)) {
        for (const [name, perSecond] of Object.entries(await servers[way]())) record(name, '/s', way, perSecond);
      }
    }
  } finally {
    for (const stop of stops) await stop();
  }
}

async function nodeStart(milliseconds) {
  const [port] = await freePorts(1);
  const load = async (...more) =>
    Number(await outputOf([join(compiled, 'load'), String(port), '16', String(milliseconds), ...more]));
  return {
    words: nodeServer(port),
    ready: () => firstReply(port, httpRequest),
    load: async () => ({
      'node http, keep-alive': await load(),
      'node http, new connections': await load('new'),
    }),
  };
}

async function redisStart(directory, requests) {
  const [port] = await freePorts(1);
  const words = ['redis-server', '--port', String(port), '--bind', '127.0.0.1', '--save', '', '--dir', directory];
  const load = async (pipeline, count) => {
    const output = await outputOf(
      ['redis-benchmark', '-p', port, '-t', 'set,get', '-n', count, '-P', pipeline, '-c', 16, '--csv'].map(String),
    );
    const rate = (name) => Number(new RegExp(`^"${name}","([\\d.]+)"`, 'm').exec(output)?.[1]);
    return [rate('SET'), rate('GET')];
  };
  return {
    words,
    ready: () => firstReply(port, 'PING\r\n'),
    load: async () => {
      const [set, get] = await load(1, requests);
      const [setPipelined, getPipelined] = await load(16, requests * 8);
      return {
        'redis set': set,
        'redis get': get,
        'redis set, pipelined': setPipelined,
        'redis get, pipelined': getPipelined,
      };
    },
  };
}

/** One cluster for all, copied; the server may not be root's. */
async function preparePostgres(directory) {
  const versions = readdirSync('/usr/lib/postgresql').sort((a, b) => Number(a) - Number(b));
  const bin = `/usr/lib/postgresql/${versions.at(-1)}/bin`;
  const uid = process.getuid() || 1000;
  const as = process.getuid() === 0 ? ['setpriv', `--reuid=${uid}`, `--regid=${uid}`, '--clear-groups', '--'] : [];
  const own = join(directory, 'postgres');
  mkdirSync(own);
  chownSync(own, uid, uid);
  chmodSync(directory, 0o711);
  const data = (way) => join(own, way);
  await outputOf([...as, `${bin}/initdb`, '-D', data('first'), '-U', 'tester', '-A', 'trust', '--no-sync']);
  const server = (way, port) => [
    ...as,
    ...[`${bin}/postgres`, '-D', data(way), '-p', String(port), '-k', own, '-h', '', '-c', 'fsync=off'],
  ];
  const client = (program, port, ...words) =>
    outputOf([...as, `${bin}/${program}`, '-h', own, '-p', String(port), '-U', 'tester', ...words]);
  const answers = async (port) => {
    for (let i = 0; i < 300; i++) {
      if (await client('psql', port, '-Xc', 'select 1', 'postgres').catch(() => undefined)) return;
      await sleep(100);
    }
    throw new Error('postgres does not answer');
  };
  const [port] = await freePorts(1);
  const first = spawn(server('first', port)[0], server('first', port).slice(1), { stdio: 'ignore' });
  await answers(port);
  await client('pgbench', port, '-i', '-q', '-s', '1', 'postgres');
  const ended = once(first, 'exit');
  first.kill('SIGINT');
  await ended;
  for (const way of Object.keys(ways)) await outputOf([...as, 'cp', '-a', data('first'), data(way)]);
  return async (way, seconds) => {
    const [own] = await freePorts(1);
    return {
      words: server(way, own),
      ready: () => answers(own),
      load: async () => {
        const output = await client(
          'pgbench',
          own,
          '-S',
          '-n',
          '-c',
          '4',
          '-j',
          '1',
          '-T',
          String(seconds),
          'postgres',
        );
        return { 'pgbench -S': Number(/tps = ([\d.]+)/.exec(output)?.[1]) };
      },
    };
  };
}

function ratioOf(samples, way) {
  return summary(samples[way].map((value, round) => value / samples.bare[round]));
}

export async function measureInterposition(directory, { quick, rounds, only, say }) {
  process.env.STASIS_HOME = join(directory, 'home');
  const stasis = await Stasis.open({ home: process.env.STASIS_HOME });
  const load = loadavg()[0];
  const results = new Map();
  const record = (name, unit, way, value) => {
    const entry = results.get(name) ?? { name, unit, samples: { bare: [], plain: [], shifted: [] } };
    results.set(name, entry);
    entry.samples[way].push(value);
  };
  const parts = {
    calls: () => measureCalls({ rounds, milliseconds: quick ? 20 : 60 }, record),
    python: () =>
      measureCommand('python start', ['/usr/bin/python3', '-c', 'pass'], { rounds, times: quick ? 5 : 20 }, record),
    make: () => {
      const project = join(directory, 'project');
      makeProject(project);
      const build = ['sh', '-c', `cd ${project} && rm -f *.o program && make -s -j2`];
      return measureCommand('make -j2, 30 files', build, { rounds: quick ? 2 : Math.min(rounds, 5), times: 1 }, record);
    },
    redis: () =>
      measureServer(stasis, () => redisStart(directory, quick ? 10_000 : 40_000), quick ? 3 : rounds, record),
    node: () => measureServer(stasis, () => nodeStart(quick ? 300 : 700), quick ? 4 : rounds, record),
    postgres: async () => {
      const start = await preparePostgres(directory);
      await measureServer(stasis, (way) => start(way, 1), quick ? 3 : rounds, record);
    },
  };
  try {
    for (const [name, measure] of Object.entries(parts)) {
      if (only && !only.includes(name)) continue;
      say(`interposition: ${name}`);
      await measure();
    }
  } finally {
    for (const application of await stasis.applications()) await application.remove({ force: true });
  }
  const cases = [...results.values()].map(({ name, unit, samples }) => {
    const [plain, shifted] = [ratioOf(samples, 'plain'), ratioOf(samples, 'shifted')];
    const addedNs = (way) => median(samples[way].map((value, round) => value - samples.bare[round]));
    const met = (way, ratio) => {
      const bar = bars[name];
      if (bar === undefined) return undefined;
      if (bar.least !== undefined) return ratio.median >= bar.least;
      return bar.most !== undefined ? ratio.median <= bar.most : addedNs(way) <= bar.mostNs;
    };
    return {
      name,
      unit,
      ...Object.fromEntries(Object.entries(samples).map(([way, values]) => [way, summary(values)])),
      ratio: { plain, shifted },
      ...(unit === 'ns' ? { addedNs: { plain: addedNs('plain'), shifted: addedNs('shifted') } } : {}),
      bar: bars[name],
      met: { plain: met('plain', plain), shifted: met('shifted', shifted) },
    };
  });
  return {
    date: new Date().toISOString(),
    host: { ...host(), load },
    rounds,
    cases,
  };
}

export function interpositionReport({ cases, host: machine, rounds }) {
  const number = (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(1));
  const barText = (bar) =>
    bar === undefined
      ? ''
      : bar.least !== undefined
        ? `>= ${bar.least}`
        : bar.most !== undefined
          ? `<= ${bar.most}`
          : `<= +${bar.mostNs} ns`;
  const verdict = (met) => (met === undefined ? '' : met ? 'met' : 'missed');
  const rows = cases.map(({ name, unit, bare, plain, shifted, ratio, bar, met }) => [
    name,
    unit,
    number(bare.median),
    number(plain.median),
    number(shifted.median),
    ratio.plain.median.toFixed(2),
    ratio.shifted.median.toFixed(2),
    barText(bar),
    verdict(met.plain),
    verdict(met.shifted),
  ]);
  const heading = ['case', 'unit', 'bare', 'plain', 'shifted', 'plain/bare', 'shifted/bare', 'bar', 'plain', 'shifted'];
  return `\nLinux ${machine.kernel}, ${machine.cpu}, ${machine.cpus} CPUs, ${rounds} rounds, load ${machine.load.toFixed(1)} at the start. Medians.\n\n${aligned([heading, ...rows])}\n`;
}
