// stasis inspect: every record of an image, or its header alone, for people or as JSON; or the ids of a running application.

import type { Command } from 'commander';
import type { ResourceId } from '../../native.js';
import { Stasis } from '../../stasis.js';
import type { ActionRunner } from '../main.js';
import { type Output, table } from '../output.js';

interface Options {
  readonly header?: boolean;
  readonly verify?: boolean;
  readonly ids?: boolean;
}

export function define(command: Command, run: ActionRunner): void {
  command
    .argument(
      '<snapshot>',
      'NAME (its latest), NAME@N, an application id, or a path with a slash; with --ids an application',
    )
    .option('--header', 'only the header')
    .option('--verify', 'read the whole image first and compare it with its checksums')
    .option('--ids', "what a running application's ids stand for in the system")
    .action((reference: string, options: Options) =>
      run(async (output) => {
        const stasis = await Stasis.open();
        if (options.ids) {
          await printIds(output, (await stasis.application(reference)).ids());
          return;
        }
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

async function printIds(output: Output, ids: AsyncIterable<ResourceId>): Promise<void> {
  const rows: string[][] = [];
  for await (const id of ids) {
    if (output.json) output.record(id);
    else rows.push([id.kind, String(id.virtual), String(id.system ?? '-'), String(id.owner ?? '-'), id.state]);
  }
  if (!output.json) output.result(null, table(['KIND', 'VIRTUAL', 'SYSTEM', 'OWNER', 'STATE'], rows));
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
