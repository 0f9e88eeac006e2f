// Processes that the tests started, told from all others by two environment variables: STASIS_TEST_RUN, one value for the whole run, and
// STASIS_HOME, the state directory of one test. Whatever the tests start inherits both. Programs may overwrite their environment (redis
// does, for its title), and the keeper of a restored program has none: those are told by the directory that their runtime, their working
// directory or their command line lies in.

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

export interface FoundProcess {
  readonly pid: number;
  readonly command: string;
  readonly state: string;
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

/** State letter of /proc/PID/stat; empty when there is no such process. */
export function processState(pid: number): string {
  const stat = read(`/proc/${pid}/stat`);
  return stat.slice(stat.lastIndexOf(')') + 2).charAt(0);
}

export function isRunning(pid: number): boolean {
  return !['', 'Z', 'X'].includes(processState(pid));
}

function liesIn(pid: number, directory: string): boolean {
  if (read(`/proc/${pid}/cmdline`).includes(`${directory}/`)) return true;
  return ['exe', 'cwd'].some((link) => {
    try {
      return readlinkSync(`/proc/${pid}/${link}`).startsWith(`${directory}/`);
    } catch {
      return false;
    }
  });
}

/** Every live process whose environment has this entry, in the form NAME=VALUE, or that lies in the directory; not this process. */
export function processesWith(entry: string, directory: string): FoundProcess[] {
  const found: FoundProcess[] = [];
  for (const name of readdirSync('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    if (!read(`/proc/${pid}/environ`).split('\0').includes(entry) && !liesIn(pid, directory)) continue;
    const state = processState(pid);
    if (state === '' || state === 'Z' || state === 'X') continue;
    found.push({ pid, state, command: read(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim() });
  }
  return found;
}

export function kill(pid: number, signal: NodeJS.Signals = 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}
