// stasis inspect: every record of an image, or its header alone, for people or as JSON.

import type { Command } from 'commander';
import { Stasis } from '../../stasis.js';
import type { ActionRunner } from '../main.js';

interface Options {
  readonly header?: boolean;
  readonly verify?: boolean;
}

export function define(command: Command, run: ActionRunner): void {
  command
    .argument('<snapshot>', 'NAME (its latest), NAME@N, an application id, or a path with a slash')
    .option('--header', 'only the header')
    .option('--verify', 'read the whole image first and compare it with its checksums')
    .action((reference: string, options: Options) =>
      run(async (output) => {
        const stasis = await Stasis.open();
        const snapshot = await stasis.snapshot(reference);
        if (options.verify) await snapshot.verify();
        if (options.header) {
          const header = await snapshot.header();
          output.result(header, lines(header));
        } else if (output.json) {
          output.result(await snapshot.inspect(), '');
        } else {
          output.result(null, await snapshot.inspectText());
        }
      }),
    );
}

/** One `key  value` per line, nested keys joined by dots. */
function lines(value: Record<string, unknown>): string {
  const flat: Array<[string, string]> = [];
  const walk = (prefix: string, part: unknown): void => {
    if (typeof part === 'object' && part !== null) {
      for (const [key, inner] of Object.entries(part)) walk(prefix === '' ? key : `${prefix}.${key}`, inner);
    } else {
      flat.push([prefix, String(part)]);
    }
  };
  walk('', value);
  const width = Math.max(0, ...flat.map(([key]) => key.length));
  return flat.map(([key, text]) => `${key.padEnd(width)}  ${text}\n`).join('');
}
