// The programs of programs/ids, which start processes and threads, check what they see of them, and print `id N` for each id and PASS.

import { chmodSync, chownSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { TestHome } from './home.js';
import { compiledPrograms, programs } from './paths.js';

/** Far from any id that this machine gives out while the tests run: one that is not translated is too small or names nobody. */
export const shift = 100_000;

export const source = (name: string): string => join(programs, 'ids', name);

/** Those that do the same again in each round (ROUNDS in their environment), over any number of checkpoints. */
export const idPrograms: Readonly<Record<string, readonly string[]>> = {
  bash: ['bash', source('shell.sh')],
  python: ['/usr/bin/python3', source('processes.py')],
  node: [process.execPath, source('processes.mjs')],
  perl: ['perl', source('processes.pl')],
  java: ['java', '-XX:-UsePerfData', '-cp', compiledPrograms, 'Processes'],
  go: [join(compiledPrograms, 'processes-go')],
  'a static musl program': [join(compiledPrograms, 'processes-musl')],
};

export function ids(output: string): number[] {
  return [...output.matchAll(/^id (\d+)\r?$/gm)].map(([, id]) => Number(id));
}

/** A directory that uid 1000 may write to, whoever runs the test. */
export function openDirectory(home: TestHome, name: string): string {
  const directory = join(home.scratch, name);
  mkdirSync(directory);
  chownSync(directory, 1000, 1000);
  chmodSync(home.root, 0o711);
  return directory;
}
