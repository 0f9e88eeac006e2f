// The state directory: records, snapshots, runtimes, and what is refused.

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { findRecord } from '../../src/application/find.js';
import { defaultHome, Home, newApplicationId, replaceFile } from '../../src/store/home.js';
import { takeName } from '../../src/store/names.js';
import { type ApplicationRecord, listRecords, readRecord, writeRecord } from '../../src/store/record.js';
import { parseRecord } from '../../src/store/record-schema.js';
import { ensureRuntime } from '../../src/store/runtimes.js';
import { findSnapshot, imageFileName, listSnapshots } from '../../src/store/snapshots.js';

let root: string;
let home: Home;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'store-'));
  home = Home.open(join(root, 'home'));
});
afterEach(() => rmSync(root, { recursive: true }));

const stream = { dev: '18446744073709551615', ino: '3', type: 0o20000 };

function record(name: string, more: Partial<ApplicationRecord> = {}): ApplicationRecord {
  const id = newApplicationId();
  mkdirSync(home.application(id).directory);
  return {
    version: 1,
    id,
    name,
    command: ['node', 'server.js', ''],
    cwd: '/',
    mode: 'detached',
    createdAt: 1,
    runtime: 'ab12',
    stdio: [stream, stream, stream],
    logged: true,
    launcher: { pid: 1, startTime: 1 },
    bootId: 'x',
    restoredFrom: null,
    lastCheckpoint: null,
    ...more,
  };
}

function image(path: string): string {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, imageFileName), '');
  return path;
}

describe('the directory', () => {
  test('is where the environment says', () => {
    expect(defaultHome({ STASIS_HOME: '/a', XDG_STATE_HOME: '/b', HOME: '/c' })).toBe('/a');
    expect(defaultHome({ XDG_STATE_HOME: '/b', HOME: '/c' })).toBe('/b/stasis');
    expect(defaultHome({ XDG_STATE_HOME: 'relative', HOME: '/c' })).toBe('/c/.local/state/stasis');
  });

  test('is private, and its parts too', () => {
    for (const path of [home.root, ...readdirSync(home.root).map((entry) => join(home.root, entry))]) {
      expect(statSync(path).mode & 0o777, path).toBe(0o700);
    }
    expect(readdirSync(home.root).sort()).toEqual(['apps', 'names', 'partial', 'runtimes', 'snapshots', 'verified']);
  });

  test('is refused when others can write it', () => {
    chmodSync(home.root, 0o770);
    expect(() => Home.open(home.root)).toThrow(
      expect.objectContaining({ code: 'ERR_STASIS_PERMISSION', path: home.root }),
    );
  });

  test('is made with those above it, and refused where none can be made', () => {
    expect(Home.open(join(root, 'a/b/c')).root).toBe(join(root, 'a/b/c'));
    expect(() => Home.open('/proc/nowhere/at/all')).toThrow(
      expect.objectContaining({ name: 'StasisError', path: '/proc/nowhere' }),
    );
  });

  test('is refused when it is a file', () => {
    writeFileSync(join(root, 'file'), '');
    expect(() => Home.open(join(root, 'file'))).toThrow(
      expect.objectContaining({ name: 'StasisError', path: join(root, 'file') }),
    );
  });

  test('has its files replaced whole', () => {
    const path = join(root, 'file');
    replaceFile(path, 'one');
    replaceFile(path, 'two');
    expect(readFileSync(path, 'utf8')).toBe('two');
    expect(() => replaceFile(join(root, 'none/file'), 'x')).toThrow();
    // What somebody who was killed before the rename has left is taken over.
    writeFileSync(join(root, 'file.new'), 'a longer text that was cut off');
    replaceFile(path, 'three');
    expect(readFileSync(path, 'utf8')).toBe('three');
    expect(readdirSync(root).sort()).toEqual(['file', 'home']);
  });
});

