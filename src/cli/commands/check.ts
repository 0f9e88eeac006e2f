// stasis check: each kernel feature that Stasis uses, whether it is there, and what to do where it is not. Exit 4 when a required one is
// missing.

import type { Command } from 'commander';
import type { HostReport } from '../../check/check.js';
import { Stasis } from '../../stasis.js';
import type { ActionRunner } from '../main.js';
import { painter } from '../output.js';

export function define(command: Command, run: ActionRunner): void {
  command.action(() =>
    run(async (output) => {
      const stasis = await Stasis.open();
      const report = await stasis.check();
      output.result(report, describe(report));
      return report.ready ? 0 : 4;
    }),
  );
}

function describe(report: HostReport): string {
  const paint = painter('stdout');
  const width = Math.max(0, ...report.features.map(({ name }) => name.length));
  const lines = report.features.flatMap(({ name, available, required, usedFor, detail, remedy }) => {
    const mark = available ? paint('green', 'yes') : required ? paint('red', 'NO ') : paint('yellow', 'no ');
    const line = `${mark}  ${name.padEnd(width)}  ${detail || usedFor}`;
    if (available) return [line];
    const indent = ' '.repeat(width + 7);
    return [line, `${indent}used for: ${usedFor}`, ...(remedy === '' ? [] : [`${indent}${paint('cyan', remedy)}`])];
  });
  const verdict = report.ready
    ? paint('green', 'This host can run, checkpoint and restore.')
    : paint('red', 'This host lacks a required feature.');
  const more = 'What of a program is saved, how and with which privilege: docs/state.md';
  return `${[...lines, verdict, more].join('\n')}\n`;
}
