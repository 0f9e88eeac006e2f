// What commands print. Data goes to stdout, as text for people or as JSON with --json; progress and errors go to stderr, so that stdout
// can be piped on. Colour only on a terminal and never with NO_COLOR.
//
// Rules of the place: process.stdout and process.stderr are not touched before there is something to print. Node makes a pipe non-blocking
// when it opens the stream, and a foreground application inherits the very same pipe. For that reason terminals are told by isatty(3),
// and no library for colours is used: they look at process.stdout when they are loaded.

import { isatty } from 'node:tty';
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
        'stdout',
        json ? `${JSON.stringify(value, plain)}\n` : text === '' || text.endsWith('\n') ? text : `${text}\n`,
      );
    },
    record(value) {
      write('stdout', `${JSON.stringify(value, plain)}\n`);
    },
    note(text) {
      if (!json) write('stderr', `${painter('stderr')('dim', text)}\n`);
    },
  };
}

type Colour = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'cyan';

const codes: Readonly<Record<Colour, readonly [on: number, off: number]>> = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  cyan: [36, 39],
};

type Stream = 'stdout' | 'stderr';

/** Colours text, if the stream takes colours. */
export function painter(stream: Stream): (colour: Colour, text: string) => string {
  const { NO_COLOR, FORCE_COLOR, TERM } = process.env;
  const coloured = !NO_COLOR && (Boolean(FORCE_COLOR) || (isatty(stream === 'stdout' ? 1 : 2) && TERM !== 'dumb'));
  return (colour, text) => (coloured ? `\u001b[${codes[colour][0]}m${text}\u001b[${codes[colour][1]}m` : text);
}

let watched = false;

function write(stream: Stream, text: string): void {
  if (text === '') return;
  if (stream === 'stdout' && !watched) {
    watched = true;
    endWhenReaderGoes();
  }
  process[stream].write(text);
}

/** A reader that goes away (`stasis logs web | head`) is no error. To be called by whoever writes to process.stdout itself. */
export function endWhenReaderGoes(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1));
}

function plain(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}

/** Columns under a heading, two spaces apart; the last column is as wide as it is. Control characters are shown, not obeyed. */
export function table(heading: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const paint = painter('stdout');
  const cells = rows.map((row) => row.map(visible));
  const widths = heading.map((title, column) =>
    Math.max(title.length, ...cells.map((row) => row[column]?.length ?? 0)),
  );
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === heading.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd();
  return [paint('bold', line(heading)), ...cells.map(line)].map((text) => `${text}\n`).join('');
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
    write('stderr', `${JSON.stringify({ error: told.plain }, plain)}\n`);
    return told.exitCode;
  }
  const paint = painter('stderr');
  write('stderr', `${paint('red', 'stasis:')} ${visible(told.message)}\n`);
  for (const detail of told.details) write('stderr', `  ${paint('red', '-')} ${visible(detail)}\n`);
  if (told.remedy !== undefined) write('stderr', `  ${paint('cyan', '>')} ${visible(told.remedy)}\n`);
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
    // A single finding stands in the message.
    return {
      message,
      details: details.filter((detail) => !message.includes(detail)),
      remedy,
      exitCode,
      plain: error.toJSON(),
    };
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
