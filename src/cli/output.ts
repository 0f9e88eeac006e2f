// What commands print. Data goes to stdout, as text for people or as JSON with --json; progress and errors go to stderr, so that stdout
// can be piped on. Colour only on a terminal and never with NO_COLOR.

import pc from 'picocolors';
import { isArgumentError } from '../arguments.js';
import { StasisError } from '../errors.js';
import { UsageError } from './values.js';

export interface Output {
  readonly json: boolean;
  /** The command's result: `text` for people, `value` with --json. */
  result(value: unknown, text: string): void;
  /** One line of a stream of values: NDJSON. */
  record(value: unknown): void;
  /** A remark for people on stderr; silent with --json. */
  note(text: string): void;
}

export function createOutput(json: boolean): Output {
  return {
    json,
    result(value, text) {
      write(
        process.stdout,
        json ? `${JSON.stringify(value, plain)}\n` : text === '' || text.endsWith('\n') ? text : `${text}\n`,
      );
    },
    record(value) {
      write(process.stdout, `${JSON.stringify(value, plain)}\n`);
    },
    note(text) {
      if (!json) write(process.stderr, `${colours(process.stderr).dim(text)}\n`);
    },
  };
}

export function colours(stream: NodeJS.WriteStream): ReturnType<typeof pc.createColors> {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  return pc.createColors(!NO_COLOR && (Boolean(FORCE_COLOR) || (stream.isTTY && TERM !== 'dumb')));
}

function write(stream: NodeJS.WriteStream, text: string): void {
  if (text !== '') stream.write(text);
}

function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

/** Columns under a heading, two spaces apart; the last column is as wide as it is. Control characters are shown, not obeyed. */
export function table(heading: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const paint = colours(process.stdout);
  const cells = rows.map((row) => row.map(visible));
  const widths = heading.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === heading.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd();
  return [paint.bold(line(heading)), ...cells.map(line)].map((text) => `${text}\n`).join('');
}

/** Text that others chose, made safe for a terminal. */
export function visible(text: string): string {
  return text.replace(/[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]/gu, (character) => {
    if (character === '\n') return '\\n';
    if (character === '\t') return '\\t';
    return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
  });
}

export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

export function formatMs(ms: number): string {
  return ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : ms >= 100 ? `${Math.round(ms)} ms` : `${ms.toFixed(1)} ms`;
}

/** Prints an error to stderr and gives its exit status. */
export function reportError(error: unknown, json: boolean): number {
  const told = explain(error);
  if (json) {
    write(process.stderr, `${JSON.stringify({ error: told.plain }, plain)}\n`);
    return told.exitCode;
  }
  const paint = colours(process.stderr);
  write(process.stderr, `${paint.red('stasis:')} ${visible(told.message)}\n`);
  for (const detail of told.details) write(process.stderr, `  ${paint.red('-')} ${visible(detail)}\n`);
  if (told.remedy !== undefined) write(process.stderr, `  ${paint.cyan('>')} ${visible(told.remedy)}\n`);
  return told.exitCode;
}

interface Told {
  readonly message: string;
  readonly details: readonly string[];
  readonly remedy: string | undefined;
  readonly exitCode: number;
  readonly plain: Record<string, unknown>;
}

function explain(error: unknown): Told {
  if (error instanceof StasisError) {
    const { message, details = [], remedy, exitCode } = error;
    return { message, details, remedy, exitCode, plain: error.toJSON() };
  }
  const message = error instanceof Error ? error.message : String(error);
  if (error instanceof UsageError || isArgumentError(error)) {
    const text = message.replace(/^options\./, '--');
    return {
      message: text,
      details: [],
      remedy: undefined,
      exitCode: 2,
      plain: { code: 'ERR_STASIS_USAGE', message: text },
    };
  }
  // A fault of ours: the stack is what a report needs.
  const details =
    error instanceof Error && error.stack !== undefined
      ? error.stack
          .split('\n')
          .slice(1)
          .map((line) => line.trim())
      : [];
  return {
    message: `unexpected: ${message}`,
    details,
    remedy: undefined,
    exitCode: 1,
    plain: { code: 'ERR_STASIS_FAILED', message, details },
  };
}
