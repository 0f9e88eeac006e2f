// The library at work for a test: node library-agent.mjs LIBRARY. Reads one JSON request per line, { operation, arguments }, and answers each with
// one line, { value } or { error }. Saves a start of Node per operation, and shows that the library holds for many in one process.
import { createInterface } from 'node:readline';

const { Stasis } = await import(process.argv[2]);
const stasis = await Stasis.open();

const operations = {
  async run(name, words, env, options) {
    await stasis.run(words, { ...options, name, env: { ...process.env, ...env } });
  },
  async checkpoint(name, options) {
    return (await stasis.checkpoint(name, options)).reference;
  },
  async restore(reference, name, options) {
    return (await stasis.restore(reference, { ...options, name })).status();
  },
  async wait(name, timeout) {
    return (await stasis.application(name)).wait({ timeout });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { operation, arguments: given } = JSON.parse(line);
  let answer;
  try {
    answer = { value: (await operations[operation](...given)) ?? null };
  } catch (error) {
    answer = { error: error.toJSON?.() ?? { message: String(error?.stack ?? error) } };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
