// Files of environment variables, with the rules of `docker run --env-file`: one KEY=VALUE per line, taken as it stands (no quotes, no
// escapes, no expansion); KEY alone passes on the variable of that name; empty lines and lines that begin with # do not count.

import { parseAssignment, UsageError } from './values.js';

export function parseEnvFile(
  text: string,
  file: string,
  inherited: NodeJS.ProcessEnv,
): Array<[key: string, value: string | undefined]> {
  const entries: Array<[string, string | undefined]> = [];
  const lines = text.replace(/^\uFEFF/, '').split('\n');
  for (const [index, raw] of lines.entries()) {
    const line = raw.replace(/\r$/, '').trimStart();
    if (line === '' || line.startsWith('#')) continue;
    try {
      entries.push(parseAssignment(line, inherited));
    } catch (error) {
      throw error instanceof UsageError ? new UsageError(`${file}:${index + 1}: ${error.message}`) : error;
    }
  }
  return entries;
}
