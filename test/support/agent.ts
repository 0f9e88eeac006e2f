// The library in a process of its own, run as the test's user (programs/library-agent.mjs). One operation at a time.

import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface, type Interface } from 'node:readline';
import type { TestHome } from './home.js';
import { library, programs } from './paths.js';

const deadlineMs = 60_000;

export class LibraryAgent {
  readonly #child;
  readonly #lines: Interface;
  #stderr = '';

  constructor(home: TestHome) {
    this.#child = home.spawn([process.execPath, join(programs, 'library-agent.mjs'), library]);
    const { stdout, stderr } = this.#child;
    if (stdout === null) throw new Error('the agent has no output');
    this.#lines = createInterface({ input: stdout });
    stderr?.on('data', (chunk: Buffer) => {
      this.#stderr += chunk.toString();
    });
  }

  run(
    name: string,
    words: readonly string[],
    env: Readonly<Record<string, string>>,
    options: { shiftIds?: number } = {},
  ): Promise<unknown> {
    return this.#call('run', name, words, env, options);
  }

  checkpoint(name: string, options: { leaveRunning?: boolean } = {}): Promise<unknown> {
    return this.#call('checkpoint', name, options);
  }

  restore(reference: string, name: string, options: { shiftIds?: number } = {}): Promise<unknown> {
    return this.#call('restore', reference, name, options);
  }

  /** How an application ended. */
  wait(name: string, ms = deadlineMs): Promise<unknown> {
    return this.#call('wait', name, ms);
  }

  async #call(operation: string, ...given: unknown[]): Promise<unknown> {
    this.#child.stdin?.write(`${JSON.stringify({ operation, arguments: given })}\n`);
    const late = AbortSignal.timeout(deadlineMs + 10_000);
    const ended = once(this.#child, 'exit', { signal: late }).catch(() => ['no answer in time']);
    const first = await Promise.race([
      once(this.#lines, 'line', { signal: late }).catch(() => undefined),
      ended.then(() => undefined),
    ]);
    const what = `${operation} ${JSON.stringify(given)}`;
    if (first === undefined) throw new Error(`${what}: the agent gave no answer.\n${this.#stderr}`);
    const answer = JSON.parse(String(first[0])) as { value?: unknown; error?: unknown };
    if (answer.error !== undefined) throw new Error(`${what}: ${JSON.stringify(answer.error, null, 2)}`);
    return answer.value;
  }
}
