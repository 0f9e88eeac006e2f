// The long run: whole applications (test/support/applications), each through many cycles of checkpoint and restore under load, as every user
// that the tests have. Nothing may be lost, and neither memory nor descriptors may grow.
//
//     npm run build && npm run test:soak -- --cycles 50 postgres nginx      no names: all applications

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  options: { cycles: { type: 'string', default: '50' } },
  allowPositionals: true,
});
const cycles = Number(values.cycles);
if (!Number.isSafeInteger(cycles) || cycles < 1) {
  console.error(`soak: --cycles ${values.cycles} is no number of cycles`);
  process.exit(2);
}
const { status } = spawnSync(
  process.execPath,
  [fileURLToPath(import.meta.resolve('vitest/vitest.mjs')), 'run', '--project', 'soak', '--disable-console-intercept'],
  {
    stdio: 'inherit',
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: { ...process.env, STASIS_SOAK_CYCLES: String(cycles), STASIS_SOAK_NAMES: positionals.join(' ') },
  },
);
process.exit(status ?? 1);
