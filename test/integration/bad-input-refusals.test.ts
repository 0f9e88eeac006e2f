// What is refused: resources that cannot be saved (exit 3, each named, the application goes on), names and pids that are wrong, restores
// whose port, socket or file is taken or gone (exit 1 with the fd and the place).

import { spawn } from 'node:child_process';
import { existsSync, readFileSync, renameSync, unlinkSync } from 'node:fs';
import { connect, createServer, type Server } from 'node:net';
import { release } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { TestHome } from '../support/home.js';
import { firstAnswer, freePort, get } from '../support/http.js';
import { compiledPrograms, guestBinaries, programs } from '../support/paths.js';
import { isRunning } from '../support/processes.js';
import { users } from '../support/users.js';
import { until } from '../support/waiting.js';

/** Guard regions can be asked for since 6.15 (PAGE_IS_GUARD). */
const [major = 0, minor = 0] = release().split('.').map(Number);
const tellsGuards = major > 6 || (major === 6 && minor >= 15);

async function listen(port: number): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  return server;
}

/** Whether the server has the connection as a descriptor: in /proc/net/tcp one that only waits in the backlog has no inode. */
function isAccepted(port: number, clientPort: number): boolean {
  const hex = (each: number): string => each.toString(16).toUpperCase().padStart(4, '0');
  const lines = readFileSync('/proc/net/tcp', 'latin1').split('\n');
  const fields = lines.map((line) => line.trim().split(/\s+/));
  return fields.some(
    ([, local, remote, , , , , , , inode]) =>
      local?.endsWith(`:${hex(port)}`) && remote?.endsWith(`:${hex(clientPort)}`) && inode !== '0',
  );
}

