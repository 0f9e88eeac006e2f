// stasis restore: like run, in the foreground unless detached, but from a snapshot.

import type { Command } from 'commander';
import { restoreInForeground } from '../../snapshot/restore.js';
import { Stasis } from '../../stasis.js';
import { openDefaultHome } from '../../store/open.js';
import { findSnapshot } from '../../store/snapshots.js';
import { interruptible } from '../interrupt.js';
import type { ActionRunner } from '../main.js';
import { formatMs } from '../output.js';

interface Options {
  readonly name?: string;
  readonly detach?: boolean;
}

export function define(command: Command, run: ActionRunner): void {
  command
    .argument('<snapshot>', 'NAME (its latest), NAME@N, an application id, or a path with a slash')
    .option('-n, --name <name>', 'name of the application; default: the one it was saved under')
    .option('-d, --detach', 'run in the background and print the name; output goes to logs')
    .action((reference: string, options: Options) =>
      run(async (output) => {
        if (!options.detach) {
          const home = openDefaultHome();
          return restoreInForeground(home, findSnapshot(home, reference), options.name);
        }
        const stasis = await Stasis.open();
        const snapshot = await stasis.snapshot(reference);
        const name = options.name === undefined ? {} : { name: options.name };
        const application = await interruptible((signal) => stasis.restore(snapshot, { ...name, signal }));
        const timings = application.restoreTimings;
        output.result({ ...application.toJSON(), timings }, application.name);
        const took = timings === null ? '' : ` in ${formatMs(timings.resumed / 1000)}`;
        output.note(`restored from ${snapshot.reference ?? snapshot.path}${took}, pid ${application.pid ?? 'unknown'}`);
      }),
    );
}
