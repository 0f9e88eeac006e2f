// Names: what is one, and who gets it.

import { mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Home, newApplicationId } from '../../src/store/home.js';
import {
  checkName,
  generateName,
  holderOfName,
  isName,
  listNames,
  moveName,
  releaseName,
  takeName,
} from '../../src/store/names.js';
import { parseReference } from '../../src/store/snapshots.js';

describe('what a name is', () => {
  test.each(['a', '0', 'web', 'web-1', 'a.b_c', 'x'.repeat(63)])('%s', (name) => {
    expect(checkName('name', name)).toBe(name);
  });

  test.each([
    '',
    '-a',
    '.',
    '..',
    '.a',
    'A',
    'a/b',
    'a b',
    'a@1',
    'ä',
    'x'.repeat(64),
    'a\n',
    'a.partial-b',
  ])('not %j', (name) => {
    expect(isName(name)).toBe(false);
    expect(() => checkName('name', name)).toThrow(RangeError);
  });

  test('not something else', () => {
    for (const value of [undefined, null, 1, {}, []]) expect(() => checkName('name', value)).toThrow(TypeError);
  });

  test('any string is judged without surprise: a name is safe as a file name', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ unit: 'binary' }), fc.stringMatching(/^[a-z0-9_.-]{0,70}$/)), (text) => {
        if (!isName(text)) return;
        expect(text).toMatch(/^[a-z0-9][a-z0-9_.-]*$/);
        expect(text.length).toBeLessThan(64);
        expect(join('/names', text)).toBe(`/names/${text}`);
      }),
    );
  });

  test('made-up names are names', () => {
    for (let attempt = 0; attempt < 50; attempt++) expect(isName(generateName(attempt))).toBe(true);
  });

  test('references: NAME@N and nothing else', () => {
    fc.assert(
      fc.property(
        fc.stringMatching(/^[a-z0-9][a-z0-9_-]{0,20}$/),
        fc.integer({ min: 1, max: 999_999_999 }),
        (name, number) => {
          expect(parseReference(`${name}@${number}`)).toEqual({ name, number });
        },
      ),
    );
    for (const text of [
      'a',
      'a@',
      'a@0',
      'a@01',
      'a@-1',
      'a@1x',
      '@1',
      'a@1@2',
      'A@1',
      'a@9999999999',
      'a@1.partial-00',
    ]) {
      expect(parseReference(text), text).toBeUndefined();
    }
  });
});

describe('who has a name', () => {
  let root: string;
  let home: Home;
  const application = (): string => {
    const id = newApplicationId();
    mkdirSync(home.application(id).directory);
    return id;
  };

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'names-'));
    home = Home.open(root);
  });
  afterEach(() => rmSync(root, { recursive: true }));

  test('the first one, until it lets go', () => {
    const [first, second] = [application(), application()];
    expect(takeName(home, 'web', first)).toBe(true);
    expect(takeName(home, 'web', second)).toBe(false);
    expect(holderOfName(home, 'web')).toBe(first);
    expect(releaseName(home, 'web', second)).toBe(false);
    expect(releaseName(home, 'web', first)).toBe(true);
    expect(holderOfName(home, 'web')).toBeUndefined();
    expect(releaseName(home, 'web', first)).toBe(false);
    expect(takeName(home, 'web', second)).toBe(true);
  });

  test('moves in one step', () => {
    const [first, second] = [application(), application()];
    takeName(home, 'web', first);
    moveName(home, 'web', second);
    expect([...listNames(home)]).toEqual([['web', second]]);
    // Also after somebody was killed midway, and then nothing is left of that.
    symlinkSync(`../apps/${second}`, join(home.names, '.web'));
    moveName(home, 'web', first);
    expect([...listNames(home)]).toEqual([['web', first]]);
    expect(readdirSync(home.names)).toEqual(['web']);
  });

  test('nobody, when the link leads nowhere or elsewhere', () => {
    takeName(home, 'gone', newApplicationId());
    symlinkSync('/etc', join(home.names, 'outside'));
    symlinkSync('../apps/../../../etc', join(home.names, 'above'));
    mkdirSync(join(home.names, 'directory'));
    for (const name of ['gone', 'outside', 'above', 'directory']) expect(holderOfName(home, name), name).toBeNull();
    expect(releaseName(home, 'gone', null)).toBe(true);
    expect(holderOfName(home, 'gone')).toBeUndefined();
  });
});
