// The status of an application: its file's lines, held against which processes live.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isAlive, ownIdentity, parseProcessStat } from '../../src/store/process-identity.js';
import { hasEnded, isReplaceable, parseStatus, resolveStatus } from '../../src/store/status.js';

const running = 'state=running\npid=10\nstart=100\nkeeper=9\nkeeper_start=99\n';
const none = (): boolean => false;
const only =
  (...pids: number[]) =>
  ({ pid }: { pid: number }): boolean =>
    pids.includes(pid);

describe('states', () => {
  test.each([
    ['running', running, only(9, 10), { state: 'running', pid: 10, startTime: 100, supervised: true }],
    [
      'running on after its keeper',
      running,
      only(10),
      { state: 'running', pid: 10, startTime: 100, supervised: false },
    ],
    ['ended, the keeper about to say how', running, only(9), { state: 'running', supervised: true }],
    ['both gone', running, none, { state: 'lost', endedAt: null }],
    [
      'exited',
      'state=exited\npid=10\nstart=100\ncode=7\nended=1000\n',
      none,
      { state: 'exited', code: 7, endedAt: new Date(1000) },
    ],
    [
      'killed',
      'state=signaled\nsignal=9\n',
      none,
      { state: 'signaled', signal: 9, signalName: 'SIGKILL', endedAt: null },
    ],
    ['aborted', 'state=signaled\nsignal=6\n', none, { signalName: 'SIGABRT' }],
    [
      'saved',
      'state=checkpointed\nsnapshot=/s/web@1\nended=5\n',
      none,
      { state: 'checkpointed', snapshot: '/s/web@1' },
    ],
    ['coming up', 'state=starting\nkeeper=9\nkeeper_start=99\n', only(9), { state: 'starting' }],
    ['never came up', 'state=starting\nkeeper=9\nkeeper_start=99\n', none, { state: 'failed' }],
    ['nonsense', 'state=dancing\n', none, { state: 'failed' }],
    ['running without a process', 'state=running\n', none, { state: 'lost' }],
  ])('%s', (_what, text, alive, expected) => {
    expect(resolveStatus(parseStatus(text), undefined, alive)).toMatchObject(expected);
  });

  test('without a file: what the launcher may still do', () => {
    const launcher = { pid: 5, startTime: 50 };
    expect(resolveStatus(undefined, launcher, only(5))).toEqual({ state: 'starting' });
    expect(resolveStatus(undefined, launcher, none)).toMatchObject({ state: 'failed' });
  });

  test('who has ended, and who may be replaced', () => {
    const states = ['running', 'exited', 'checkpointed'].map((state) =>
      resolveStatus(parseStatus(`state=${state}\npid=1\nstart=1\n`), undefined, only(1)),
    );
    expect(states.map(hasEnded)).toEqual([false, true, true]);
    expect(states.map(isReplaceable)).toEqual([false, false, true]);
  });
});

describe('parsers take anything', () => {
  test('status lines', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom('state', 'pid', 'start', 'keeper', 'code', 'ended', 'x'), fc.string())),
        (pairs) => {
          const fields = parseStatus(pairs.map(([key, value]) => `${key}=${value}`).join('\n'));
          for (const number of [fields.code, fields.ended, fields.process?.pid, fields.keeper?.startTime]) {
            if (number !== undefined) expect(Number.isSafeInteger(number)).toBe(true);
          }
          resolveStatus(fields, undefined, none);
        },
      ),
    );
  });

  test('/proc/PID/stat with any name in parentheses', () => {
    const rest = `S 1 ${Array.from({ length: 17 }, (_, index) => index).join(' ')} 4242 9 9 9`;
    fc.assert(
      fc.property(fc.string({ maxLength: 15 }), (name) => {
        expect(parseProcessStat(`77 (${name}) ${rest}`)).toMatchObject({ state: 'S', startTime: 4242 });
      }),
    );
    for (const text of ['', '77', '77 (x', '77 (x)', '77 (x) S 1 2', '77 (x) ?'])
      expect(parseProcessStat(text), text).toBeUndefined();
  });
});

test('this process lives, and not under another start time', () => {
  expect(isAlive(ownIdentity())).toBe(true);
  expect(isAlive({ pid: process.pid, startTime: ownIdentity().startTime + 1 })).toBe(false);
  for (const pid of [0, -1, Number.NaN, 4_194_305]) expect(isAlive({ pid, startTime: 0 })).toBe(false);
});
