// Processes outside every application, which use what an application uses.

import type { ChildProcess } from 'node:child_process';
import type { TestHome } from './home.js';

/** Starts it and waits for its first word; throws if it ends before that. To be ended with endOutsider. */
export async function startOutsider(home: TestHome, words: readonly string[]): Promise<ChildProcess> {
  const child = home.spawn([...words]);
  await new Promise((resolve, reject) => {
    child.stdout?.once('data', resolve);
    child.once('close', (code) => reject(new Error(`${words.join(' ')} ended with ${code}`)));
  });
  return child;
}

export async function endOutsider(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGKILL');
  await ended;
}
