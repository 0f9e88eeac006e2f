// Foreground applications on terminals of their own, saved there and restored onto others: modes, size, the process group in the
// foreground, and what the callers find on their terminals afterwards.

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { TestHome } from '../support/home.js';
import { programs } from '../support/paths.js';
import { users } from '../support/users.js';
import { until } from '../support/waiting.js';

const quoted = (words: readonly string[]): string =>
  words.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');

/** A shell line on a terminal of its own, which script(1) makes; typed to by writing. */
class Terminal {
  output = '';
  readonly ended: Promise<number | null>;
  readonly #child;

  constructor(home: TestHome, rows: number, columns: number, line: string) {
    this.#child = home.spawn(['script', '-qec', `stty rows ${rows} cols ${columns}; ${line}`, '/dev/null'], {
      env: { TERM: 'xterm', SHELL: '/bin/sh', LESS: '', PS1: 'ready> ', HISTFILE: '' },
    });
    this.#child.stdout?.on('data', (chunk: Buffer) => (this.output += chunk.toString()));
    this.ended = new Promise((resolve) => this.#child.once('close', resolve));
  }

  /** Types, and waits for what is written from then on. */
  async type(text: string, wanted: string | RegExp): Promise<void> {
    const from = this.output.length;
    if (text !== '') this.#child.stdin?.write(text);
    const seen = () => this.output.slice(from);
    await until(
      `${wanted} after ${JSON.stringify(text)}`,
      () => (typeof wanted === 'string' ? seen().includes(wanted) : wanted.test(seen())),
      { detail: () => JSON.stringify(this.output) },
    );
  }

  async shows(wanted: string | RegExp): Promise<void> {
    await until(
      `${wanted}`,
      () => (typeof wanted === 'string' ? this.output.includes(wanted) : wanted.test(this.output)),
      { detail: () => JSON.stringify(this.output) },
    );
  }
}

/** What the caller's shell says of the terminal when the application is gone. */
const afterwards = 'echo "left $?"; stty -a | tr ";" "\\n" | grep -wo -e "-*echo" -e "-*icanon"; echo over';

describe.each(users)('as $name', (user) => {
  test('modes and size follow onto another terminal, and both callers have theirs back', async () => {
    await using home = TestHome.create(user);
    const program = ['python3', join(programs, 'terminal.py')];
    const first = new Terminal(
      home,
      33,
      99,
      `${quoted(home.words(['run', '--name', 'drawn', '--', ...program]))}; ${afterwards}`,
    );
    await first.shows('ready 33x99 raw');
    await home.ok(['checkpoint', 'drawn']);
    await first.shows(/left 137.*\becho\b.*over/s);
    expect(first.output).not.toMatch(/-echo|-icanon/);
    expect(await first.ended).toBe(0);

    const restored = `${quoted(home.words(['restore', 'drawn@1', '--name', 'copy']))}; ${afterwards}`;
    const second = new Terminal(home, 20, 50, restored);
    await second.shows('resized 20x50');
    await second.type('m', 'modes raw size 20x50');
    await second.type('f', 'foreground True');
    await second.type('q', /bye.*left 0.*over/s);
    expect(second.output).not.toMatch(/-echo|-icanon/);
    expect(await second.ended).toBe(0);

    // Killed, it leaves nothing behind either.
    const third = new Terminal(home, 25, 60, restored.replace("'copy'", "'other'"));
    await third.type('', 'resized 25x60');
    await third.type('m', 'modes raw');
    await home.ok(['kill', '--signal', 'KILL', 'other']);
    await third.shows(/left 137.*over/s);
    expect(third.output).not.toMatch(/-echo|-icanon/);
    await home.noProcess();
  });

  test('bash with job control, less in its foreground', async () => {
    await using home = TestHome.create(user);
    const text = join(home.scratch, 'text');
    writeFileSync(text, Array.from({ length: 400 }, (_, i) => `line ${i + 1} of the text\n`).join(''));
    const first = new Terminal(
      home,
      24,
      80,
      `${quoted(home.words(['run', '--name', 'shell', '--', 'bash', '--norc', '--noprofile', '-i']))}; ${afterwards}`,
    );
    await first.shows('ready> ');
    await first.type('sleep 1000 &\n', /\[1\] \d+/);
    await first.type(`less ${text}\n`, 'line 20 of the text');
    await home.ok(['checkpoint', 'shell']);
    await first.shows(/left 137.*over/s);
    expect(first.output).not.toMatch(/-echo\b|-icanon/);

    const restore = `${quoted(home.words(['restore', 'shell@1', '--name', 'copy']))}; ${afterwards}`;
    const second = new Terminal(home, 12, 60, restore);
    await second.shows('line 5 of the text');
    await second.type(' ', 'line 20 of the text');
    // Stopped by its terminal and continued by its shell; then it ends, and the shell has the terminal again.
    await second.type('\x1a', 'Stopped');
    await second.type('jobs\n', /Running.*sleep 1000/s);
    await second.type('fg %2\n', 'of the text');
    await second.type('q', 'ready> ');
    await second.type('sleep 500\n', 'sleep 500');
    await second.type('\x03', 'ready> ');
    await second.type('kill %1; wait; exit 7\n', /left 7.*over/s);
    expect(second.output).not.toMatch(/-echo\b|-icanon/);
    await home.noProcess();
  });
});
