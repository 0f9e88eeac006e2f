// The states of an application in words, for messages and for `stasis ps`.

import type { ApplicationStatus } from '../store/status.js';

export function describeStatus(status: ApplicationStatus, now = Date.now()): string {
  switch (status.state) {
    case 'starting':
      return 'starting';
    case 'running':
      return status.supervised ? 'running' : 'running without its keeper';
    case 'exited':
      return `exited ${status.code}${ago(status.endedAt, now)}`;
    case 'signaled':
      return `killed by ${status.signalName}${ago(status.endedAt, now)}`;
    case 'checkpointed':
      return `stopped by a checkpoint${ago(status.endedAt, now)}`;
    case 'lost':
      return 'ended, nobody saw how';
    case 'failed':
      return 'failed to start';
  }
}

function ago(date: Date | null, now: number): string {
  return date === null ? '' : ` ${formatAge(now - date.getTime())} ago`;
}

/** One unit, as people say it: 4 s, 12 min, 3 h, 5 d. */
export function formatAge(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} d`;
}
