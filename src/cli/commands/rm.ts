// stasis rm: forgets applications that have ended, with their logs, and deletes snapshots named NAME@N. Snapshots of an application stay
// when the application goes.

import type { Command } from 'commander';
import { Stasis } from '../../stasis.js';
import { forEach } from '../for-each.js';
import type { ActionRunner } from '../main.js';

export function define(command: Command, run: ActionRunner): void {
  command
    .argument('<reference...>', 'names or ids of applications, or snapshots as NAME@N')
    .option('-f, --force', 'kill applications that still run')
    .action((references: string[], options: { force?: boolean }) =>
      run(async (output) => {
        const stasis = await Stasis.open();
        return forEach(references, output, (reference) => stasis.remove(reference, { force: options.force ?? false }));
      }),
    );
}
