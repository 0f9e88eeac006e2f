// Before packing: the TypeScript build, and the one third-party header that compiling the package needs, with its licence.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, rmSync } from 'node:fs';

rmSync('vendor', { recursive: true, force: true });
mkdirSync('vendor/xxhash', { recursive: true });
const zstd = 'node_modules/zstd-napi/deps/zstd';
for (const file of ['lib/common/xxhash.h', 'lib/common/compiler.h', 'lib/common/portability_macros.h', 'LICENSE'])
  cpSync(`${zstd}/${file}`, `vendor/xxhash/${file.split('/').at(-1)}`);
process.exit(spawnSync('npm', ['run', '-s', 'build:ts'], { stdio: ['ignore', 2, 2] }).status ?? 1);
