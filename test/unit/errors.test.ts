// The table of errors is held equal in its three places: src/errors.ts, native/base/error.h and docs/errors.md.
// `UPDATE_DOCS=1 npx vitest run test/unit/errors.test.ts` writes the document's table anew.

import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { cancelled, errorTable, fromSystemError, kindOfCode, StasisError } from '../../src/errors.js';

const read = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), 'utf8');

describe('the table', () => {
  test('has the kinds of native/base/error.h, in order, with their exit codes', () => {
    const body = /enum class ErrorKind \{([^}]*)\}/.exec(read('native/base/error.h'))?.[1] ?? '';
    const kinds = [...body.matchAll(/^\s*(\w+),\s*(?:\/\/ exit (\d+))?/gm)].map(([, kind, exit]) => ({ kind, exit }));
    expect(kinds.map(({ kind }) => kind)).toEqual(errorTable.map(({ kind }) => kind));
    for (const { kind, exit } of kinds) {
      if (exit !== undefined)
        expect(errorTable.find((entry) => entry.kind === kind)?.exitCode, kind).toBe(Number(exit));
    }
  });

  test('has the names of native/base/error.cc', () => {
    const names = [...read('native/base/error.cc').matchAll(/case ErrorKind::(\w+):\s+return "(\w+)";/g)];
    expect(names.map(([, kind, name]) => [kind, `ERR_STASIS_${name}`])).toEqual(
      errorTable.map(({ kind, code }) => [kind, code]),
    );
  });

  test('is the table of docs/errors.md', () => {
    const path = new URL('../../docs/errors.md', import.meta.url);
    const document = readFileSync(path, 'utf8');
    const begin = '<!-- table: written by test/unit/errors.test.ts -->\n';
    const end = '<!-- end of table -->';
    const table = [
      '| code | exit | when | what to do |',
      '|---|---|---|---|',
      ...errorTable.map(({ code, exitCode, when, remedy }) => `| \`${code}\` | ${exitCode} | ${when} | ${remedy} |`),
      '',
    ].join('\n');
    const [before, rest] = document.split(begin);
    const after = rest?.split(end)[1];
    if (process.env.UPDATE_DOCS) writeFileSync(path, `${before}${begin}${table}${end}${after}`);
    else expect(rest?.split(end)[0]).toBe(table);
  });

  test('has every code once, and exit codes from 1 to 9', () => {
    expect(new Set(errorTable.map(({ code }) => code)).size).toBe(errorTable.length);
    for (const { code, exitCode } of errorTable) {
      expect(exitCode, code).toBeGreaterThanOrEqual(1);
      expect(exitCode, code).toBeLessThanOrEqual(9);
      expect(kindOfCode(code)).toBe(errorTable.find((entry) => entry.code === code)?.kind);
    }
  });
});

describe('StasisError', () => {
  test('has only the properties that are known', () => {
    const error = new StasisError('Busy', 'taken', { path: '/x' });
    expect(error).toBeInstanceOf(Error);
    expect(error).toMatchObject({
      name: 'StasisError',
      code: 'ERR_STASIS_BUSY',
      exitCode: 7,
      path: '/x',
      message: 'taken',
    });
    expect('pid' in error).toBe(false);
    expect('cause' in error).toBe(false);
  });

  test('is plain data as JSON, addresses included', () => {
    const error = new StasisError('Unsupported', 'two', {
      address: 0x7fff_ffff_ffff_f000n,
      details: ['a', 'b'],
      cause: new Error('why'),
    });
    expect(JSON.parse(JSON.stringify(error))).toEqual({
      code: 'ERR_STASIS_UNSUPPORTED',
      message: 'two',
      address: '0x7ffffffffffff000',
      details: ['a', 'b'],
      cause: 'why',
    });
  });

  test('keeps the reason of an abort', () => {
    const reason = new Error('enough');
    expect(cancelled('waiting', AbortSignal.abort(reason))).toMatchObject({
      code: 'ERR_STASIS_CANCELLED',
      cause: reason,
    });
  });

  test('of a system error has its path and errno', () => {
    const thrown = (): unknown => {
      try {
        return readFileSync('/nowhere/at/all');
      } catch (error) {
        return fromSystemError(error, 'reading');
      }
    };
    expect(thrown()).toMatchObject({
      code: 'ERR_STASIS_NOT_FOUND',
      path: '/nowhere/at/all',
      errno: 2,
      syscall: 'open',
    });
    const other = new RangeError('no');
    expect(fromSystemError(other, 'reading')).toBe(other);
  });
});
