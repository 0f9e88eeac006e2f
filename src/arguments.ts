// Checks of what callers pass in. A wrong type is a TypeError with code ERR_INVALID_ARG_TYPE, a wrong value a RangeError with code
// ERR_INVALID_ARG_VALUE, as in Node itself; the message starts with the argument's name.

export function badType(argument: string, expected: string, value: unknown): TypeError {
  const got = value === null ? 'null' : Array.isArray(value) ? 'an array' : typeof value;
  return Object.assign(new TypeError(`${argument} must be ${expected}, not ${got}`), { code: 'ERR_INVALID_ARG_TYPE' });
}

export function badValue(argument: string, problem: string): RangeError {
  return Object.assign(new RangeError(`${argument} ${problem}`), { code: 'ERR_INVALID_ARG_VALUE' });
}

/** True for the errors made here and by Node's own argument checks. */
export function isArgumentError(error: unknown): boolean {
  if (!(error instanceof TypeError || error instanceof RangeError)) return false;
  const code = (error as { code?: unknown }).code;
  return code === 'ERR_INVALID_ARG_TYPE' || code === 'ERR_INVALID_ARG_VALUE' || code === 'ERR_OUT_OF_RANGE';
}

/** A string that a system call can take: not empty, no NUL. */
export function checkText(argument: string, value: unknown): string {
  if (typeof value !== 'string') throw badType(argument, 'a string', value);
  if (value === '') throw badValue(argument, 'must not be empty');
  if (value.includes('\0')) throw badValue(argument, 'must not contain a NUL character');
  return value;
}

export function checkOptions(value: unknown): void {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw badType('options', 'an object', value);
}

export function checkSignal(value: unknown): void {
  if (value !== undefined && !(value instanceof AbortSignal)) throw badType('options.signal', 'an AbortSignal', value);
}

/** Milliseconds of a deadline: a positive finite number. */
export function checkTimeout(value: unknown): void {
  if (value === undefined) return;
  if (typeof value !== 'number') throw badType('options.timeout', 'a number of milliseconds', value);
  if (!(value > 0) || !Number.isFinite(value))
    throw badValue('options.timeout', 'must be a positive number of milliseconds');
}

/** What `shiftIds` asks for: 0 if it is not there. */
export function checkShift(value: unknown): number {
  if (value === undefined) return 0;
  if (typeof value !== 'number') throw badType('options.shiftIds', 'a number', value);
  if (!Number.isSafeInteger(value) || value < 1 || value > 4_000_000)
    throw badValue('options.shiftIds', 'must be a whole number from 1 to 4000000');
  return value;
}

/** False if it is not there. */
export function checkFlag(argument: string, value: unknown): boolean {
  if (value === undefined) return false;
  if (typeof value !== 'boolean') throw badType(argument, 'a boolean', value);
  return value;
}

/** A number of bytes, at least one. */
export function checkBytes(argument: string, value: unknown): number {
  if (typeof value !== 'number') throw badType(argument, 'a number of bytes', value);
  if (!Number.isSafeInteger(value) || value < 1) throw badValue(argument, 'must be a positive whole number of bytes');
  return value;
}

/** What `fastPath` asks for; true if it is not there. */
export function checkFastPath(value: unknown): boolean {
  if (value === undefined) return true;
  if (typeof value !== 'boolean') throw badType('options.fastPath', 'a boolean', value);
  return value;
}

/** Arguments of a program: at least its name; later ones may be empty. */
export function checkCommand(value: unknown): readonly [string, ...string[]] {
  if (!Array.isArray(value)) throw badType('command', 'an array of strings', value);
  const [program, ...rest] = value as unknown[];
  const checked: [string, ...string[]] = [checkText('command[0]', program)];
  for (const [index, part] of rest.entries()) {
    if (typeof part !== 'string') throw badType(`command[${index + 1}]`, 'a string', part);
    if (part.includes('\0')) throw badValue(`command[${index + 1}]`, 'must not contain a NUL character');
    checked.push(part);
  }
  return checked;
}

/** An environment as `KEY=value` strings; undefined values are left out, as child_process does it. */
export function checkEnvironment(value: unknown): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw badType('options.env', 'an object', value);
  const strings: string[] = [];
  for (const [key, text] of Object.entries(value as Record<string, unknown>)) {
    if (text === undefined) continue;
    if (typeof text !== 'string') throw badType(`options.env.${key}`, 'a string', text);
    if (key === '' || key.includes('=') || key.includes('\0')) {
      throw badValue('options.env', `has an impossible name: ${JSON.stringify(key)}`);
    }
    if (text.includes('\0')) throw badValue(`options.env.${key}`, 'must not contain a NUL character');
    strings.push(`${key}=${text}`);
  }
  return strings;
}
