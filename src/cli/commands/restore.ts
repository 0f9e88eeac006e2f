// stasis restore: like run, in the foreground unless detached, but from a snapshot.

import { type Command, Option } from 'commander';
import type { FilesPolicy } from '../../native.js';
import { restoreInForeground } from '../../snapshot/restore.js';
import { Stasis } from '../../stasis.js';
import { openDefaultHome } from '../../store/open.js';
import { findSnapshot } from '../../store/snapshots.js';
import { interruptible } from '../interrupt.js';
import type { ActionRunner } from '../main.js';
import { formatMs } from '../output.js';
import { parseShift } from '../values.js';

interface Options {
  readonly name?: string;
  readonly detach?: boolean;
  readonly shiftIds?: number;
  readonly fastPath: boolean;
  readonly files?: FilesPolicy;
  readonly tcpClose?: boolean;
}

export function define(command: Command, run: ActionRunner): void {
  command
    .argument('<snapshot>', 'NAME (its latest), NAME@N, an application id, or a path with a slash')
    .option('-n, --name <name>', 'name of the application; default: the one it was saved under')
    .option('-d, --detach', 'run in the background and print the name; output goes to logs')
    .addOption(
      new Option(
        '--files <policy>',
        'where a file open for writing has changed since: fail, keep it and go on, or restore-content (checkpoint --save-files)',
      ).choices(['fail', 'keep', 'restore-content']),
    )
    .option('--tcp-close', 'let TCP connections to programs outside be reset')
    .option('--no-fast-path', 'change no code of libraries: calls that the runtime has to see always trap')
    .addOption(new Option('--shift-ids <n>', 'add n to the ids of new processes').argParser(parseShift).hideHelp())
    .action((reference: string, options: Options) =>
      run(async (output) => {
        const common = {
          fastPath: options.fastPath,
          ...(options.name === undefined ? {} : { name: options.name }),
          ...(options.files === undefined ? {} : { files: options.files }),
          ...(options.tcpClose === undefined ? {} : { tcpClose: options.tcpClose }),
          ...(options.shiftIds === undefined ? {} : { shiftIds: options.shiftIds }),
        };
        if (!options.detach) {
          const home = openDefaultHome();
          return restoreInForeground(home, findSnapshot(home, reference), common);
        }
        const stasis = await Stasis.open();
        const snapshot = await stasis.snapshot(reference);
        const application = await interruptible((signal) => stasis.restore(snapshot, { ...common, signal }));
        const timings = application.restoreTimings;
        const warnings = application.restoreWarnings;
        output.result({ ...application.toJSON(), timings, warnings }, application.name);
        const took = timings === null ? '' : ` in ${formatMs(timings.resumed / 1000)}`;
        for (const warning of warnings) output.note(`warning: ${warning}`);
        output.note(`restored from ${snapshot.reference ?? snapshot.path}${took}, pid ${application.pid ?? 'unknown'}`);
      }),
    );
}