describe('records', () => {
  test('come back as written', async () => {
    const written = record('web', { lastCheckpoint: { snapshot: '/s', at: 7 } });
    writeRecord(home, written);
    expect(await readRecord(home, written.id)).toEqual(written);
    takeName(home, 'web', written.id);
    expect((await findRecord(home, 'web')).id).toBe(written.id);
    expect((await findRecord(home, written.id)).id).toBe(written.id);
  });

  test('that are not there are not found', async () => {
    for (const name of ['none', '../../etc', '', 'ffffffffffff', '123']) {
      await expect(findRecord(home, name), name).rejects.toMatchObject({ code: 'ERR_STASIS_NOT_FOUND' });
    }
  });

  test('that are damaged are named, and hide no other', async () => {
    const [good, bad] = [record('good'), record('bad')];
    writeRecord(home, good);
    for (const text of [
      '',
      '{',
      '[]',
      JSON.stringify({ ...bad, name: '../x' }),
      JSON.stringify({ ...bad, id: good.id }),
    ]) {
      writeFileSync(home.application(bad.id).record, text);
      await expect(readRecord(home, bad.id), text).rejects.toMatchObject({
        code: 'ERR_STASIS_DAMAGED',
        path: home.application(bad.id).record,
      });
      expect((await listRecords(home)).map(({ id }) => id)).toEqual([good.id]);
    }
  });

  test('any JSON is judged without throwing', () => {
    fc.assert(fc.property(fc.oneof(fc.json(), fc.string()), (text) => 'problem' in parseRecord(text)));
  });
});

describe('snapshots', () => {
  test('are found by name, number, path and application', () => {
    for (const reference of ['web@1', 'web@2', 'web@10', 'other@1']) image(join(home.snapshots, reference));
    const elsewhere = image(join(root, 'elsewhere'));
    const stopped = record('stopped');
    takeName(home, 'stopped', stopped.id);
    writeFileSync(home.application(stopped.id).status, `state=checkpointed\nsnapshot=${elsewhere}\n`);
    expect(listSnapshots(home).map(({ reference }) => reference)).toEqual(['other@1', 'web@1', 'web@2', 'web@10']);
    expect(findSnapshot(home, 'web')).toMatchObject({ reference: 'web@10', number: 10, name: 'web' });
    expect(findSnapshot(home, 'web@2').path).toBe(join(home.snapshots, 'web@2'));
    expect(findSnapshot(home, elsewhere)).toMatchObject({ path: elsewhere, reference: null });
    expect(findSnapshot(home, `${elsewhere}/`)).toMatchObject({ path: elsewhere });
    expect(findSnapshot(home, 'stopped').path).toBe(elsewhere);
    expect(findSnapshot(home, stopped.id).path).toBe(elsewhere);
    expect(findSnapshot(home, join(home.snapshots, 'web@1'))).toMatchObject({ reference: 'web@1', name: 'web' });
  });

  test.each(['none', 'web@7', './none', '/', '', 'ffffffffffff', '../x', 'a@0'])('%j is not found', (argument) => {
    image(join(home.snapshots, 'web@1'));
    expect(() => findSnapshot(home, argument)).toThrow(expect.objectContaining({ code: 'ERR_STASIS_NOT_FOUND' }));
  });
});

describe('runtimes', () => {
  test('are copied once, and again when the copy is short', () => {
    const file = join(root, 'runtime');
    writeFileSync(file, 'program');
    const first = ensureRuntime(home, file, () => 'abcd');
    expect(first).toEqual({ buildId: 'abcd', path: join(home.runtimes, 'abcd') });
    const { ino } = statSync(first.path);
    expect(statSync(ensureRuntime(home, file, () => 'never asked').path).ino).toBe(ino);
    rmSync(first.path);
    writeFileSync(first.path, 'pro');
    expect(readFileSync(ensureRuntime(home, file, () => 'abcd').path, 'utf8')).toBe('program');
    expect(existsSync(first.path)).toBe(true);
    expect(readdirSync(home.runtimes)).toEqual(['abcd']);
  });
});
