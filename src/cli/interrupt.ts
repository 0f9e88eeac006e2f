// Ctrl-C and friends during an operation that has to be wound up: the first signal aborts it, and the command ends with 128 plus the
// signal's number once it is wound up; a second one ends the command at once.

import { constants } from 'node:os';
import { StasisError } from '../errors.js';

const interrupting = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** Thrown when the user interrupted; already told by the terminal, so nothing is printed but the note. */
export class Interrupted extends Error {
  constructor(
    readonly exitCode: number,
    override readonly cause: StasisError,
  ) {
    super(cause.message);
  }
}

export async function interruptible<T>(operation: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let received: (typeof interrupting)[number] | undefined;
  const onSignal = (name: NodeJS.Signals): void => {
    if (received !== undefined) process.exit(128 + constants.signals[name]);
    received = name as (typeof interrupting)[number];
    controller.abort(new Error(name));
  };
  for (const name of interrupting) process.on(name, onSignal);
  try {
    return await operation(controller.signal);
  } catch (error) {
    if (received !== undefined && error instanceof StasisError && error.code === 'ERR_STASIS_CANCELLED') {
      throw new Interrupted(128 + constants.signals[received], error);
    }
    throw error;
  } finally {
    for (const name of interrupting) process.off(name, onSignal);
  }
}
