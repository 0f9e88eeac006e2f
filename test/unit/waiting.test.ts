// Waits end: by their value, their deadline or their signal.

import { expect, test } from 'vitest';
import { sleep, waitUntil } from '../../src/waiting.js';

const what = 'waiting for the moon';

test('a value', async () => {
  let looks = 0;
  expect(await waitUntil(() => (++looks === 3 ? 'there' : undefined), { what, timeoutMs: 5000, intervalMs: 1 })).toBe(
    'there',
  );
});

test('a deadline that says what was waited for', async () => {
  await expect(waitUntil(() => undefined, { what, timeoutMs: 30, intervalMs: 10 })).rejects.toMatchObject({
    code: 'ERR_STASIS_TIMEOUT',
    message: 'timed out after 30 ms waiting for the moon',
  });
});

test('a signal, before and during', async () => {
  const reason = new Error('no more');
  const expected = { code: 'ERR_STASIS_CANCELLED', cause: reason, message: expect.stringContaining(what) };
  await expect(
    waitUntil(() => undefined, { what, intervalMs: 1000, signal: AbortSignal.abort(reason) }),
  ).rejects.toMatchObject(expected);
  const controller = new AbortController();
  const waiting = waitUntil(() => undefined, { what, intervalMs: 10_000, signal: controller.signal });
  controller.abort(reason);
  await expect(waiting).rejects.toMatchObject(expected);
  await expect(sleep(10_000, AbortSignal.abort(reason), what)).rejects.toMatchObject(expected);
});

test('a notice wakes it before the interval', async () => {
  let there = false;
  let wake = (): void => undefined;
  const waiting = waitUntil(() => there || undefined, {
    what,
    timeoutMs: 20_000,
    intervalMs: 20_000,
    wake: () => new Promise<void>((resolve) => (wake = resolve)),
  });
  await sleep(5, undefined, what);
  there = true;
  wake();
  expect(await waiting).toBe(true);
});

test('a failing probe ends it', async () => {
  const fault = new Error('fault');
  await expect(waitUntil(() => Promise.reject(fault), { what, intervalMs: 1 })).rejects.toBe(fault);
});
