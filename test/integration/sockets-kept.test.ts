// TCP connections to clients outside, kept by --tcp-established: over a checkpoint that ends the application, with bytes queued both ways and
// more sent meanwhile; made again from the image; under load; with the application going on; and when the checkpoint is killed. Root without
// CAP_NET_ADMIN, as in some containers, is refused as everybody else is.

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { TestHome } from '../support/home.js';
import { firstAnswer, freePort } from '../support/http.js';
import { programs } from '../support/paths.js';
import { users } from '../support/users.js';
import { sleep, until } from '../support/waiting.js';

const capabilities = BigInt(`0x${/CapEff:\s*(\S+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0'}`);
const mayRepair = (capabilities & (1n << 12n)) !== 0n; // CAP_NET_ADMIN

/** A client that reads nothing until it is told to. */
class Client {
  private constructor(
    private readonly socket: Socket,
    readonly name: string,
  ) {
    socket.pause();
    socket.on('error', () => {});
  }

  static async open(port: number, name: string): Promise<Client> {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    await new Promise((resolve) => socket.once('connect', resolve));
    const client = new Client(socket, name);
    client.send(name);
    return client;
  }

  get port(): number {
    return this.socket.localPort ?? 0;
  }

  send(text: string): void {
    this.socket.write(text);
  }

  end(): void {
    this.socket.end();
  }

  /** What arrives until the server ends its side; an error if the connection breaks. */
  rest(): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      const chunks: Buffer[] = [];
      this.socket.on('data', (chunk: Buffer) => chunks.push(chunk));
      this.socket.once('end', () => resolve(Buffer.concat(chunks)));
      this.socket.once('close', () => reject(new Error(`the connection ${this.name} broke`)));
      this.socket.resume();
    });
  }
}

const summary = (text: string): string => `${text.length} ${createHash('sha256').update(text).digest('hex')}`;

/** What programs/outside_server.py sends. */
function isPattern(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += 8) {
    const line = `${String(at / 8).padStart(7, '0')}\n`;
    if (!bytes.subarray(at, at + 8).equals(Buffer.from(line.slice(0, bytes.length - at)))) return false;
  }
  return true;
}

class Scenario {
  readonly clients = new Map<string, Client>();
  readonly go: string;
  sent = { a: 'A'.repeat(100_000), d: 'D'.repeat(3_000) };

  constructor(
    readonly home: TestHome,
    readonly port: number,
  ) {
    this.go = join(home.scratch, 'go');
  }

  async start(): Promise<void> {
    const { home, port } = this;
    await home.run('server', ['/usr/bin/python3', join(programs, 'outside_server.py'), String(port), this.go]);
    await until('the server to listen', () => home.output('server').includes('listening'));
    for (const name of ['a', 'b', 'c', 'd']) this.clients.set(name, await Client.open(port, name));
    this.client('a').send(this.sent.a);
    this.client('d').send(this.sent.d);
    this.client('b').send('tail');
    this.client('b').end();
    await until('the server to be ready', () => home.output('server').includes('ready'), {
      detail: () => home.output('server', 'stderr'),
    });
  }

  client(name: string): Client {
    const client = this.clients.get(name);
    if (client === undefined) throw new Error(`no client ${name}`);
    return client;
  }

  /** Lets the server go on, and compares what every side has got. */
  async finish(): Promise<void> {
    const { home } = this;
    writeFileSync(this.go, '');
    const rests = new Map(['a', 'b', 'c', 'd'].map((name) => [name, this.client(name).rest()]));
    this.client('a').end();
    this.client('d').end();
    for (const name of ['a', 'd'] as const) {
      const all = (await rests.get(name)) as Buffer;
      const [, count, got] = /\n(\d+)\n(\d+ [0-9a-f]+)$/.exec(all.subarray(-150).toString()) ?? [];
      expect(got, name).toBe(summary(this.sent[name]));
      const bytes = all.subarray(0, Number(count));
      expect(all.length - bytes.length, name).toBe(`\n${count}\n${got}`.length);
      expect(isPattern(bytes), name).toBe(true);
    }
    expect(String(await rests.get('b'))).toBe(summary('tail'));
    expect(String(await rests.get('c'))).toBe('words');
    this.client('c').send('late');
    this.client('c').end();
    const fresh = await Client.open(this.port, 'n');
    expect(String(await fresh.rest())).toBe('welcome');
    fresh.end();
    await until('the server to end', () => home.output('server').includes('PASS'), {
      detail: () => home.output('server') + home.output('server', 'stderr'),
    });
    expect(home.output('server')).toContain(`c ${summary('late')}`);
  }
}

function holders(home: TestHome): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'latin1');
        return command.includes('--hold') && command.includes(home.state);
      } catch {
        return false;
      }
    })
    .map(Number);
}

