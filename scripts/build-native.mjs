// Builds what ships (addon, runtime, keeper) into build/Release.
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { nativeBuildEnvironment } from './node-headers.mjs';

const run = (action) =>
  spawnSync('node-gyp', [action, '--jobs', 'max'], {
    stdio: ['ignore', process.env.STASIS_QUIET_BUILD ? 'ignore' : 'inherit', 'inherit'],
    shell: true,
    env: nativeBuildEnvironment(),
  }).status ?? 1;

// configure is repeated so that a changed source list is seen; make rebuilds only what changed.
const configured = run('configure');
process.exit(configured === 0 && existsSync('build/Makefile') ? run('build') : configured || 1);
