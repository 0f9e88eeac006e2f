// docs/state.md against the tree: every guest that it names is there, every guest of a kind of state is named, and every refusal that it
// quotes is one that the code can give.

import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { checkout, guestSources } from '../support/paths.js';

const document = readFileSync(join(checkout, 'docs/state.md'), 'utf8');
const guests = new Set(
  readdirSync(guestSources)
    .filter((file) => /\.(c|cc)$/.test(file))
    .map((file) => basename(file).replace(/\.(c|cc)$/, '')),
);

interface Row {
  readonly kind: string;
  readonly cells: readonly string[];
}

/** Rows of the tables that have this heading in their first line. */
function rowsUnder(heading: string): Row[] {
  const rows: Row[] = [];
  let inside = false;
  for (const line of document.split('\n')) {
    if (!line.startsWith('|')) {
      inside = false;
      continue;
    }
    const cells = line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
    if (cells.includes(heading)) inside = true;
    else if (inside && !/^-+$/.test(cells[0] ?? '')) rows.push({ kind: cells[0] ?? '', cells });
  }
  return rows;
}

const kinds = rowsUnder('saved');
const refusals = rowsUnder('what it says');

/** Everything that the checkpoint's code says, joined over line ends. */
const said = ['checkpoint', 'image', 'tracer']
  .flatMap((directory) =>
    readdirSync(join(checkout, 'native', directory))
      .filter((file) => file.endsWith('.cc') || file.endsWith('.h'))
      .map((file) => readFileSync(join(checkout, 'native', directory, file), 'utf8')),
  )
  .join('\n')
  .replace(/"\s*\n\s*"/g, '');

describe('docs/state.md', () => {
  test('has a row for every kind, complete', () => {
    expect(kinds.length).toBeGreaterThan(30);
    for (const { kind, cells } of kinds) {
      expect(cells, kind).toHaveLength(6);
      expect(cells.slice(0, 3).every(Boolean), kind).toBe(true);
    }
  });

  test('names guests that exist', () => {
    for (const { kind, cells } of kinds) {
      const named = [...(cells[4] ?? '').matchAll(/`([a-z0-9-]+)`/g)].map(([, name]) => name as string);
      expect(named.length, `${kind}: a guest proves it`).toBeGreaterThan(0);
      for (const name of named) expect(guests, kind).toContain(name);
    }
  });

  test('knows every guest of a kind of state', () => {
    const ofState = /^(clock|creds|fd|file|ipc|limits|memory|pause|pipe|signals|tcp|threads|timers|tree|tty|udp|unix)-/;
    const unnamed = [...guests].filter((name) => ofState.test(name) && !document.includes(`\`${name}\``));
    expect(unnamed).toEqual([]);
  });

  test('quotes refusals that the code gives', () => {
    expect(refusals.length).toBeGreaterThan(10);
    for (const { kind, cells } of refusals) {
      const quoted = /^"(.*)"$/.exec(cells[1] ?? '')?.[1];
      expect(quoted, kind).toBeDefined();
      expect(said.includes(quoted as string), `${kind}: ${quoted}`).toBe(true);
    }
  });
});
