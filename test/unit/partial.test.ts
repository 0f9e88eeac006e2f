// The clean-up of interrupted checkpoints deletes what a checkpoint made, and nothing else, whatever the notes say.

import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { Home } from '../../src/store/home.js';
import { claimPartial, cleanPartials, parsePartialNote } from '../../src/store/partial.js';
import { bootId, ownIdentity } from '../../src/store/process-identity.js';
import { listSnapshots, nextSnapshotPath } from '../../src/store/snapshots.js';

const id = '0123456789abcdef';
const gone = { pid: 4_194_305, startTime: 1, bootId: bootId() }; // beyond PID_MAX_LIMIT

let root: string;
let home: Home;

beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'partial-'));
  home = Home.open(join(root, 'home'));
});
afterEach(() => rmSync(root, { recursive: true }));

function note(directory: unknown, more: object = {}, name = id): void {
  writeFileSync(join(home.partial, `${name}.json`), JSON.stringify({ id, directory, ...gone, ...more }));
}

function fill(directory: string): string {
  mkdirSync(directory, { recursive: true });
  writeFileSync(join(directory, 'image.stasis'), 'half');
  return directory;
}

describe('what is cleared', () => {
  test('the directory and note of a process that is gone', () => {
    const directory = fill(join(home.snapshots, `web@1.partial-${id}`));
    note(directory);
    expect(cleanPartials(home)).toEqual([directory]);
    expect(existsSync(directory)).toBe(false);
    expect(readdirSync(home.partial)).toEqual([]);
  });

  test('a note whose directory was never made', () => {
    note(join(root, `out.partial-${id}`));
    cleanPartials(home);
    expect(readdirSync(home.partial)).toEqual([]);
  });

  test('a note that was never finished, as soon as its writer is gone', () => {
    const own = ownIdentity();
    const unfinished = (pid: number, startTime: number) => `${id}.json.${pid}.${startTime}`;
    const stays = [unfinished(own.pid, own.startTime)];
    for (const entry of [...stays, unfinished(gone.pid, gone.startTime), unfinished(own.pid, own.startTime + 1)]) {
      writeFileSync(join(home.partial, entry), '{"id":');
    }
    expect(cleanPartials(home)).toEqual([]);
    expect(readdirSync(home.partial)).toEqual(stays);
  });

  test('also when the pid has a new owner, and after a reboot', () => {
    for (const more of [
      { pid: process.pid, startTime: 1 },
      { ...ownIdentity(), bootId: 'another boot' },
    ]) {
      const directory = fill(join(root, `out.partial-${id}`));
      note(directory, more);
      cleanPartials(home);
      expect(existsSync(directory)).toBe(bootId() === '' && 'bootId' in more);
    }
  });

  test('not while the process lives', () => {
    const claim = claimPartial(home, join(home.snapshots, 'web@1'));
    fill(claim.directory);
    expect(cleanPartials(home)).toEqual([]);
    expect(existsSync(claim.directory)).toBe(true);
    claim.release();
    expect(existsSync(claim.directory)).toBe(false);
    expect(readdirSync(home.partial)).toEqual([]);
  });
});

describe('what is not touched', () => {
  const victims: Array<[what: string, directory: (root: string) => unknown, more?: object]> = [
    ['a directory without the mark', (path) => join(path, 'victim')],
    ['the mark of another note', (path) => join(path, 'victim.partial-ffffffffffffffff')],
    ['the mark in a parent only', (path) => join(path, `x.partial-${id}`, 'victim')],
    ['a path with dots', (path) => `${path}/x.partial-${id}/../victim`],
    ['a relative path', () => `victim.partial-${id}`],
    ['nothing but the mark', (path) => join(path, `.partial-${id}`)],
    ['a number', () => 7],
    ['a note of another id', (path) => join(path, `victim.partial-${id}`), { id: 'ffffffffffffffff' }],
    ['a note without a process', (path) => join(path, `victim.partial-${id}`), { pid: 'x' }],
  ];

  test.each(victims)('%s', (_what, directory, more = {}) => {
    const path = directory(root);
    const victim = typeof path === 'string' && path.startsWith('/') ? fill(path) : fill(join(root, 'victim'));
    note(path, more);
    expect(cleanPartials(home)).toEqual([]);
    expect(existsSync(join(victim, 'image.stasis'))).toBe(true);
  });

  test('what a symbolic link leads to', () => {
    const victim = fill(join(root, 'victim'));
    symlinkSync(victim, join(root, `out.partial-${id}`));
    note(join(root, `out.partial-${id}`));
    cleanPartials(home);
    expect(existsSync(join(victim, 'image.stasis'))).toBe(true);
  });

  test('a directory that holds more than files', () => {
    const directory = fill(join(root, `out.partial-${id}`));
    fill(join(directory, 'deeper'));
    note(directory);
    expect(cleanPartials(home)).toEqual([]);
    expect(existsSync(join(directory, 'image.stasis'))).toBe(true);
  });

  test('anything, for a note that is no note', () => {
    for (const text of ['', '{', 'null', '[]', '"x"', '{"__proto__":{}}', '\0', '{'.repeat(10_000)]) {
      writeFileSync(join(home.partial, `${id}.json`), text);
      expect(cleanPartials(home)).toEqual([]);
    }
    mkdirSync(join(home.partial, 'ffffffffffffffff.json'));
    const others = ['README', `${id}.json.${gone.pid}`, `${id}.json.${gone.pid}.`, `${id}.jso.${gone.pid}.1`];
    for (const other of others) writeFileSync(join(home.partial, other), 'hello');
    mkdirSync(join(home.partial, `${id}.json.${gone.pid}.1`));
    expect(cleanPartials(home)).toEqual([]);
    expect(readdirSync(home.partial)).toEqual(expect.arrayContaining([...others, `${id}.json.${gone.pid}.1`]));
  });
});

test('a note is read as written or not at all', () => {
  fc.assert(fc.property(fc.string(), fc.string(), (name, text) => parsePartialNote(name, text) === undefined));
  fc.assert(
    fc.property(fc.json(), (text) => {
      const parsed = parsePartialNote(id, text);
      if (parsed !== undefined) expect(parsed.directory.endsWith(`.partial-${id}`)).toBe(true);
    }),
  );
});

test('an unfinished snapshot is not listed, and its number is not given twice', () => {
  fill(join(home.snapshots, 'web@1'));
  fill(join(home.snapshots, `web@2.partial-${id}`));
  mkdirSync(join(home.snapshots, 'web@3')); // no image in it
  expect(listSnapshots(home).map(({ reference }) => reference)).toEqual(['web@1']);
  expect(nextSnapshotPath(home, 'web')).toBe(join(home.snapshots, 'web@4'));
  expect(nextSnapshotPath(home, 'other')).toBe(join(home.snapshots, 'other@1'));
});
