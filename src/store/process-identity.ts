// Whether a process recorded earlier still lives. A pid alone may have been given to another process since, so an identity is the pid,
// the start time in clock ticks since boot (field 22 of /proc/PID/stat, proc_pid_stat(5)) and, where it is known, the boot it belongs to.

import { readFileSync } from 'node:fs';

export interface ProcessIdentity {
  readonly pid: number;
  readonly startTime: number;
}

export interface ProcessStat {
  /** One letter: R, S, D, T, t, Z, X ... */
  readonly state: string;
  readonly startTime: number;
  readonly threads: number;
}

/** The line of /proc/PID/stat. The command name, in parentheses, may hold anything, so fields are counted from its last parenthesis. */
export function parseProcessStat(text: string): ProcessStat | undefined {
  const close = text.lastIndexOf(')');
  if (close < 0) return undefined;
  const fields = text
    .slice(close + 1)
    .trim()
    .split(/\s+/);
  const state = fields[0];
  const startTime = Number(fields[19]); // field 22; the first one after the name is field 3
  if (state === undefined || !/^[A-Za-z]$/.test(state) || !Number.isSafeInteger(startTime) || fields[19] === '')
    return undefined;
  return { state, startTime, threads: Number(fields[17]) }; // field 20
}

export function processStat(pid: number): ProcessStat | undefined {
  try {
    return parseProcessStat(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return undefined;
  }
}

/**
 * False also for a zombie: it has ended, only its parent has not looked. But a process whose main thread has ended shows as a zombie
 * while its other threads still hold its files and ports.
 */
export function isAlive(identity: ProcessIdentity): boolean {
  if (!Number.isSafeInteger(identity.pid) || identity.pid <= 0) return false;
  const stat = processStat(identity.pid);
  if (stat === undefined || stat.startTime !== identity.startTime) return false;
  return (stat.state !== 'Z' && stat.state !== 'X') || stat.threads > 1;
}

let own: ProcessIdentity | undefined;

export function ownIdentity(): ProcessIdentity {
  // A fork of Node's would have another pid; Node itself never forks, worker threads share this one.
  own ??= { pid: process.pid, startTime: processStat(process.pid)?.startTime ?? 0 };
  return own;
}

let boot: string | undefined;

/** Names this boot of the kernel: pids and start times of another boot mean nothing. Empty where /proc/sys is not readable. */
export function bootId(): string {
  if (boot === undefined) {
    try {
      boot = readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim();
    } catch {
      boot = '';
    }
  }
  return boot;
}
