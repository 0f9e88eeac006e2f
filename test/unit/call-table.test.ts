// The table of calls in docs/interposition.md is held equal to the sources: it has every call that the filter sends to the handler for its
// ids or addresses, with the condition written there (runtime/filter_calls.h), and every call that is handled (runtime/ids_dispatch.cc), with the
// file of its handler; and the tests that it names exist. `UPDATE_DOCS=1 npx vitest run test/unit/call-table.test.ts` writes the second and
// third column anew.

import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';

const path = (name: string): URL => new URL(`../../${name}`, import.meta.url);
const read = (name: string): string => readFileSync(path(name), 'utf8');

/** Numbers of the calls, as the C library knows them. */
const numbers = new Map(
  [
    ...execFileSync('gcc', ['-E', '-dM', '-x', 'c', '-'], { input: '#include <asm/unistd_64.h>\n' })
      .toString()
      .matchAll(/^#define __NR_(\w+) (\d+)$/gm),
  ].map(([, name, number]) => [name as string, Number(number)]),
);
const names = new Map([...numbers].map(([name, number]) => [number, name]));

interface Entry {
  readonly calls: readonly string[];
  readonly part: string;
  readonly when: string;
}

/** A test of the filter in words. */
function inWords(test: string, argument: string, value: string, values: string): string {
  const list = values
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '' && item !== '-1');
  const words: Record<string, string> = {
    Always: 'always',
    Refuse: 'refused',
    Nonzero: `argument ${argument} is not 0`,
    Nonzero32: `argument ${argument} is not 0`,
    Not: `argument ${argument} is not ${value}`,
    Negative: `argument ${argument} is negative`,
    BitSet: `argument ${argument} has bit ${value}`,
    BitClear: `argument ${argument} lacks ${value}`,
    OneOf: `argument ${argument} is ${list.join(', ')}`,
    ParkedFd: `argument ${argument} is the parked descriptor`,
    CoversParkedFd: 'the range has the parked descriptor',
    FutexIds: 'the operation is on such a word',
  };
  return words[test] ?? test;
}

