// Commands that take several subjects: each is tried, those that succeed are printed, and the first failure decides the exit status.

import { type Output, reportError } from './output.js';

export async function forEach(
  references: readonly string[],
  output: Output,
  action: (reference: string) => Promise<void>,
): Promise<number> {
  let exitCode = 0;
  const done: string[] = [];
  for (const reference of references) {
    try {
      await action(reference);
      done.push(reference);
    } catch (error) {
      const code = reportError(error, output.json);
      if (exitCode === 0) exitCode = code;
    }
  }
  if (output.json || done.length > 0) output.result(done, done.join('\n'));
  return exitCode;
}