describe.each(users)('as $name', (user) => {
  test.each([
    ['netlink', /fd \d+.*(netlink|socket)/is],
    ['filter', /seccomp filter of the program's own that forbids sigaltstack/],
    ['keys', /process \d+: keys of the kernel's keyrings \(add_key/],
    ['thread-filter', /thread \d+: .*seccomp filters that other threads have not/],
    ['pidfd', /fd \d+.*pidfd of process \d+, which is not of the application/],
    ['sysv-part', /System V segment of which a part was unmapped/],
    ['queue-signal', /fd \d+.*message queue that is to tell of its next message \(mq_notify\)/],
    ['queue-thread', /fd \d+.*message queue that is to tell of its next message \(mq_notify\)/],
    ['huge-memory', /address 0x[0-9a-f]+-0x[0-9a-f]+: huge pages of hugetlbfs/],
    ['huge-file', /fd \d+: a memory file of huge pages \(MFD_HUGETLB\)/],
    ['fanotify', /fd \d+: a fanotify group/],
    ...(tellsGuards ? [['guard', /address 0x[0-9a-f]+: a guard region \(MADV_GUARD_INSTALL\)/]] : []),
    ...(user.privileged ? [['chroot', /another root directory \(chroot\)/]] : []),
    ['terminal', /fd \d+.*10 bytes on the way through a pseudoterminal/],
  ] as [string, RegExp][])('a program with %s is not checkpointed', async (kind, text) => {
    await using home = TestHome.create(user);
    await home.run('holder', [join(compiledPrograms, 'refused'), kind]);
    await home.outputLine('holder', 'listening');
    const before = home.processes().length;
    for (const flags of [['--leave-running'], []]) {
      const { code, stderr } = await home.stasis(['checkpoint', ...flags, 'holder']);
      expect({ code, stderr }).toMatchObject({ code: 3, stderr: expect.stringMatching(text) });
    }
    expect(home.snapshotEntries()).toEqual([]);
    const ticks = home.output('holder').split('\n').length;
    await until('more ticks', () => home.output('holder').split('\n').length > ticks + 5, { ms: 5000 });
    expect(home.status('holder').state).toBe('running');
    await until('the processes from before', () => home.processes().length === before, {
      detail: () => JSON.stringify(home.processes()),
    });
  });

  test('a terminal that somebody outside has made is refused, and it may be closed', async () => {
    await using home = TestHome.create(user);
    const file = join(home.scratch, 'name');
    const outside = home.spawn([
      'script',
      '-qec',
      `tty > '${file}.new' && mv '${file}.new' '${file}'; sleep 60`,
      '/dev/null',
    ]);
    await until('a terminal', () => existsSync(file));
    const terminal = readFileSync(file, 'utf8').trim();
    await home.run('holder', [join(compiledPrograms, 'refused'), 'slave'], { env: { TERMINAL: terminal } });
    await home.outputLine('holder', 'listening');
    const { code, stderr } = await home.stasis(['checkpoint', 'holder']);
    expect({ code, stderr }).toMatchObject({
      code: 3,
      stderr: expect.stringContaining(`a terminal, ${terminal}, that is neither`),
    });
    expect(home.snapshotEntries()).toEqual([]);
    expect(home.status('holder').state).toBe('running');
    outside.kill('SIGKILL');
  });

  test('a server with a client is refused, answers, and is saved when the client has gone', async () => {
    await using home = TestHome.create(user);
    const port = await freePort();
    await home.run('web', [process.execPath, join(programs, 'http-node.mjs'), String(port)]);
    await firstAnswer(port);
    const client = connect(port, '127.0.0.1');
    await new Promise((resolve) => client.once('connect', resolve));
    await until('the accepted connection', () => isAccepted(port, client.localPort ?? 0));
    const { code, stderr } = await home.stasis(['checkpoint', 'web']);
    expect({ code, stderr }).toMatchObject({ code: 3, stderr: expect.stringMatching(/fd \d+/) });
    expect(stderr).toContain(String(client.localPort));
    expect((await get(port)).count).toBe(2);
    client.destroy();
    await until('a checkpoint', async () => (await home.stasis(['checkpoint', 'web'])).code === 0, {
      ms: 10_000,
      step: 100,
    });
    await home.ok(['restore', 'web', '--detach']);
    expect((await firstAnswer(port)).count).toBe(3);
  });

  test('a port that is taken', async () => {
    await using home = TestHome.create(user);
    const port = await freePort();
    await home.run('web', [process.execPath, join(programs, 'http-node.mjs'), String(port)]);
    await firstAnswer(port);
    await home.ok(['checkpoint', 'web']);
    const holder = await listen(port);
    const { code, stderr } = await home.stasis(['restore', 'web@1', '--detach', '--name', 'copy']);
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringMatching(/fd \d+/) });
    expect(stderr).toContain(String(port));
    await home.noProcess();
    await new Promise((resolve) => holder.close(resolve));
    await home.ok(['restore', 'web@1', '--detach', '--name', 'copy']);
    expect((await firstAnswer(port)).count).toBe(2);
  });

  test('a file that is gone or changed its kind', async () => {
    await using home = TestHome.create(user);
    const go = join(home.scratch, 'go');
    await home.run('files', [join(guestBinaries, 'fd-file')], { env: { GUEST_DIR: home.scratch, GUEST_GO: go } });
    await home.outputLine('files', 'READY');
    await home.ok(['checkpoint', 'files']);
    const path = join(home.scratch, 'data');
    renameSync(path, `${path}.aside`);
    const { code, stderr } = await home.stasis(['restore', 'files', '--detach', '--name', 'copy']);
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringMatching(/fd \d+/) });
    expect(stderr).toContain(path);
    await home.noProcess();
    renameSync(`${path}.aside`, path);
    await home.ok(['restore', 'files', '--detach', '--name', 'copy']);
  });

  test('a program file that was replaced', async () => {
    await using home = TestHome.create(user);
    const program = join(home.scratch, 'program');
    expect((await home.execute(['cp', join(compiledPrograms, 'sleeper'), program])).code).toBe(0);
    await home.run('own', [program]);
    await home.outputLine('own', 'listening');
    await home.ok(['checkpoint', 'own']);
    unlinkSync(program);
    const gone = await home.stasis(['restore', 'own', '--detach', '--name', 'copy']);
    expect(gone).toMatchObject({ code: 4, stderr: expect.stringContaining(program) });
    expect((await home.execute(['cp', join(compiledPrograms, 'refused'), program])).code).toBe(0);
    const changed = await home.stasis(['restore', 'own', '--detach', '--name', 'copy']);
    expect(changed).toMatchObject({ code: 4, stderr: expect.stringContaining(program) });
    await home.noProcess();
  });

  test('names and pids', async () => {
    await using home = TestHome.create(user);
    await home.run('taken', ['sleep', '1000']);
    const words = ['sleep', '1000'];
    expect(await home.stasis(['run', '--detach', '--name', 'taken', '--', ...words])).toMatchObject({
      code: 7,
      stderr: expect.stringContaining('taken'),
    });
    expect(await home.stasis(['run', '--detach', '--name', 'No Name', '--', ...words])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('No Name'),
    });
    for (const command of ['checkpoint', 'kill', 'wait', 'logs', 'rm']) {
      expect(await home.stasis([command, 'nobody']), command).toMatchObject({
        code: 6,
        stderr: expect.stringContaining('nobody'),
      });
    }
    const stranger = spawn('sleep', ['1000'], { env: { ...home.env }, stdio: 'ignore' });
    try {
      for (const pid of [String(stranger.pid), '1', '999999999']) {
        const { code, stderr } = await home.stasis(['checkpoint', pid]);
        expect({ code, stderr }, pid).toMatchObject({ code: 6, stderr: expect.stringContaining(pid) });
      }
      expect(isRunning(stranger.pid ?? 0)).toBe(true);
    } finally {
      stranger.kill('SIGKILL');
    }
    expect(await home.stasis(['no-such-command'])).toMatchObject({ code: 2 });
    expect(await home.stasis(['checkpoint'])).toMatchObject({ code: 2 });
    expect(await home.stasis(['run', '--detach', '--name'])).toMatchObject({ code: 2 });
    await home.ok(['checkpoint', 'taken']);
    expect(await home.stasis(['checkpoint', 'taken']), 'not running any more').toMatchObject({
      code: expect.toBeOneOf([1, 6, 7]),
    });
    await home.ok(['restore', 'taken', '--detach', '--name', 'copy']);
    expect(await home.stasis(['restore', 'taken', '--detach', '--name', 'copy'])).toMatchObject({
      code: 7,
      stderr: expect.stringContaining('copy'),
    });
  });

  test('a program that was not launched by Stasis, a state directory of somebody else', async () => {
    await using home = TestHome.create(user);
    await home.run('sleeper', ['sleep', '1000']);
    if (user.privileged) {
      const plain = users.find(({ privileged }) => !privileged);
      expect(plain).toBeDefined();
      await using other = TestHome.create(plain ?? user);
      const { code, stderr } = await other.stasis(['checkpoint', 'sleeper'], { env: { STASIS_HOME: home.state } });
      expect({ code, stderr }).toMatchObject({ code: 8 });
    }
    expect(await home.stasis(['ps'], { env: { STASIS_HOME: '/proc/nowhere' } })).toMatchObject({
      code: expect.toBeOneOf([1, 6, 8]),
      stderr: expect.stringContaining('/proc/nowhere'),
    });
  });
});
