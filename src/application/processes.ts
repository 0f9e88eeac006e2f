// How many processes an application has, as /proc shows them: its first process and all below it, and those whose parents have ended, which are
// the keeper's children.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

function children(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((tid) =>
      // A list of its own for each thread; one that ends meanwhile has none.
      readText(`/proc/${pid}/task/${tid}/children`).split(' ').filter(Boolean).map(Number),
    );
  } catch {
    return [];
  }
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function program(pid: number): string {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch {
    return '';
  }
}

function parentOf(pid: number): number {
  const stat = readText(`/proc/${pid}/stat`);
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1] ?? 0); // field 4; the first one after the name is field 3
}

/** `supervised`: its keeper lives. Zombies count until somebody has waited for them. */
export function countProcesses(first: number, supervised: boolean): number {
  const found = new Set([first]);
  const keeper = supervised ? parentOf(first) : 0;
  if (keeper > 1) {
    const own = program(keeper); // the keeper has a helper that runs its own program
    for (const child of children(keeper)) if (program(child) !== own) found.add(child);
  }
  for (const pid of found) for (const child of children(pid)) found.add(child);
  return found.size;
}