describe.each(users)('as $name', (user) => {
  const may = user.privileged && mayRepair;
  const whereKept = (title: string, body: () => Promise<void>): void => {
    if (may) test(title, body);
  };

  whereKept('connections outlive the application, and what is sent meanwhile arrives', async () => {
    await using home = TestHome.create(user);
    const scenario = new Scenario(home, await freePort());
    await scenario.start();
    const refused = await home.stasis(['checkpoint', 'server']);
    expect(refused).toMatchObject({ code: 3, stderr: expect.stringContaining('--tcp-established') });
    await home.ok(['checkpoint', '--tcp-established', 'server']);
    expect(holders(home)).toHaveLength(1);
    scenario.client('a').send('sent while nobody is there');
    scenario.sent.a += 'sent while nobody is there';
    await sleep(300);
    // Where the addresses are not, they cannot be made; and they are still held here.
    const elsewhere = await home.stasis(['restore', 'server@1', '--detach'], { within: ['unshare', '--net'] });
    expect(elsewhere.code).not.toBe(0);
    expect(elsewhere.stderr).toContain(`keeping the TCP connection 127.0.0.1:${scenario.port} to`);
    expect(holders(home)).toHaveLength(1);
    await home.ok(['restore', 'server@1', '--detach']);
    await until('the holder to end', () => holders(home).length === 0);
    // There is only one of each connection.
    const again = await home.stasis(['restore', 'server@1', '--detach', '--name', 'second']);
    expect(again.code).not.toBe(0);
    expect(again.stderr).toMatch(new RegExp(`127\\.0\\.0\\.1:${scenario.port} to 127\\.0\\.0\\.1:\\d+ is in use`));
    expect(holders(home)).toHaveLength(0);
    await scenario.finish();
  });

  whereKept('a restore without the holder makes them again from the image', async () => {
    await using home = TestHome.create(user);
    const scenario = new Scenario(home, await freePort());
    await scenario.start();
    await home.ok(['checkpoint', '--tcp-established', 'server']);
    for (const pid of holders(home)) process.kill(pid, 'SIGKILL');
    await until('the holder to end', () => holders(home).length === 0);
    await home.ok(['restore', 'server@1', '--detach']);
    // And once more, from a checkpoint of the restored application.
    await home.ok(['checkpoint', '--tcp-established', 'server']);
    for (const pid of holders(home)) process.kill(pid, 'SIGKILL');
    await until('the holder to end', () => holders(home).length === 0);
    await home.ok(['restore', 'server@2', '--detach']);
    await scenario.finish();
  });

  whereKept('a restore with --tcp-close lets the clients see a reset', async () => {
    await using home = TestHome.create(user);
    const scenario = new Scenario(home, await freePort());
    await scenario.start();
    await home.ok(['checkpoint', '--tcp-established', 'server']);
    const rests = Promise.allSettled(['a', 'd'].map((name) => scenario.client(name).rest()));
    await home.ok(['restore', 'server@1', '--detach', '--tcp-close']);
    for (const rest of await rests) expect(rest.status).toBe('rejected');
    expect(holders(home)).toHaveLength(0);
  });

  whereKept('clients under load meet no error over three restores', async () => {
    await using home = TestHome.create(user);
    const port = await freePort();
    await home.run('web', [process.execPath, join(programs, 'http-node.mjs'), String(port)]);
    await firstAnswer(port);
    const load = home.execute(['wrk', '-t1', '-c20', '-d8', '--timeout', '8', `http://127.0.0.1:${port}/`]);
    for (let cycle = 0; cycle < 3; cycle++) {
      await sleep(500);
      await home.ok(['checkpoint', '--tcp-established', 'web']);
      await home.ok(['restore', 'web', '--detach']);
    }
    await home.ok(['checkpoint', '--leave-running', '--tcp-established', 'web']);
    const { code, stdout } = await load;
    expect(code).toBe(0);
    expect(stdout).not.toMatch(/Socket errors|Non-2xx/);
    expect(Number(/(\d+) requests in/.exec(stdout)?.[1])).toBeGreaterThan(100);
  });

  whereKept('the application goes on with its connections, whether the checkpoint ends or is killed', async () => {
    await using home = TestHome.create(user);
    const scenario = new Scenario(home, await freePort());
    await scenario.start();
    await home.ok(['checkpoint', '--leave-running', '--tcp-established', 'server']);
    for (const ms of [180, 220, 250, 280, 320]) {
      const child = home.spawn(home.words(['checkpoint', '--leave-running', '--tcp-established', 'server']));
      await sleep(ms);
      child.kill('SIGKILL');
      await sleep(50);
    }
    await until('holders to end', () => holders(home).length === 0);
    await scenario.finish();
  });

  if (may) return;
  test('without CAP_NET_ADMIN they are refused, and the program is not touched', async () => {
    await using home = TestHome.create(user);
    const scenario = new Scenario(home, await freePort());
    await scenario.start();
    const refused = await home.stasis(['checkpoint', '--tcp-established', 'server']);
    expect(refused).toMatchObject({ code: 3, stderr: expect.stringContaining('needs CAP_NET_ADMIN') });
    expect(refused.stderr).toContain('--tcp-close');
    for (const client of scenario.clients.values()) expect(refused.stderr).toContain(String(client.port));
    await scenario.finish();
  });
});
