// Runs when the package is installed: uses the prebuilt files if they load on this system, otherwise compiles them. In a checkout,
// where neither exists yet, `npm run build` does the work and nothing is done here.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { nativeBuildEnvironment } from './node-headers.mjs';

const root = dirname(dirname(fileURLToPath(import.meta.url)));
if (!existsSync(join(root, 'scripts/build-native.mjs'))) {
  const result = spawnSync('node-gyp-build', {
    stdio: 'inherit',
    shell: true,
    cwd: root,
    env: nativeBuildEnvironment(),
  });
  process.exit(result.status ?? 1);
}
