// The long run: whole applications (test/support/applications), each through many cycles of checkpoint and restore under load, as every user
// that the tests have, and then through checkpoints and restores that kill -9 cuts off. Nothing may be lost, and neither memory nor
// descriptors may grow.
//
//     npm run build && npm run test:soak                            all applications, 50 cycles and 20 kills each
//     npm run test:soak -- --cycles 50 postgres nginx               cycles alone, of these
//     npm run test:soak -- --kills 20 --seed 7 postgres             kills alone; the seed is one that a failure printed

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  options: { cycles: { type: 'string' }, kills: { type: 'string' }, seed: { type: 'string' } },
  allowPositionals: true,
});
for (const [name, value] of Object.entries(values)) {
  if (Number.isSafeInteger(Number(value)) && Number(value) >= 1) continue;
  console.error(`soak: --${name} ${value} is no number from 1 on`);
  process.exit(2);
}
const all = values.cycles === undefined && values.kills === undefined;
const files = [
  ...(all || values.cycles !== undefined ? ['test/soak/applications.soak.ts'] : []),
  ...(all || values.kills !== undefined ? ['test/soak/kills.soak.ts'] : []),
];
const vitest = fileURLToPath(new URL('vitest.mjs', import.meta.resolve('vitest/package.json')));
const { status } = spawnSync(
  process.execPath,
  [vitest, 'run', ...files, '--project', 'soak', '--disable-console-intercept'],
  {
    stdio: 'inherit',
    cwd: fileURLToPath(new URL('..', import.meta.url)),
    env: {
      ...process.env,
      STASIS_SOAK_NAMES: positionals.join(' '),
      ...(values.cycles && { STASIS_SOAK_CYCLES: values.cycles }),
      ...(values.kills && { STASIS_KILLS: values.kills }),
      ...(values.seed && { STASIS_SEED: values.seed }),
    },
  },
);
process.exit(status ?? 1);
