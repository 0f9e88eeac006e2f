// stasis checkpoint: prints what `restore` takes, and on stderr what it cost. An interrupt winds it up; the application goes on.

import type { Command } from 'commander';
import { Stasis } from '../../stasis.js';
import { interruptible } from '../interrupt.js';
import type { ActionRunner } from '../main.js';
import { formatBytes, formatMs } from '../output.js';
import { parseDuration, parseSize } from '../values.js';

interface Options {
  readonly output?: string;
  readonly leaveRunning?: boolean;
  readonly timeout?: string;
  readonly maxCopy?: number;
  readonly saveFiles?: number;
  readonly tcpEstablished?: boolean;
  readonly tcpClose?: boolean;
}

export function define(command: Command, run: ActionRunner): void {
  command
    .argument('<application>', 'name or id')
    .option('-o, --output <directory>', 'directory to make; default: NAME@N in the state directory')
    .option('-r, --leave-running', 'let the application go on; otherwise it is stopped once it is saved')
    .option('-t, --timeout <duration>', 'give up after this long, such as 30s or 2m; default 10m')
    .option(
      '--max-copy <size>',
      'with --leave-running: memory that the copy of the application may use, such as 512M',
      parseSize,
    )
    .option(
      '--save-files <size>',
      'also store files that are open for writing, each up to this size, such as 64M',
      parseSize,
    )
    .option('--tcp-established', 'keep TCP connections to programs outside (needs CAP_NET_ADMIN)')
    .option('--tcp-close', 'let TCP connections to programs outside be reset in the restored application')
    .action((nameOrId: string, options: Options) =>
      run(async (output) => {
        const timeout = options.timeout === undefined ? undefined : parseDuration(options.timeout);
        const stasis = await Stasis.open();
        const application = await stasis.application(nameOrId);
        const { maxCopy, saveFiles, tcpEstablished = false, tcpClose = false } = options;
        const kinds = {
          tcpEstablished,
          tcpClose,
          ...(maxCopy === undefined ? {} : { maxCopy }),
          ...(saveFiles === undefined ? {} : { saveFiles }),
        };
        const leaveRunning = options.leaveRunning ?? false;
        const snapshot = await interruptible((signal) =>
          application.checkpoint({
            leaveRunning,
            signal,
            ...(options.output === undefined ? {} : { output: options.output }),
            ...kinds,
            ...(timeout === undefined ? {} : { timeout }),
          }),
        );
        output.result(
          { ...snapshot.toJSON(), application: application.name, running: leaveRunning },
          snapshot.reference ?? snapshot.path,
        );
        const cost = snapshot.statistics;
        if (cost === null) return;
        for (const warning of cost.warnings) output.note(`warning: ${warning}`);
        const parts = [
          `${formatBytes(cost.pageBytes)} of pages`,
          ...(cost.processes > 1 ? [`${cost.processes} processes`] : []),
          `${cost.threads} ${cost.threads === 1 ? 'thread' : 'threads'}`,
        ];
        const size = parts.join(', ');
        const after = leaveRunning ? `running again after ${formatMs(cost.pauseMs)}` : 'stopped';
        output.note(`${application.name} saved in ${formatMs(cost.totalMs)} (${size}), ${after}`);
      }),
    );
}
