// `stasis run` is transparent: exit status, signals, streams, terminals, scripts, static programs and programs of several processes are
// what they are without it; what it cannot launch it refuses clearly.

import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { TestHome } from '../support/home.js';
import { firstAnswer, freePort, get } from '../support/http.js';
import { guestBinaries } from '../support/paths.js';
import { users } from '../support/users.js';
import { until } from '../support/waiting.js';

describe.each(users)('as $name', (user) => {
  test.each([
    ['an exit status', ['sh', '-c', 'exit 7'], { code: 7, stdout: '', stderr: '' }],
    ['success', ['true'], { code: 0, stdout: '', stderr: '' }],
    ['both outputs', ['sh', '-c', 'echo out; echo err >&2'], { code: 0, stdout: 'out\n', stderr: 'err\n' }],
    [
      'a pipeline',
      ['bash', '-c', 'seq 1 100000 | sort -rn | head -n 2 | tr "\\n" " "'],
      { code: 0, stdout: '100000 99999 ' },
    ],
    [
      'standard input',
      ['sh', '-c', 'read a; read b; echo "$b $a"'],
      { code: 0, stdout: 'world hello\n' },
      'hello\nworld\n',
    ],
    [
      'arguments as they are',
      ['printf', '%s|', 'a b', '', '*', "it's", '--name', '--'],
      { code: 0, stdout: "a b||*|it's|--name|--|" },
    ],
    [
      'bash job control',
      ['bash', '-c', 'sleep 0.05 & wait $!; kill -0 $$ && echo alive; (exit 3); echo $?'],
      { code: 0, stdout: 'alive\n3\n' },
    ],
    ['environment cleared', ['env', '-i', 'A=1', 'sh', '-c', 'echo "$A$HOME"'], { code: 0, stdout: '1\n' }],
    ['a static program', [join(guestBinaries, 'memory-fork.static')], { code: 0, stdout: 'READY\nPASS\n' }],
    ['a musl program', [join(guestBinaries, 'memory-fork.musl')], { code: 0, stdout: 'READY\nPASS\n' }],
    [
      'python',
      ['/usr/bin/python3', '-c', 'import sys, subprocess; sys.exit(subprocess.run(["sh", "-c", "exit 5"]).returncode)'],
      { code: 5 },
    ],
    [
      'a node child process',
      [process.execPath, '-e', 'process.exitCode = require("child_process").spawnSync("sh", ["-c", "exit 6"]).status'],
      { code: 6 },
    ],
  ] as [string, string[], object, string?][])('%s', async (_what, words, expected, input) => {
    await using home = TestHome.create(user);
    const options = input === undefined ? {} : { input };
    expect(await home.execute(words, options), 'bare').toMatchObject(expected);
    expect(await home.stasis(['run', '--', ...words], options)).toMatchObject(expected);
  });

  test('death by a signal is passed on', async () => {
    await using home = TestHome.create(user);
    for (const [signal, number] of [
      ['TERM', 15],
      ['KILL', 9],
      ['SEGV', 11],
    ] as const) {
      const { code, signal: died } = await home.stasis(['run', '--', 'sh', '-c', `kill -${signal} $$`]);
      expect(code ?? died).toSatisfy((end) => end === 128 + number || end === `SIG${signal}`);
    }
  });

  test('a signal to the foreground reaches the program', async () => {
    await using home = TestHome.create(user);
    const child = home.spawn(
      home.words([
        'run',
        '--name',
        'trapped',
        '--',
        'sh',
        '-c',
        'trap "echo got; exit 4" TERM; echo ready; while :; do sleep 0.05; done',
      ]),
    );
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    await until('"ready"', () => output.includes('ready'));
    child.kill('SIGTERM');
    expect(await ended).toBe(4);
    expect(output).toBe('ready\ngot\n');
  });

  test('a terminal: size, Ctrl-C, no stray process', async () => {
    await using home = TestHome.create(user);
    const words = home.words([
      'run',
      '--',
      'bash',
      '-c',
      'trap "echo interrupted; exit 9" INT; tty -s && stty size; echo ready; while :; do sleep 0.05; done',
    ]);
    const line = words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
    // script(1) gives its child a terminal; what we write to script's input is typed there.
    const child = home.spawn(['script', '-qec', `stty rows 33 cols 99; exec ${line}`, '/dev/null'], {
      env: { TERM: 'xterm', SHELL: '/bin/sh' },
    });
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    await until('"ready"', () => output.includes('ready'), { detail: () => output });
    expect(output).toContain('33 99');
    child.stdin?.write('\x03');
    expect(await ended, output).toBe(9);
    expect(output).toContain('interrupted');
    await home.noProcess('the end of all');
  });

  test('the terminal is the program’s: it reads a line', async () => {
    await using home = TestHome.create(user);
    const words = home.words(['run', '--', 'bash', '-c', 'read -r line; echo "<$line>"']);
    const child = home.spawn(
      ['script', '-qec', words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' '), '/dev/null'],
      { env: { SHELL: '/bin/sh' } },
    );
    let output = '';
    child.stdout?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
    child.stdin?.write('typed here\n');
    expect(await ended).toBe(0);
    expect(output).toContain('<typed here>');
  });

  test('scripts', async () => {
    await using home = TestHome.create(user);
    const shell = join(home.scratch, 'script.sh');
    const python = join(home.scratch, 'script.py');
    const nested = join(home.scratch, 'nested');
    writeFileSync(shell, '#!/bin/sh -u\necho "$0 $*"\nexit 3\n');
    writeFileSync(python, '#!/usr/bin/env python3\nimport sys\nprint(sys.argv[1:])\n');
    writeFileSync(nested, `#!${shell} given\n`);
    for (const file of [shell, python, nested]) chmodSync(file, 0o755);
    expect(await home.stasis(['run', '--', shell, 'a', 'b c'])).toMatchObject({ code: 3, stdout: `${shell} a b c\n` });
    expect(await home.stasis(['run', '--', './script.sh', 'a'])).toMatchObject({ code: 3, stdout: './script.sh a\n' });
    expect(await home.stasis(['run', '--', python, 'x'])).toMatchObject({ code: 0, stdout: "['x']\n" });
    expect(await home.stasis(['run', '--', nested, 'x'])).toMatchObject({
      code: 3,
      stdout: `${shell} given ${nested} x\n`,
    });
  });

  test('what cannot be launched', async () => {
    await using home = TestHome.create(user);
    // The header of a 32-bit x86 executable, no more: class 1, machine 3.
    const elf32 = Buffer.alloc(84);
    elf32.set([0x7f, 0x45, 0x4c, 0x46, 1, 1, 1]);
    elf32.writeUInt16LE(2, 16);
    elf32.writeUInt16LE(3, 18);
    elf32.writeUInt32LE(1, 20);
    elf32.writeUInt32LE(0x08048054, 24);
    elf32.writeUInt32LE(52, 28);
    elf32.writeUInt16LE(52, 40);
    elf32.writeUInt16LE(32, 42);
    elf32.writeUInt16LE(1, 44);
    const file = (name: string, data: Buffer | string, mode: number): string => {
      const path = join(home.scratch, name);
      writeFileSync(path, data);
      chmodSync(path, mode);
      return path;
    };
    const refused = await home.stasis(['run', '--', file('program32', elf32, 0o755)]);
    expect(refused).toMatchObject({ code: 3, stdout: '', stderr: expect.stringMatching(/32-bit/) });
    expect(refused.stderr).toContain('program32');
    // Also when a launched program executes it: the exec fails, the program goes on.
    const inner = await home.stasis([
      'run',
      '--',
      'sh',
      '-c',
      `${join(home.scratch, 'program32')}; echo "still here $?"`,
    ]);
    expect(inner).toMatchObject({ code: 0, stdout: expect.stringMatching(/^still here 12[67]\n$/) });

    const missing = await home.stasis(['run', '--', 'no-such-program-anywhere']);
    expect(missing.stderr).toContain('no-such-program-anywhere');
    expect(missing.code).toBeOneOf([6, 127]);
    const closed = await home.stasis(['run', '--', file('not-executable', '#!/bin/sh\n', 0o644)]);
    expect(closed.stderr).toContain('not-executable');
    expect(closed.code).toBeOneOf([8, 126]);
    const garbage = await home.stasis(['run', '--', file('garbage', Buffer.alloc(100, 1), 0o755)]);
    expect(garbage.stderr).toContain('garbage');
    expect(garbage.code).not.toBe(0);
    await home.noProcess();
  });

  test('nginx, a program of several processes, runs and ends', async () => {
    await using home = TestHome.create(user);
    const port = await freePort();
    const directory = join(home.scratch, 'nginx');
    mkdirSync(directory, { mode: 0o777 });
    chmodSync(directory, 0o777);
    const configuration = join(directory, 'nginx.conf');
    writeFileSync(
      configuration,
      `${user.privileged ? 'user nobody nogroup;' : ''} worker_processes 2; daemon off; pid ${directory}/pid; error_log ${directory}/error.log;
      events { worker_connections 64; }
      http {
        access_log off; client_body_temp_path ${directory}/a; proxy_temp_path ${directory}/b; fastcgi_temp_path ${directory}/c;
        uwsgi_temp_path ${directory}/d; scgi_temp_path ${directory}/e;
        server { listen 127.0.0.1:${port}; location / { default_type application/json; return 200 '{"worker":$pid}'; } }
      }`,
    );
    await home.run('nginx', ['nginx', '-p', directory, '-c', configuration, '-e', join(directory, 'error.log')]);
    await firstAnswer(port);
    for (let i = 0; i < 50; i++) expect((await get(port)).worker).toBeGreaterThan(0);
    await home.ok(['kill', 'nginx', '--signal', 'QUIT']);
    expect(await home.ended('nginx')).toBe('exited 0');
    await home.noProcess('the end of all');
  });
});
