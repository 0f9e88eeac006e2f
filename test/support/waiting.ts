// Waiting with a deadline that says what was waited for.

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Polls until `probe` gives something other than undefined, null or false; `detail` adds to the message of a failure. */
export async function until<T>(
  what: string,
  probe: () => T | Promise<T>,
  { ms = 20_000, step = 10, detail = () => '' }: { ms?: number; step?: number; detail?: () => string } = {},
): Promise<NonNullable<T>> {
  const deadline = performance.now() + ms;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== null && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`${what} did not come about within ${ms} ms. ${detail()}`);
    await sleep(step);
  }
}
