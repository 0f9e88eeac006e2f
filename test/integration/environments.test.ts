// Environments: two copies of one server side by side, each with the address it asked for and reached by its own clients; published
// ports; what is said about them from outside.

import { createSocket } from 'node:dgram';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Stasis } from '../../src/index.js';
import { TestHome } from '../support/home.js';
import { freePort, get } from '../support/http.js';
import { guestBinaries, programs } from '../support/paths.js';
import { users } from '../support/users.js';
import { until } from '../support/waiting.js';

const guests = ['net-tcp', 'net-tcp.musl', 'net-udp', 'net-udp.static', 'net-inherit', 'net-signals'];

const client = `
  const { get } = require('node:http');
  for (const url of process.argv.slice(1)) get(url, { agent: false }, (response) => response.pipe(process.stdout)).on('error', (e) => console.log(e.code));
`;

describe.each(users)('as $name', (user) => {
  test.each(guests)('%s in an environment', async (guest) => {
    await using home = TestHome.create(user);
    const inside = await home.stasis(
      ['run', '--environment', 'one', '-e', 'GUEST_ADDRESS=10.10.0.1', '--', join(guestBinaries, guest)],
      { timeout: 30_000 },
    );
    expect(inside).toMatchObject({ code: 0, stdout: 'PASS\n' });
  });

  test('two copies of a server have the same address, and their clients the right one', {
    timeout: 90_000,
  }, async () => {
    await using home = TestHome.create(user);
    const ports = [await freePort(), await freePort()];
    for (const [index, name] of ['left', 'right'].entries()) {
      await home.ok([
        ...['run', '--detach', '--name', name, '--environment', name, '--publish', `127.0.0.1:${ports[index]}:8080`],
        ...['-e', `NAME=${name}`, '--', process.execPath, join(programs, 'names-node.mjs'), '8080'],
      ]);
    }
    for (const [index, name] of ['left', 'right'].entries()) {
      await home.outputLine(name, 'listening');
      const bound = { address: '::', family: 'IPv6', port: 8080 };
      // From outside, by the published port.
      const remoteAddress = '::ffff:10.10.0.254';
      const localAddress = '::ffff:10.10.0.1';
      expect(await get(ports[index] ?? 0)).toEqual({ name, bound, localAddress, localPort: 8080, remoteAddress });
      // From inside, as a neighbour.
      const answer = await home.ok([
        ...['run', '--environment', name, '--', process.execPath, '-e', client, 'http://10.10.0.1:8080/'],
      ]);
      expect(JSON.parse(answer)).toMatchObject({ name, localAddress, remoteAddress: '::ffff:10.10.0.2' });
      // A neighbour's loopback is its own.
      expect(
        await home.ok(['run', '--environment', name, '--', process.execPath, '-e', client, 'http://127.0.0.1:8080/']),
      ).toBe('ECONNREFUSED\n');
    }

    const listed = await home.ok(['ps', '--json']);
    for (const [index, name] of ['left', 'right'].entries()) {
      const { environment, ports: open } = listed.find((one: { name: string }) => one.name === name);
      const network = environment.network;
      expect(environment).toMatchObject({
        name,
        host: 1,
        publish: [{ address: '127.0.0.1', port: ports[index], inside: 8080 }],
      });
      const real = { realAddress: `127.${network}.0.1`, realPort: 8080 };
      expect(open).toEqual([{ protocol: 'tcp', address: '10.10.0.1', port: 8080, ...real }]);
      const shown = `10.10.0.1:8080=127.${network}.0.1:8080 127.0.0.1:${ports[index]}>8080`;
      expect(await home.ok(['ps'])).toContain(shown);
    }
  });

  test('a large answer and many connections at once by way of a published port', { timeout: 90_000 }, async () => {
    await using home = TestHome.create(user);
    const port = await freePort();
    const bytes = 40_000_000;
    const program = `
      const body = Buffer.alloc(${bytes}, 'x');
      require('node:http').createServer((request, response) => {
        if (request.url === '/big') return response.end(body);
        setTimeout(() => response.end(JSON.stringify({ url: request.url })), 20);
      }).listen(80, '0.0.0.0', () => console.log('listening'));
    `;
    await home.ok([
      ...['run', '--detach', '--name', 'web', '--environment', 'web', '--publish', `127.0.0.1:${port}:80`],
      ...['--', process.execPath, '-e', program],
    ]);
    await home.outputLine('web', 'listening');
    const big = await fetch(`http://127.0.0.1:${port}/big`);
    expect((await big.arrayBuffer()).byteLength).toBe(bytes);
    const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => get(port, `/${i}`)));
    expect(answers.map(({ url }) => url)).toEqual(answers.map((_, i) => `/${i}`));
  });

  test('datagrams by way of a published port', { timeout: 60_000 }, async () => {
    await using home = TestHome.create(user);
    const port = await freePort();
    await home.ok([
      ...['run', '--detach', '--name', 'echo', '--environment', 'echo', '--publish', `127.0.0.1:${port}:5353/udp`],
      ...['--', process.execPath, join(programs, 'udp-echo.mjs'), '0.0.0.0', '5353'],
    ]);
    await home.outputLine('echo', 'bound 0.0.0.0:5353');
    await home.outputLine('echo', 'listening');
    for (const word of ['one', 'two']) {
      const socket = createSocket('udp4');
      let answer: string | undefined;
      socket.on('message', (data) => {
        answer = data.toString();
      });
      // Datagrams may get lost.
      await until(
        'an answer',
        () => {
          socket.send(word, port, '127.0.0.1');
          return answer;
        },
        { ms: 10_000, step: 50 },
      );
      socket.close();
      expect(answer).toBe(`${word} from 10.10.0.254`);
    }
  });

  test('a taken port is refused at the start, and nothing is left', { timeout: 60_000 }, async () => {
    await using home = TestHome.create(user);
    const port = await freePort();
    const sleeper = (name: string): string[] => [
      ...['run', '--detach', '--name', name, '--environment', name, '--publish', `127.0.0.1:${port}:8080`],
      ...['--', 'sleep', '60'],
    ];
    await home.ok(sleeper('first'));
    const refused = await home.stasis(sleeper('second'));
    expect(refused.code).not.toBe(0);
    expect(refused.stderr).toContain(`publishing 127.0.0.1:${port}: Address already in use`);
    expect((await home.ok(['ps', '--all', '--json'])).map(({ name }: { name: string }) => name)).toEqual(['first']);
    await home.ok(['kill', 'first']);
    await home.ended('first');
    await home.ok(sleeper('second'));
  });

  test('a checkpoint is refused, and the application goes on', { timeout: 60_000 }, async () => {
    await using home = TestHome.create(user);
    await home.ok(['run', '--detach', '--name', 'app', '--environment', 'one', '--', 'sleep', '60']);
    const refused = await home.stasis(['checkpoint', 'app']);
    expect(refused).toMatchObject({ code: 3, stdout: '' });
    expect(refused.stderr).toContain('app is in the environment one');
    expect(home.status('app').state).toBe('running');
  });

  test('the names of redis: its own for its clients, its loopback for itself', { timeout: 60_000 }, async () => {
    await using home = TestHome.create(user);
    for (const name of ['left', 'right']) {
      // Protected mode answers clients of the loopback only, so the server must tell those from its neighbours.
      const script = `redis-server --save '' >log & until redis-cli set who ${name}; do sleep 0.1; done; echo ready; wait`;
      await home.ok(['run', '--detach', '--name', name, '--environment', name, '--', 'bash', '-c', script]);
      await home.outputLine(name, 'ready');
    }
    for (const name of ['left', 'right']) {
      const inside = ['run', '--environment', name, '--', 'redis-cli', '-h', '10.10.0.1', 'ping'];
      expect((await home.stasis(inside)).stdout).toContain('DENIED');
      const script =
        'redis-server --port 7000 --save "" >log2 & until redis-cli -p 7000 ping; do sleep 0.1; done; redis-cli -h ::1 -p 7000 client list; redis-cli -p 7000 shutdown nosave; wait';
      const own = await home.ok(['run', '--environment', name, '--', 'bash', '-c', script]);
      expect(own).toMatch(/addr=\[::1\]:\d+ laddr=\[::1\]:7000/);
    }
  });

  test('what cannot be published is a usage error', async () => {
    await using home = TestHome.create(user);
    for (const words of [
      ['--publish', '127.0.0.1:80'],
      ['--environment', 'a', '--publish', 'nonsense'],
      ['--environment', 'a', '--publish', 'example.org:80'],
      ['--environment', 'a', '--publish', '127.0.0.1:70000'],
      ['--environment', 'A b'],
    ]) {
      expect(await home.stasis(['run', ...words, '--', 'true']), words.join(' ')).toMatchObject({ code: 2 });
    }
  });
});

test('a published port is free once the end is known', { timeout: 60_000 }, async () => {
  const [user] = users as readonly [(typeof users)[number]];
  await using home = TestHome.create(user);
  const stasis = await Stasis.open({ home: home.state });
  const port = await freePort();
  const publish = [`127.0.0.1:${port}:8080`, `127.0.0.1:${port}:8080/udp`];
  for (let round = 0; round < 20; round++) {
    const application = await stasis.run(['true'], { env: home.env, environment: 'one', publish });
    expect(await application.wait({ timeout: 10_000 }), `round ${round}`).toMatchObject({ state: 'exited', code: 0 });
  }
});
