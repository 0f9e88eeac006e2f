// A state directory of its own for one test and one user, and the `stasis` command run in it. Everything started by way of it is ended
// and removed by `dispose`.
//
//     await using home = await TestHome.create(user);
//     const { code, stderr } = await home.stasis(['checkpoint', 'web']);

import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { command } from './paths.js';
import { isRunning, kill, processesWith } from './processes.js';
import type { TestUser } from './users.js';
import { until } from './waiting.js';

export interface Outcome {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly input?: string;
  readonly cwd?: string;
  /** Milliseconds before the process is killed and the call fails. */
  readonly timeout?: number;
  /** Words between the user's prefix and the command, such as `unshare -m`. */
  readonly within?: readonly string[];
}

export class TestHome {
  readonly root: string;
  /** STASIS_HOME. */
  readonly state: string;
  /** A directory for the test's own files. */
  readonly scratch: string;
  readonly env: Readonly<Record<string, string>>;

  private constructor(readonly user: TestUser) {
    const parent = process.env.STASIS_TEST_ROOT;
    if (parent === undefined)
      throw new Error('STASIS_TEST_ROOT is not set: support/leftovers.ts is not the global set-up');
    this.root = mkdtempSync(join(parent, 'home-'));
    this.state = join(this.root, 'state');
    this.scratch = join(this.root, 'scratch');
    mkdirSync(this.scratch);
    for (const path of [this.root, this.scratch]) chownSync(path, user.uid, user.gid);
    this.env = {
      PATH: `${dirname(process.execPath)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
      HOME: this.root,
      LANG: 'C.UTF-8',
      NO_COLOR: '1',
      STASIS_HOME: this.state,
      STASIS_TEST_RUN: process.env.STASIS_TEST_RUN_ID ?? '',
      TMPDIR: this.scratch,
    };
  }

  static create(user: TestUser): TestHome {
    return new TestHome(user);
  }

  /** Starts any program as the user, in the scratch directory. */
  spawn(words: readonly string[], options: RunOptions = {}, more: SpawnOptions = {}): ChildProcess {
    const [file, ...rest] = [...this.user.prefix, ...(options.within ?? []), ...words] as [string, ...string[]];
    return spawn(file, rest, {
      cwd: options.cwd ?? this.scratch,
      env: { ...this.env, ...options.env },
      stdio: 'pipe',
      ...more,
    });
  }

  async execute(words: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    const child = this.spawn(words, options);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.stdin?.on('error', () => {});
    child.stdin?.end(options.input ?? '');
    let late = false;
    const timeout = options.timeout ?? 60_000;
    const timer = setTimeout(() => {
      late = true;
      child.kill('SIGKILL');
    }, timeout);
    const [code, signal] = await new Promise<[number | null, NodeJS.Signals | null]>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (exitCode, exitSignal) => resolve([exitCode, exitSignal]));
    });
    clearTimeout(timer);
    const outcome = {
      code,
      signal,
      stdout: Buffer.concat(stdout).toString(),
      stderr: Buffer.concat(stderr).toString(),
    };
    if (late) throw new Error(`${words.join(' ')} did not end within ${timeout} ms: ${JSON.stringify(outcome)}`);
    return outcome;
  }

  /** Words of a `stasis` command line. */
  words(args: readonly string[]): string[] {
    return [process.execPath, command, ...args];
  }

  stasis(args: readonly string[], options: RunOptions = {}): Promise<Outcome> {
    return this.execute(this.words(args), options);
  }

  /** The same, expected to succeed; the parsed JSON when `--json` is among the words, else the text on stdout. */
  // biome-ignore lint/suspicious/noExplicitAny: the shape is what the test then checks
  async ok(args: readonly string[], options: RunOptions = {}): Promise<any> {
    const outcome = await this.stasis(args, options);
    if (outcome.code !== 0) {
      throw new Error(
        `stasis ${args.join(' ')} ended with ${outcome.code ?? outcome.signal}:\n${outcome.stderr}${outcome.stdout}`,
      );
    }
    return args.includes('--json') ? JSON.parse(outcome.stdout) : outcome.stdout;
  }

  /** Starts an application in the background. */
  async run(name: string, words: readonly string[], options: RunOptions = {}): Promise<void> {
    await this.ok(['run', '--detach', '--name', name, '--', ...words], options);
  }

  /** What a detached application has written to its output so far. */
  output(name: string, stream: 'stdout' | 'stderr' = 'stdout'): string {
    const path = join(this.state, 'names', name, `${stream}.log`);
    return existsSync(path) ? readFileSync(path, 'utf8') : '';
  }

  /** The keeper's status lines of an application, as docs/architecture.md describes them. */
  status(name: string): Record<string, string> {
    const path = join(this.state, 'names', name, 'status');
    if (!existsSync(path)) return {};
    return Object.fromEntries(
      readFileSync(path, 'utf8')
        .split('\n')
        .filter((line) => line.includes('='))
        .map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]),
    );
  }

  pid(name: string): number {
    const pid = Number(this.status(name).pid);
    if (!(pid > 0)) throw new Error(`application ${name} has no process: ${JSON.stringify(this.status(name))}`);
    return pid;
  }

  /** Waits for a line of an application's output; fails at once if the application ends without it. */
  async outputLine(name: string, line: string, ms = 30_000): Promise<void> {
    const seen = (): boolean => this.output(name).split('\n').includes(line);
    const everything = (): string =>
      `stdout:\n${this.output(name)}\nstderr:\n${this.output(name, 'stderr')}\nstatus: ${JSON.stringify(this.status(name))}`;
    await until(
      `"${line}" from ${name}`,
      () => {
        if (seen()) return true;
        if (['exited', 'signaled'].includes(this.status(name).state ?? '') && !seen())
          throw new Error(`${name} ended without "${line}". ${everything()}`);
        return false;
      },
      { ms, detail: everything },
    );
  }

  /** Waits until an application has ended, and gives `exited 0`, `signaled 9`, `checkpointed PATH`. */
  async ended(name: string, ms = 30_000): Promise<string> {
    return until(
      `the end of ${name}`,
      () => {
        const { state, code, signal, snapshot } = this.status(name);
        if (state === 'exited') return `exited ${code}`;
        if (state === 'signaled') return `signaled ${signal}`;
        return state === 'checkpointed' ? `checkpointed ${snapshot}` : undefined;
      },
      { ms, detail: () => `${JSON.stringify(this.status(name))}\n${this.output(name)}${this.output(name, 'stderr')}` },
    );
  }

  /** Processes of this test that still live. */
  processes(): ReturnType<typeof processesWith> {
    return processesWith(`STASIS_HOME=${this.state}`, this.root);
  }

  /** Waits until none of them lives: a keeper may end a moment after the command that its work was for. */
  async noProcess(what = 'no process left', ms = 10_000): Promise<void> {
    await until(what, () => this.processes().length === 0, { ms, detail: () => JSON.stringify(this.processes()) });
  }

  /** Names in the directory of snapshots, partial ones included. */
  snapshotEntries(): string[] {
    const path = join(this.state, 'snapshots');
    return existsSync(path) ? readdirSync(path).sort() : [];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // In rounds, because a keeper may be about to start the next process.
    for (let round = 0; round < 100; round++) {
      const left = this.processes();
      if (left.length === 0) break;
      for (const { pid } of left) kill(pid);
      await until(
        `the end of ${left.map(({ pid }) => pid).join(', ')}`,
        () => left.every(({ pid }) => !isRunning(pid)),
        { ms: 10_000 },
      );
    }
    rmSync(this.root, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 });
  }
}
