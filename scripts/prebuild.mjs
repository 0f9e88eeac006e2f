// Makes prebuilds/linux-x64/{stasis.glibc.node, stasis-runtime, stasis-keeper} for packing.
import { spawnSync } from 'node:child_process';
import { nativeBuildEnvironment } from './node-headers.mjs';

const arguments_ = [
  '--napi',
  '--strip',
  '--tag-libc',
  '--name',
  'stasis',
  '-t',
  process.versions.node,
  '--artifacts',
  'build/Release/artifacts',
];
const result = spawnSync('prebuildify', arguments_, { stdio: 'inherit', shell: false, env: nativeBuildEnvironment() });
process.exit(result.status ?? 1);
