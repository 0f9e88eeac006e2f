// stasis kill: sends a signal and returns; `stasis wait` sees the end.

import type { Command } from 'commander';
import { Stasis } from '../../stasis.js';
import { forEach } from '../for-each.js';
import type { ActionRunner } from '../main.js';
import { parseSignal } from '../values.js';

export function define(command: Command, run: ActionRunner): void {
  command
    .argument('<application...>', 'names or ids')
    .option('-s, --signal <signal>', 'name or number', 'TERM')
    .action((references: string[], options: { signal: string }) =>
      run(async (output) => {
        const signal = parseSignal(options.signal);
        const stasis = await Stasis.open();
        return forEach(references, output, async (reference) => {
          await (await stasis.application(reference)).kill(signal);
        });
      }),
    );
}
