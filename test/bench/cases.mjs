// The programs that are measured. `words` is the command line of a cold start; a case with a port is ready at its first reply, one without
// when it prints "listening".

import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { end, firstReply, httpRequest, outputOf, sleep, startBare, warm, warmHttp } from './measure.mjs';
import { asServer, makeCluster, selectOne, sharedFiles } from './postgres.mjs';

export const checkout = fileURLToPath(new URL('../..', import.meta.url));
const programs = join(checkout, 'test/support/programs');
export const compiled = join(checkout, 'build/programs');
const mebibyte = 1 << 20;
const mappings = 64;
const redisGet = '*2\r\n$3\r\nGET\r\n$5\r\nkey:1\r\n';

export async function freePorts(count) {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => server.address().port);
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

export const nodeServer = (port, megabytes = 0) => [
  process.execPath,
  join(programs, 'http-node.mjs'),
  String(port),
  String(megabytes),
];

/** A dump of about 500 MB, so that a cold start of Redis has the same data as the restored one. */
async function makeRedisDump(port, words) {
  const server = startBare(words);
  try {
    await firstReply(port, 'PING\r\n');
    const redis = (...command) => outputOf(['redis-cli', '-p', String(port), ...command]);
    await redis(
      'EVAL',
      "for i = 1, 450000 do redis.call('SET', 'key:' .. i, string.rep(i .. ' ', 1000 / (#tostring(i) + 1))) end",
      '0',
    );
    await redis('SAVE');
  } finally {
    await end(server);
  }
}

/**
 * A restored server changes its files, shared memory in /dev/shm among them: each restore begins with those of the checkpoint, each cold
 * start with a copy of its own.
 */
function postgresCase({ binaries, data, cleanUp }, port) {
  const others = sharedFiles();
  const saved = [];
  const copy = (from, to) => {
    rmSync(to, { recursive: true, force: true });
    execFileSync('cp', ['-a', from, to]); // times to the nanosecond, by which a restore knows the files
  };
  const words = (directory) =>
    asServer([
      join(binaries, 'postgres'),
      ...['-D', directory, '-p', String(port), '-h', '127.0.0.1', '-k', dirname(data)],
    ]);
  copy(data, `${data}.cold`);
  return {
    name: 'postgres',
    title: 'Postgres, 6 processes',
    words: words(data),
    coldWords: words(`${data}.cold`),
    port,
    ...selectOne,
    prepare: () => sleep(500),
    saveFiles: () => {
      copy(data, `${data}.saved`);
      for (const name of sharedFiles().filter((one) => !others.includes(one))) {
        saved.push(name);
        copy(`/dev/shm/${name}`, join(dirname(data), name));
      }
    },
    cleanUp,
    putBackFiles: () => {
      copy(`${data}.saved`, data);
      for (const name of saved) copy(join(dirname(data), name), `/dev/shm/${name}`);
    },
  };
}

export async function makeCases(directory) {
  const [plain, heap, python, redis, postgres] = await freePorts(5);
  mkdirSync(join(directory, 'postgres'));
  const cluster = makeCluster(join(directory, 'postgres'));
  const redisWords = (port) => {
    const options = {
      port,
      bind: '127.0.0.1',
      save: '',
      appendonly: 'no',
      dir: directory,
      dbfilename: 'bench.rdb',
      rdbcompression: 'no',
      'enable-debug-command': 'yes',
    };
    return ['redis-server', ...Object.entries(options).flatMap(([key, value]) => [`--${key}`, String(value)])];
  };
  await makeRedisDump(redis, redisWords(redis));
  const http = (port, requests) => ({ port, request: httpRequest, prepare: () => warmHttp(port, requests) });
  const sleeper = (bytes, count) => [join(compiled, 'sleeper'), ...(bytes ? [String(bytes), String(count)] : [])];
  return [
    { name: 'sleeper', title: 'C sleeper', words: sleeper(0, 0) },
    { name: 'node', title: 'Node http', words: nodeServer(plain), ...http(plain, 2000) },
    { name: 'node-150', title: 'Node http, 150 MB heap', words: nodeServer(heap, 150), ...http(heap, 2000) },
    {
      name: 'python-200',
      title: 'python3, 200 MB',
      words: ['/usr/bin/python3', join(programs, 'threads_server.py'), String(python), '200'],
      ...http(python, 50),
    },
    {
      name: 'redis-500',
      title: 'Redis, 500 MB',
      words: redisWords(redis),
      port: redis,
      request: redisGet,
      prepare: () => warm(redis, redisGet, 50),
    },
    ...(cluster ? [postgresCase(cluster, postgres)] : []),
    { name: 'c-10', title: `C, 10 MB in ${mappings} mappings`, words: sleeper(10 * mebibyte, mappings) },
    { name: 'c-1024', title: `C, 1 GiB in ${mappings} mappings`, words: sleeper(1024 * mebibyte, mappings) },
  ];
}
