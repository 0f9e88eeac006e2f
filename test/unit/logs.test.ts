// Where the last lines of a log begin.

import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startOfTail } from '../../src/application/logs.js';

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), 'logs-'));
});
afterAll(() => rmSync(root, { recursive: true }));

function tail(text: string, lines: number): string {
  const path = join(root, 'log');
  writeFileSync(path, text);
  const fd = openSync(path, 'r');
  try {
    return Buffer.from(text).subarray(startOfTail(fd, lines)).toString();
  } finally {
    closeSync(fd);
  }
}

test.each([
  ['a\nb\nc\n', 2, 'b\nc\n'],
  ['a\nb\nc', 2, 'b\nc'],
  ['a\nb\n', 9, 'a\nb\n'],
  ['a\n', 0, ''],
  ['', 3, ''],
  ['\n\n\n', 2, '\n\n'],
])('%j, %i', (text, lines, expected) => expect(tail(text, lines)).toBe(expected));

test('any text, any count', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('\n', 'x', 'ä', 'y\n')), fc.integer({ min: 0, max: 12 }), (parts, lines) => {
      const text = parts.join('');
      const whole = text.split(/(?<=\n)/).filter((line) => line !== '');
      expect(tail(text, lines)).toBe(lines === 0 ? '' : whole.slice(-lines).join(''));
    }),
  );
});

test('across the blocks it reads', () => {
  const line = `${'x'.repeat(40_000)}\n`;
  expect(tail(line.repeat(10), 3)).toBe(line.repeat(3));
});
