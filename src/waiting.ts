// Waiting with a deadline and an AbortSignal. Every wait of the library goes through here, so that none can hang silently: a deadline
// gives ERR_STASIS_TIMEOUT, an abort ERR_STASIS_CANCELLED, and both say what was waited for.

import { cancelled, StasisError } from './errors.js';

export interface WaitOptions {
  /** Completes "cancelled while ..." and "no end of ... after": a gerund phrase, such as "waiting for web to end". */
  readonly what: string;
  /** Milliseconds; none waits for as long as it takes, which only waits that a user asked for may do. */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export function timedOut(what: string, timeoutMs: number): StasisError {
  return new StasisError('Timeout', `timed out after ${formatSeconds(timeoutMs)} ${what}`);
}

export function throwIfAborted(signal: AbortSignal | undefined, what: string): void {
  if (signal?.aborted) throw cancelled(what, signal);
}

/** Resolves after `ms`, or rejects when the signal is aborted. */
export function sleep(ms: number, signal: AbortSignal | undefined, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) {
      reject(cancelled(what, signal));
      return;
    }
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(cancelled(what, signal as AbortSignal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    }, ms);
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/**
 * Calls `probe` until it gives a value. Between calls it waits for `wake` (a change notification, where there is one) or the interval,
 * whichever is first; the interval alone keeps it right when a notification is lost.
 */
export async function waitUntil<T>(
  probe: () => T | undefined | Promise<T | undefined>,
  options: WaitOptions & { readonly intervalMs: number; readonly wake?: () => Promise<void> },
): Promise<T> {
  const end = options.timeoutMs === undefined ? Number.POSITIVE_INFINITY : performance.now() + options.timeoutMs;
  for (;;) {
    throwIfAborted(options.signal, options.what);
    const value = await probe();
    if (value !== undefined) return value;
    const left = end - performance.now();
    if (left <= 0) throw timedOut(options.what, options.timeoutMs ?? 0);
    await pause(Math.min(options.intervalMs, left), options);
  }
}

async function pause(ms: number, options: WaitOptions & { readonly wake?: () => Promise<void> }): Promise<void> {
  if (options.wake === undefined) {
    await sleep(ms, options.signal, options.what);
    return;
  }
  const stop = new AbortController();
  const signal = options.signal === undefined ? stop.signal : AbortSignal.any([options.signal, stop.signal]);
  const timer = sleep(ms, signal, options.what).catch((error: unknown) => {
    if (!stop.signal.aborted) throw error;
  });
  try {
    await Promise.race([timer, options.wake()]);
  } finally {
    stop.abort();
  }
}

export function formatSeconds(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${Number((ms / 1000).toFixed(1))} s`;
}
