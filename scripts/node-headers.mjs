// The environment for native builds: Node's headers where the running Node keeps them (official archives, distribution packages and
// version managers install them beside the binary, so nothing is downloaded), all cores, and none of the caller's compiler flags, since
// hardening or sanitizer flags break the freestanding targets.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';

export function nativeBuildEnvironment() {
  const environment = { ...process.env };
  const prefix = dirname(dirname(process.execPath));
  if (!environment.npm_config_nodedir && existsSync(join(prefix, 'include/node/node_api.h'))) {
    environment.npm_config_nodedir = prefix;
  }
  environment.JOBS ??= 'max';
  for (const name of ['CFLAGS', 'CXXFLAGS', 'CPPFLAGS', 'LDFLAGS']) delete environment[name];
  return environment;
}