function filterEntries(): Entry[] {
  const source = read('native/runtime/filter_calls.h');
  const body = /constexpr Entry kEntries\[\] = \{\n([\s\S]*?)\n\};/.exec(source)?.[1] ?? '';
  const text = body.replace(/\/\*.*?\*\//g, '').replace(/\/\/.*$/gm, '');
  // One entry: { ... }, perhaps with a list of values in braces of its own.
  return [...text.matchAll(/\{((?:[^{}]|\{[^{}]*\})*)\}/g)].map(([, inside = '']) => {
    const values = /\{([^{}]*)\}/.exec(inside)?.[1] ?? '';
    const fields = inside.replace(/,?\s*\{[^{}]*\}/, '').split(',');
    const designated = new Map(
      fields.flatMap((field) => {
        const match = /^\s*\.(\w+) = (.+?)\s*$/.exec(field);
        return match ? [[match[1] as string, match[2] as string] as const] : [];
      }),
    );
    const field = (name: string, index: number): string => designated.get(name) ?? fields[index]?.trim() ?? '';
    const numberOf = (word: string): number => numbers.get(word.replace('__NR_', '')) ?? Number(word);
    const first = designated.size > 0 ? field('number', -1) : field('number', 0);
    const plain = designated.size === 0;
    const last = plain ? first : (designated.get('last') ?? first);
    const calls: string[] = [];
    for (let n = numberOf(first); n <= numberOf(last); n++) calls.push(names.get(n) ?? String(n));
    return {
      calls,
      part: plain ? field('part', 1) : field('part', -1),
      when: inWords(
        (plain ? field('test', 2) : field('test', -1)).replace('Test::', ''),
        plain ? field('argument', 3) || '0' : field('argument', -1),
        plain ? field('value', 4) : field('value', -1),
        values,
      ),
    };
  });
}

/** By call: the conditions under which it traps for its ids or addresses; those of every launch if there are no others. */
function conditions(): Map<string, string> {
  const entries = filterEntries();
  const found = new Map<string, string>();
  for (const name of new Set(entries.flatMap(({ calls }) => calls))) {
    const own = entries.filter(({ calls }) => calls.includes(name));
    const of = (part: string): string =>
      own
        .filter((entry) => entry.part.includes(part))
        .map(({ when }) => when)
        .join('; or ');
    const parts = [of('kPartIds'), of('kPartNet') && `in an environment: ${of('kPartNet')}`].filter(Boolean);
    found.set(name, parts.length > 0 ? parts.join('; ') : `every launch: ${of('kPartBase')}`);
  }
  return found;
}

/** By call: the files of the functions that its case in a dispatcher names. */
function casesOf(file: string, dispatcher: string): Map<string, string> {
  const directory = 'native/runtime/';
  const definedIn = new Map<string, string>();
  for (const name of readdirSync(path(directory)).filter((entry) => entry.endsWith('.cc'))) {
    for (const [, defined = ''] of read(`${directory}${name}`).matchAll(/^i64 (\w+)\(Trap& /gm))
      definedIn.set(defined, name);
  }
  const body =
    new RegExp(`^i64 ${dispatcher}\\(Trap& trap\\) \\{([\\s\\S]*?)^\\}`, 'm').exec(read(`${directory}${file}`))?.[1] ??
    '';
  const found = new Map<string, string>();
  const cases = /((?:\s*case \w+:(?:\s*\/\/.*)?)+)([\s\S]*?)(?=\n\s*(?:case|default))/g;
  for (const [, labels = '', statements = ''] of body.matchAll(cases)) {
    const files = [...statements.matchAll(/(\w+)\(trap\)/g)].flatMap(([, name = '']) => definedIn.get(name) ?? []);
    for (const [, name = ''] of labels.matchAll(/case __NR_(\w+):/g)) found.set(name, [...new Set(files)].join(', '));
  }
  return found;
}

interface Row {
  readonly line: number;
  readonly calls: readonly string[];
  readonly cells: readonly string[];
}

const document = 'docs/interposition.md';

function rows(): Row[] {
  return read(document)
    .split('\n')
    .flatMap((text, line) => {
      if (!text.startsWith('| `')) return [];
      const cells = text
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim());
      if (cells.length !== 6) return [];
      return [{ line, cells, calls: [...(cells[0] as string).matchAll(/`(\w+)`/g)].map(([, name = '']) => name) }];
    });
}

describe('the table of calls', () => {
  const when = conditions();
  const withIds = casesOf('ids_dispatch.cc', 'dispatch_ids');
  const withoutIds = casesOf('dispatch.cc', 'dispatch_base');
  for (const name of withIds.keys()) if (!when.has(name)) when.set(name, 'by a further filter');
  const calls = rows().flatMap((row) => row.calls);
  const wanted = [...when.keys()].filter((name) => !when.get(name)?.startsWith('every launch') || withIds.has(name));

  test('is understood', () => {
    expect(filterEntries().length).toBeGreaterThan(100);
    expect(
      filterEntries().filter(
        ({ calls: of, part, when: text }) => of.length === 0 || !part.startsWith('kPart') || text === '',
      ),
    ).toEqual([]);
    expect(withIds.size).toBeGreaterThan(50);
    expect(withoutIds.size).toBeGreaterThan(10);
  });

  test('has every call that the filter and the dispatcher have, once', () => {
    expect([...calls].sort()).toEqual([...new Set(calls)].sort());
    expect([...calls].sort()).toEqual([...new Set(wanted)].sort());
  });

  test('tells when a call traps and where it is handled', () => {
    const expected = (name: string): string[] => [
      when.get(name) ?? '',
      withIds.get(name) ?? withoutIds.get(name) ?? 'nowhere',
    ];
    const lines = read(document).split('\n');
    for (const { line, calls: of, cells } of rows()) {
      if (process.env.UPDATE_DOCS) {
        // Calls of one row that are not alike any more get rows of their own.
        const alike = new Map<string, string[]>();
        for (const name of of) {
          const key = expected(name).join(' | ');
          alike.set(key, [...(alike.get(key) ?? []), `\`${name}\``]);
        }
        const split = [...alike].map(([key, names]) => `| ${[names.join(', '), key, ...cells.slice(3)].join(' | ')} |`);
        lines[line] = split.join('\n');
      } else for (const name of of) expect(cells.slice(1, 3), name).toEqual(expected(name));
    }
    if (process.env.UPDATE_DOCS) writeFileSync(path(document), lines.join('\n'));
  });

  test('has the calls with a fast path that the sources have', () => {
    const [, source = ''] =
      /^bool has_fast_handler\([\s\S]*?\{([\s\S]*?)^\}/m.exec(read('native/runtime/sites.cc')) ?? [];
    const [, text = ''] = /^These calls have a fast path[^:]*:([\s\S]*?)\n\n/m.exec(read(document)) ?? [];
    const inSource = [...source.matchAll(/case __NR_(\w+):/g)].map(([, name]) => name);
    const inDocument = [...text.matchAll(/`(\w+)`/g)].map(([, name]) => name);
    expect(inSource.length).toBeGreaterThan(20);
    expect(inDocument.sort()).toEqual(inSource.sort());
  });

  test('names tests that exist', () => {
    for (const { cells } of rows()) {
      const proofs = [...(cells[5] as string).matchAll(/`([\w.-]+)`/g)].map(([, name = '']) => name);
      if (cells[2] !== 'nowhere') expect(proofs.length, cells[0]).toBeGreaterThan(0);
      for (const name of proofs) {
        const places = name.endsWith('.test.ts')
          ? [`test/integration/${name}`, `test/unit/${name}`]
          : [`test/guests/${name}.c`, `test/guests/${name}.cc`, `native/test/unit/${name}.cc`];
        expect(
          places.some((place) => existsSync(path(place))),
          `${name}, which ${cells[0]} names`,
        ).toBe(true);
      }
    }
  });
});
