// Values and files on the command line, and what commands print.

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  badType,
  badValue,
  checkCommand,
  checkEnvironment,
  checkTimeout,
  isArgumentError,
} from '../../src/arguments.js';
import { parseEnvFile } from '../../src/cli/env-file.js';
import { formatBytes, formatMs, table, visible } from '../../src/cli/output.js';
import { parseAssignment, parseCount, parseDuration, parseSignal, UsageError } from '../../src/cli/values.js';

describe('values', () => {
  test.each([
    ['30', 30_000],
    ['1.5s', 1500],
    ['500ms', 500],
    ['2m', 120_000],
    ['1h', 3_600_000],
  ])('duration %s', (text, ms) => expect(parseDuration(text)).toBe(ms));

  test.each(['', '0', '-1', 's', '1d', '1e3', 'Infinity', '1 s', '1.', '0ms', '1s2'])('no duration: %j', (text) => {
    expect(() => parseDuration(text)).toThrow(UsageError);
  });

  test.each([
    ['TERM', 15],
    ['SIGKILL', 9],
    ['usr1', 10],
    ['9', 9],
    ['64', 64],
  ])('signal %s', (text, number) => expect(parseSignal(text)).toBe(number));

  test.each(['', '0', '65', '-9', 'SIG', 'NONE', '9x', 'constructor', '__proto__'])('no signal: %j', (text) => {
    expect(() => parseSignal(text)).toThrow(UsageError);
  });

  test('any text is a value or a usage error', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const parse of [parseDuration, parseSignal, parseCount, (word: string) => parseAssignment(word, {})]) {
          try {
            parse(text);
          } catch (error) {
            expect(error).toBeInstanceOf(UsageError);
          }
        }
      }),
    );
  });
});

describe('files of variables', () => {
  const parse = (text: string): unknown => parseEnvFile(text, 'f', { HERE: 'yes' });

  test('hold what docker reads from them', () => {
    const text = '\uFEFF# comment\n\nA=1\r\n  B = two \nC="quoted"\nD=\nHERE\nELSEWHERE\nE=a=b#c';
    expect(() => parse(text)).toThrow('f:4');
    expect(parse(text.replace('B =', 'B='))).toEqual([
      ['A', '1'],
      ['B', ' two '],
      ['C', '"quoted"'],
      ['D', ''],
      ['HERE', 'yes'],
      ['ELSEWHERE', undefined],
      ['E', 'a=b#c'],
    ]);
  });

  test('any variables come back', () => {
    const key = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_]*$/);
    const value = fc.string().filter((text) => !/[\n\r\0]/.test(text));
    fc.assert(
      fc.property(fc.array(fc.tuple(key, value)), (pairs) => {
        expect(parse(pairs.map(([name, text]) => `${name}=${text}`).join('\n'))).toEqual(pairs);
      }),
    );
  });

  test('any text is read or refused with its line', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        try {
          parse(text);
        } catch (error) {
          expect(error).toBeInstanceOf(UsageError);
          expect((error as Error).message).toMatch(/^f:\d+: /);
        }
      }),
    );
  });
});

describe('arguments of the library', () => {
  test('are checked', () => {
    expect(checkCommand(['a', ''])).toEqual(['a', '']);
    for (const value of ['a', null, {}, [1], ['a', 2]]) expect(() => checkCommand(value)).toThrow(TypeError);
    for (const value of [[''], ['a\0'], ['a', 'b\0']]) expect(() => checkCommand(value)).toThrow(RangeError);
    expect(checkEnvironment({ A: '1', B: undefined, C: '' })).toEqual(['A=1', 'C=']);
    for (const value of [{ 'A=B': '1' }, { '': '1' }, { A: '\0' }])
      expect(() => checkEnvironment(value)).toThrow(RangeError);
    for (const value of [[], null, { A: 1 }]) expect(() => checkEnvironment(value)).toThrow(TypeError);
    for (const value of [0, -1, Number.NaN, Number.POSITIVE_INFINITY])
      expect(() => checkTimeout(value)).toThrow(RangeError);
  });

  test('make errors that can be told from faults', () => {
    expect(isArgumentError(badType('x', 'a string', null))).toBe(true);
    expect(isArgumentError(badValue('x', 'is wrong'))).toBe(true);
    expect(isArgumentError(new TypeError('undefined is not a function'))).toBe(false);
  });
});

describe('output', () => {
  test('shows control characters instead of obeying them', () => {
    expect(visible('a\u001b[31mb\n\u202e\u009b')).toBe('a\\u001b[31mb\\n\\u202e\\u009b');
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => !/[\p{Cc}\p{Bidi_Control}]/u.test(visible(text))));
  });

  test('lines columns up', () => {
    const lines = table(
      ['A', 'LONG'],
      [
        ['first', 'x'],
        ['b', 'a longer cell'],
      ],
    ).split('\n');
    expect(lines).toEqual(['A      LONG', 'first  x', 'b      a longer cell', '']);
  });

  test('rounds', () => {
    expect([0, 1023, 1024, 1536 * 1024, 300 * 2 ** 30].map(formatBytes)).toEqual([
      '0 B',
      '1023 B',
      '1.0 KiB',
      '1.5 MiB',
      '300 GiB',
    ]);
    expect([0.123, 12.34, 123.4, 1234].map(formatMs)).toEqual(['0.1 ms', '12.3 ms', '123 ms', '1.23 s']);
  });
});
