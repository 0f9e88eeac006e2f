// Calls into the addon, with its errors made StasisErrors. Everything in src/ that touches the addon does it through these two.

import { kindOfCode, StasisError, type StasisErrorOptions } from './errors.js';
import { type Addon, type NativeError, native } from './native.js';

/** One asynchronous operation of the addon. */
export async function callNative<T>(operation: (addon: Addon) => Promise<T>): Promise<T> {
  try {
    return await operation(native());
  } catch (error) {
    throw fromNativeError(error);
  }
}

/** One function of the addon that answers at once. */
export function callNativeNow<T>(operation: (addon: Addon) => T): T {
  try {
    return operation(native());
  } catch (error) {
    throw fromNativeError(error);
  }
}

/** An error of the addon as a StasisError with the same subject; any other error as it is. */
export function fromNativeError(error: unknown): unknown {
  if (!isNativeError(error)) return error;
  const options: { -readonly [K in keyof StasisErrorOptions]: StasisErrorOptions[K] } = { cause: error };
  if (error.pid !== undefined) options.pid = error.pid;
  if (error.tid !== undefined) options.tid = error.tid;
  if (error.fd !== undefined) options.fd = error.fd;
  if (error.path !== undefined) options.path = error.path;
  if (error.address !== undefined) options.address = BigInt(error.address);
  if (error.length !== undefined) options.length = BigInt(error.length);
  if (error.offset !== undefined) options.offset = error.offset;
  if (error.errno !== undefined) options.errno = error.errno;
  if (error.syscall !== undefined) options.syscall = error.syscall;
  if (error.details.length > 0) options.details = error.details;
  if (error.remedy !== undefined && error.remedy !== '') options.remedy = error.remedy;
  return new StasisError(kindOfCode(`ERR_STASIS_${error.kind}`) ?? 'Failed', withoutRemedy(error), options);
}

function isNativeError(error: unknown): error is NativeError {
  return (
    error instanceof Error &&
    typeof (error as { kind?: unknown }).kind === 'string' &&
    Array.isArray((error as { details?: unknown }).details)
  );
}

/** The remedy has a place of its own, so it need not stand in the message too. */
function withoutRemedy(error: NativeError): string {
  const end = `; ${error.remedy ?? ''}`;
  return error.message.endsWith(end) ? error.message.slice(0, -end.length) : error.message;
}
