// stasis wait: ends when the application ends, and as it ended: with its exit status, or 128 plus the number of the signal that killed it.

import type { Command } from 'commander';
import { StasisError } from '../../errors.js';
import { Stasis } from '../../stasis.js';
import type { Ending } from '../../store/status.js';
import type { ActionRunner } from '../main.js';
import { parseDuration } from '../values.js';

export function define(command: Command, run: ActionRunner): void {
  command
    .argument('<application>', 'name or id')
    .option('-t, --timeout <duration>', 'give up after this long, such as 30s or 2m; default: never')
    .action((nameOrId: string, options: { timeout?: string }) =>
      run(async (output) => {
        const timeout = options.timeout === undefined ? {} : { timeout: parseDuration(options.timeout) };
        const stasis = await Stasis.open();
        const application = await stasis.application(nameOrId);
        const ending = await application.wait(timeout);
        const exitCode = exitCodeOf(ending, application.name);
        output.result(ending, wordsFor(ending));
        return exitCode;
      }),
    );
}

function exitCodeOf(ending: Ending, name: string): number {
  switch (ending.state) {
    case 'exited':
      return ending.code;
    case 'signaled':
      return 128 + ending.signal;
    case 'checkpointed':
      return 0;
    case 'lost':
      throw new StasisError('Failed', `${name} has ended, but its keeper was gone, so nobody saw how`);
    case 'failed':
      throw new StasisError('Failed', `${name} never came up`);
  }
}

function wordsFor(ending: Ending): string {
  if (ending.state === 'exited') return `exited ${ending.code}`;
  if (ending.state === 'signaled') return `killed by ${ending.signalName}`;
  return ending.state === 'checkpointed' ? `checkpointed ${ending.snapshot}` : ending.state;
}
