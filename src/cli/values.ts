// Values on the command line: durations, signals, KEY=VALUE. Each parser gives the value or throws UsageError, which ends with exit 2.

import { constants } from 'node:os';

/** A mistake on the command line. */
export class UsageError extends Error {}

const unitMs: Readonly<Record<string, number>> = { '': 1000, s: 1000, ms: 1, m: 60_000, h: 3_600_000 };

/** `30` (seconds), `30s`, `500ms`, `2m`, `1.5h`, as milliseconds. */
export function parseDuration(text: string): number {
  const match = /^(\d{1,9}(?:\.\d{1,9})?)(ms|s|m|h|)$/.exec(text);
  const ms = match === null ? Number.NaN : Number(match[1]) * (unitMs[match[2] ?? ''] ?? Number.NaN);
  if (!(ms > 0))
    throw new UsageError(`${JSON.stringify(text)} is no duration: give seconds, or a number with ms, s, m or h`);
  return ms;
}

const unitBytes: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** `4096`, `512K`, `64M` or `2G`, as bytes. */
export function parseSize(text: string): number {
  const match = /^(\d{1,12})([KMGT]?)(?:i?B)?$/i.exec(text);
  const bytes =
    match === null ? Number.NaN : Number(match[1]) * (unitBytes[(match[2] ?? '').toUpperCase()] ?? Number.NaN);
  if (!(bytes > 0) || !Number.isSafeInteger(bytes))
    throw new UsageError(`${JSON.stringify(text)} is no size: give bytes, or a number with K, M, G or T`);
  return bytes;
}

/** `TERM`, `SIGTERM`, `term` or `15`. */
export function parseSignal(text: string): number {
  if (/^\d{1,2}$/.test(text) && Number(text) >= 1 && Number(text) <= 64) return Number(text);
  const name = text.toUpperCase();
  const number = (constants.signals as Record<string, unknown>)[name.startsWith('SIG') ? name : `SIG${name}`];
  if (typeof number !== 'number')
    throw new UsageError(`${JSON.stringify(text)} is no signal: give a name such as TERM or a number from 1 to 64`);
  return number;
}

export function parseCount(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`${JSON.stringify(text)} is no number`);
  return Number(text);
}

export function parseShift(text: string): number {
  const shift = parseCount(text);
  if (shift < 1 || shift > 4_000_000) throw new UsageError(`${text} is no shift: give a number from 1 to 4000000`);
  return shift;
}

/** `KEY=VALUE`, or `KEY` alone to pass on what `inherited` has, if it has it. */
export function parseAssignment(text: string, inherited: NodeJS.ProcessEnv): [key: string, value: string | undefined] {
  const equals = text.indexOf('=');
  const key = equals < 0 ? text : text.slice(0, equals);
  if (key === '' || /[\s\0]/.test(key)) throw new UsageError(`${JSON.stringify(text)} is no KEY=VALUE`);
  const value = equals < 0 ? (Object.hasOwn(inherited, key) ? inherited[key] : undefined) : text.slice(equals + 1);
  if (value?.includes('\0')) throw new UsageError(`the value of ${key} contains a NUL character`);
  return [key, value];
}
