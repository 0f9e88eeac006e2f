// Servers written for common runtimes, each through the course of support/servers.ts, as each user.

import { join } from 'node:path';
import { describe, test } from 'vitest';
import { compiledPrograms, programs } from '../support/paths.js';
import { type Server, serverCourse } from '../support/servers.js';
import { users } from '../support/users.js';

const node = process.execPath;

const servers: Record<string, Server> = {
  'node http': { words: (port) => [node, join(programs, 'http-node.mjs'), String(port)], warm: 200 },
  'node http with a 60 MB heap': {
    words: (port) => [node, join(programs, 'http-node.mjs'), String(port), '60'],
    path: '/check',
    constant: 'check',
  },
  'node worker_threads': {
    words: (port) => [node, join(programs, 'workers-node.mjs'), String(port)],
    growing: ['ticks'],
  },
  'python3 threads': {
    words: (port) => ['/usr/bin/python3', join(programs, 'threads_server.py'), String(port)],
    path: '/check',
    constant: 'check',
    growing: ['ticks', 'woken'],
  },
  'python3 asyncio': {
    words: (port) => ['/usr/bin/python3', join(programs, 'asyncio_server.py'), String(port)],
    growing: ['naps'],
  },
  java: {
    words: (port, home) => [
      'java',
      '-XX:-UsePerfData',
      `-Djava.io.tmpdir=${home.scratch}`,
      '-Xmx256m',
      '-cp',
      compiledPrograms,
      'HttpServer',
      String(port),
    ],
    constant: 'check',
    growing: ['ticks'],
  },
  'go, static': {
    words: (port) => [join(compiledPrograms, 'http-go'), String(port)],
    constant: 'check',
    growing: ['ticks', 'rounds'],
  },
};

describe.each(users)('as $name', (user) => {
  test.each(Object.entries(servers))('%s', { timeout: 180_000 }, async (_name, server) => {
    await serverCourse(user, server);
  });
});
