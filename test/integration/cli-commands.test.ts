// The commands as people and scripts use them: what they print, where, and how they end.

import { mkdirSync, readdirSync, readlinkSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { TestHome } from '../support/home.js';
import { command, compiledPrograms } from '../support/paths.js';
import { isRunning, kill } from '../support/processes.js';
import { users } from '../support/users.js';
import { until } from '../support/waiting.js';

const sleeper = [join(compiledPrograms, 'sleeper')];
/** Counts up on stdout and names each number on stderr, in one process. */
const ticker = [
  process.execPath,
  '-e',
  'let n = 0; setInterval(() => { console.log(n); console.error(`tick ${n++}`); }, 20)',
];

describe.each(users)('as $name', (user) => {
  test('ps counts processes, orphans too', async () => {
    await using home = TestHome.create(user);
    // The second sleeper's parent ends.
    await home.run('tree', ['sh', '-c', '(sleep 60 & sleep 60 & wait) & (sleep 60 &); echo ready; wait']);
    await home.outputLine('tree', 'ready');
    await until('five processes', async () => (await home.ok(['ps', '--json']))[0].processes === 5);
    await home.ok(['kill', '--signal', 'KILL', 'tree']);
  });

  test('an application from its start to its removal', async () => {
    await using home = TestHome.create(user);
    const started = await home.ok(['run', '--detach', '--name', 'web', '--json', '--', ...sleeper, '0']);
    expect(started).toMatchObject({
      name: 'web',
      command: [...sleeper, '0'],
      status: { state: 'running', supervised: true },
    });
    expect(isRunning(started.status.pid)).toBe(true);
    const [listed] = await home.ok(['ps', '--json']);
    expect(listed).toMatchObject({ name: 'web', id: started.id, status: { pid: started.status.pid }, processes: 1 });
    expect(await home.ok(['ps'])).toMatch(/^NAME +ID +STATUS +PID +PROCESSES .*\nweb +[0-9a-f]{12} +running +\d+ +1 /);
    await home.outputLine('web', 'listening');
    expect(await home.ok(['logs', 'web'])).toBe('listening\n');
    expect(await home.stasis(['rm', 'web'])).toMatchObject({
      code: 7,
      stderr: expect.stringContaining('stasis kill web'),
    });
    expect(await home.ok(['kill', 'web'])).toBe('web\n');
    expect(await home.stasis(['wait', started.id])).toMatchObject({ code: 143, stdout: 'killed by SIGTERM\n' });
    expect(await home.ok(['ps', '--json'])).toEqual([]);
    expect(await home.ok(['ps', '--all'])).toMatch(/web .*killed by SIGTERM/);
    expect(await home.ok(['rm', 'web'])).toBe('web\n');
    expect(await home.stasis(['wait', 'web'])).toMatchObject({ code: 6 });
    for (const directory of ['apps', 'names']) expect(readdirSync(join(home.state, directory))).toEqual([]);
  });

  test('variables and working directory', async () => {
    await using home = TestHome.create(user);
    const file = join(home.scratch, 'variables');
    writeFileSync(file, '# for the test\nA=file\nB=file\nPASSED\nABSENT\n');
    const script = 'echo "$A $B $C $PASSED ${ABSENT-unset}"; pwd';
    const words = ['run', '--env-file', file, '-e', 'B=word', '-e', 'C', '--cwd', '/usr', '--', 'sh', '-c', script];
    expect(await home.ok(words, { env: { C: 'mine', PASSED: 'on' } })).toBe('file word mine on unset\n/usr\n');
    expect(await home.stasis(['run', '-e', '=x', '--', 'true'])).toMatchObject({ code: 2 });
    // As the installed command: Node 20 itself looks for --env-file among the words behind a script's name.
    expect(await home.execute([command, 'run', '--env-file', './none', '--', 'true'])).toMatchObject({
      code: 6,
      stderr: expect.stringMatching(/^stasis: .*none/),
    });
    expect(await home.stasis(['run', '--cwd', '/none', '--', 'true'])).toMatchObject({
      code: 6,
      stderr: expect.stringContaining('/none'),
    });
  });

  test('a foreground program gets its pipes as they are: blocking, and no other descriptor', async () => {
    await using home = TestHome.create(user);
    const words = ['sh', '-c', 'cat /proc/self/fdinfo/[012] | grep flags'];
    // With NO_COLOR some libraries do not look at the streams, so it is taken away.
    const env = { NO_COLOR: '' };
    const bare = await home.execute(words, { env });
    expect(await home.stasis(['run', '--', ...words], { env })).toEqual(bare);
    expect(await home.ok(['run', '--', 'ls', '-x', '/proc/self/fd'], { env })).toMatch(/^0 +1 +2 +3\n$/);
  });

  test('wait gives what the program gave', async () => {
    await using home = TestHome.create(user);
    await home.run('seven', ['sh', '-c', 'exit 7']);
    expect(await home.stasis(['wait', 'seven'])).toMatchObject({ code: 7, stdout: 'exited 7\n' });
    expect(JSON.parse((await home.stasis(['wait', '--json', 'seven'])).stdout)).toMatchObject({
      state: 'exited',
      code: 7,
    });
    await home.run('long', sleeper);
    expect(await home.stasis(['wait', '--timeout', '200ms', 'long'])).toMatchObject({
      code: 9,
      stderr: expect.stringContaining('waiting for long to end'),
    });
    await home.ok(['rm', '--force', 'long']);
    await home.noProcess();
  });

  test('names are held until they are given up', async () => {
    await using home = TestHome.create(user);
    await home.run('web', ['true']);
    await home.ended('web');
    expect(await home.stasis(['run', '-d', '-n', 'web', '--', 'true'])).toMatchObject({
      code: 7,
      stderr: expect.stringContaining('stasis rm web'),
    });
    await home.ok(['rm', 'web']);
    await home.run('web', ['true']);
    const made = (await home.ok(['run', '-d', '--', 'true'])).trim();
    expect(made).toMatch(/^[a-z]+-[a-z]+$/);
    expect(readlinkSync(join(home.state, 'names', made))).toMatch(/^\.\.\/apps\/[0-9a-f]{12}$/);
  });

  test('a name that leads nowhere is freed by rm', async () => {
    await using home = TestHome.create(user);
    await home.ok(['ps']);
    symlinkSync('../apps/0123456789ab', join(home.state, 'names/ghost'));
    for (const words of [
      ['logs', 'ghost'],
      ['kill', 'ghost'],
    ]) {
      expect(await home.stasis(words)).toMatchObject({ code: 6, stderr: expect.stringContaining('stasis rm ghost') });
    }
    expect(await home.stasis(['run', '-d', '-n', 'ghost', '--', 'true'])).toMatchObject({
      code: 7,
      stderr: expect.stringContaining('stasis rm ghost'),
    });
    await home.ok(['rm', 'ghost']);
    await home.run('ghost', ['true']);
  });

  test('several at once: each is tried, the first failure counts', async () => {
    await using home = TestHome.create(user);
    await home.run('one', sleeper);
    await home.run('two', sleeper);
    expect(await home.stasis(['kill', '-s', 'KILL', 'one', 'none', 'two'])).toMatchObject({
      code: 6,
      stdout: 'one\ntwo\n',
      stderr: expect.stringContaining('none'),
    });
    expect(await home.ended('one')).toBe('signaled 9');
    expect(await home.ended('two')).toBe('signaled 9');
  });

  test('logs: the end, the stream, the follower', async () => {
    await using home = TestHome.create(user);
    await home.run('ticker', ticker);
    await home.outputLine('ticker', '5');
    const following = home.stasis(['logs', '--follow', 'ticker']);
    await home.outputLine('ticker', '15');
    await home.ok(['kill', 'ticker']);
    const followed = await following;
    const all = await home.stasis(['logs', 'ticker']);
    expect(followed).toMatchObject({ code: 0, stdout: all.stdout, stderr: all.stderr });
    expect(all.stdout.startsWith('0\n1\n2\n')).toBe(true);
    expect(all.stderr.startsWith('tick 0\ntick 1\n')).toBe(true);
    expect((await home.ok(['logs', '--tail', '2', 'ticker'])).split('\n')).toEqual(all.stdout.split('\n').slice(-3));
    const lines = (await home.stasis(['logs', '--json', 'ticker'])).stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(lines).toContainEqual({ stream: 'stdout', line: '3' });
    expect(lines).toContainEqual({ stream: 'stderr', line: 'tick 3' });
    expect(await home.stasis(['logs', '--tail', 'x', 'ticker'])).toMatchObject({ code: 2 });
    await home.ok(['run', '--name', 'front', '--', 'true']);
    expect(await home.stasis(['logs', 'front'])).toMatchObject({
      code: 6,
      stderr: expect.stringContaining('foreground'),
    });
  });

  test('checkpoint and restore: the name, the numbers, the logs', async () => {
    await using home = TestHome.create(user);
    await home.run('web', ticker);
    await home.outputLine('web', '3');
    expect(await home.stasis(['checkpoint', '--leave-running', 'web'])).toMatchObject({
      code: 0,
      stdout: 'web@1\n',
      stderr: expect.stringMatching(/running again after/),
    });
    const saved = await home.ok(['checkpoint', 'web', '--json']);
    expect(saved).toMatchObject({
      reference: 'web@2',
      running: false,
      application: 'web',
      statistics: { pauseMs: expect.any(Number) },
    });
    expect(await home.stasis(['wait', 'web'])).toMatchObject({ code: 0, stdout: `checkpointed ${saved.path}\n` });
    expect(await home.ok(['ps', '--all'])).toMatch(/web .*stopped by a checkpoint.* web@2 /);
    expect(await home.stasis(['checkpoint', 'web'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('not running'),
    });
    const last = Number(home.output('web').trim().split('\n').at(-1));
    const restored = await home.ok(['restore', '--detach', 'web', '--json']);
    expect(restored).toMatchObject({ name: 'web', restoredFrom: saved.path, timings: { resumed: expect.any(Number) } });
    await home.outputLine('web', String(last + 5));
    expect(home.output('web').trim().split('\n').map(Number)).toEqual(
      expect.arrayContaining([0, last, last + 1, last + 2]),
    );
    expect(readdirSync(join(home.state, 'apps'))).toEqual([restored.id]);
    expect(await home.ok(['ps'])).toMatch(/web .*web@2 .*setInterval/);
    expect(await home.stasis(['restore', '--detach', 'web@2'])).toMatchObject({
      code: 7,
      stderr: expect.stringContaining('--name'),
    });
    expect(await home.ok(['restore', '--detach', '--name', 'copy', 'web@1'])).toBe('copy\n');
    expect(await home.ok(['checkpoint', 'copy'])).toBe('copy@1\n');
    expect(await home.ok(['checkpoint', 'web'])).toBe('web@3\n');
    expect(await home.ok(['rm', 'web@1', 'web', 'copy'])).toBe('web@1\nweb\ncopy\n');
    expect(home.snapshotEntries()).toEqual(['copy@1', 'web@2', 'web@3']);
    await home.ok(['restore', '--detach', 'web']);
  });

  test('a snapshot at another place', async () => {
    await using home = TestHome.create(user);
    const place = join(home.scratch, 'saved');
    await home.run('web', ticker);
    await home.outputLine('web', '1');
    for (const [output, code] of [
      [home.scratch, 7],
      [join(home.scratch, 'none/saved'), 6],
    ] as const) {
      expect(await home.stasis(['checkpoint', '--output', output, 'web'])).toMatchObject({
        code,
        stderr: expect.stringContaining(home.scratch),
      });
    }
    expect(await home.ok(['checkpoint', '--output', place, 'web'])).toBe(`${place}\n`);
    expect(home.snapshotEntries()).toEqual([]);
    expect(await home.ok(['inspect', '--header', '--json', 'web'])).toEqual(
      await home.ok(['inspect', '--header', '--json', place]),
    );
    expect(await home.ok(['restore', '--detach', place])).toBe('web\n');
    await home.ok(['rm', '--force', 'web']);
    expect((await home.ok(['restore', '--detach', `${place}/`])).trim()).toMatch(/^[a-z]+-[a-z]+$/);
  });

  test('a restore in the foreground', async () => {
    await using home = TestHome.create(user);
    await home.run('web', ticker);
    await home.outputLine('web', '3');
    await home.ok(['checkpoint', 'web']);
    const child = home.spawn(home.words(['restore', 'web']));
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const ended = new Promise((resolve) => child.once('close', (code, signal) => resolve(signal ?? code)));
    await until('two lines', () => output.split('\n').length > 2);
    expect(Number(output.split('\n')[0])).toBeGreaterThan(3);
    child.kill('SIGTERM');
    expect(await ended).toBe('SIGTERM');
    expect(await home.stasis(['wait', 'web'])).toMatchObject({ code: 143 });
  });

  test('a restore that fails leaves the stopped application what it was', async () => {
    await using home = TestHome.create(user);
    await home.run('web', sleeper);
    await home.outputLine('web', 'listening');
    await home.ok(['checkpoint', 'web']);
    truncateSync(join(home.state, 'snapshots/web@1/image.stasis'), 300);
    const before = await home.ok(['ps', '--all', '--json']);
    for (const words of [
      ['restore', 'web'],
      ['restore', '--detach', 'web'],
    ]) {
      expect(await home.stasis(words), words.join(' ')).toMatchObject({ code: 5, stdout: '' });
      expect(await home.ok(['ps', '--all', '--json'])).toEqual(before);
      expect(await home.ok(['logs', 'web'])).toBe('listening\n');
    }
  });

  test('inspect: all records, the header, for people and programs', async () => {
    await using home = TestHome.create(user);
    await home.run('web', sleeper);
    await home.outputLine('web', 'listening');
    await home.ok(['checkpoint', 'web']);
    expect(await home.ok(['inspect', 'web'])).toContain('sleeper');
    expect(JSON.stringify(await home.ok(['inspect', 'web@1', '--json', '--verify']))).toContain('sleeper');
    expect(Object.keys(await home.ok(['inspect', 'web', '--header', '--json'])).length).toBeGreaterThan(3);
    expect(await home.ok(['inspect', 'web', '--header'])).toMatch(/^\w+ +\S/);
    expect(await home.stasis(['inspect', 'none'])).toMatchObject({ code: 6 });
  });

  test('check says what this host offers', async () => {
    await using home = TestHome.create(user);
    const report = await home.ok(['check', '--json']);
    expect(report.ready).toBe(true);
    for (const feature of report.features)
      expect(feature).toMatchObject({
        name: expect.any(String),
        available: expect.any(Boolean),
        usedFor: expect.stringMatching(/./),
      });
    const text = await home.ok(['check']);
    for (const { name } of report.features) expect(text).toContain(name);
  });

  test('when the keeper is killed the application goes on, and its end is seen', async () => {
    await using home = TestHome.create(user);
    await home.run('web', ticker);
    await home.outputLine('web', '1');
    kill(Number(home.status('web').keeper));
    await until('a keeper that is gone', async () => (await home.ok(['ps'])).includes('running without its keeper'));
    const lines = home.output('web').length;
    await until('more output', () => home.output('web').length > lines);
    expect(await home.ok(['checkpoint', 'web'])).toBe('web@1\n');
    expect(await home.stasis(['wait', 'web'])).toMatchObject({ code: 0 });
    await home.ok(['restore', '--detach', 'web']);
    kill(Number(home.status('web').keeper));
    await home.ok(['kill', '--signal', 'KILL', 'web']);
    expect(await home.stasis(['wait', '--timeout', '10', 'web'])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('nobody saw how'),
    });
    await home.ok(['rm', 'web']);
  });

  test('a record that is damaged is named, and removed by force', async () => {
    await using home = TestHome.create(user);
    const start = async (): Promise<void> => {
      await home.run('web', sleeper);
      const id = readlinkSync(join(home.state, 'names/web')).slice(-12);
      writeFileSync(join(home.state, 'apps', id, 'app.json'), '{"version":1}');
    };
    await start();
    expect(await home.stasis(['kill', 'web'])).toMatchObject({ code: 5, stderr: expect.stringContaining('app.json') });
    expect(await home.ok(['ps', '--all', '--json'])).toEqual([]);
    expect(await home.stasis(['rm', 'web'])).toMatchObject({ code: 5 });
    // Several times: the directory went away under the keeper, which may be just writing down the end.
    for (let round = 0; round < 4; round++) {
      if (round > 0) await start();
      await home.ok(['rm', '--force', 'web']);
      await home.noProcess();
      for (const directory of ['apps', 'names']) expect(readdirSync(join(home.state, directory))).toEqual([]);
    }
  });

  test('errors as JSON, on stderr', async () => {
    await using home = TestHome.create(user);
    const failing: Array<[string[], number, string]> = [
      [['wait', 'none', '--json'], 6, 'ERR_STASIS_NOT_FOUND'],
      [['restore', './none', '--json'], 6, 'ERR_STASIS_NOT_FOUND'],
      [['ps', '--unknown', '--json'], 2, 'ERR_STASIS_USAGE'],
      [['run', '--json', '--name', 'No', '--', 'true'], 2, 'ERR_STASIS_USAGE'],
      [['run', '--json', '--', './no-such-program'], 6, 'ERR_STASIS_NOT_FOUND'],
    ];
    for (const [words, code, name] of failing) {
      const outcome = await home.stasis(words);
      expect(outcome, words.join(' ')).toMatchObject({ code, stdout: '' });
      expect(JSON.parse(outcome.stderr)).toMatchObject({ error: { code: name, message: expect.stringMatching(/./) } });
    }
  });

  test('usage errors end with 2, help with 0', async () => {
    await using home = TestHome.create(user);
    for (const words of [
      [],
      ['nothing'],
      ['ps', '--nothing'],
      ['run'],
      ['kill', 'a', '--signal', 'NONE'],
      ['wait', 'a', '-t', 'soon'],
      ['logs'],
    ]) {
      expect(await home.stasis(words), words.join(' ')).toMatchObject({
        code: 2,
        stdout: '',
        stderr: expect.stringMatching(/^stasis: ./),
      });
    }
    for (const words of [['--help'], ['run', '--help'], ['help', 'restore'], ['--version']]) {
      expect(await home.stasis(words), words.join(' ')).toMatchObject({
        code: 0,
        stderr: '',
        stdout: expect.stringMatching(/./),
      });
    }
  });

  test('a state directory that others can write is refused', async () => {
    await using home = TestHome.create(user);
    const open = join(home.scratch, 'open');
    await home.execute(['sh', '-c', `mkdir -m 777 ${open}`]);
    expect(await home.stasis(['ps'], { env: { STASIS_HOME: open } })).toMatchObject({
      code: 8,
      stderr: expect.stringContaining(open),
    });
    rmSync(open, { recursive: true });
    mkdirSync(open);
  });
});
