// Proves the packed package: `npm pack`, then an install of the tarball once with prebuilt files and no compiler in sight, once without
// them and with the compiler; each time the installed command runs a program and its library loads.
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const work = mkdtempSync(join(tmpdir(), 'stasis-pack-'));
const fail = (text) => {
  throw new Error(text);
};

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: 'utf8', ...options });
  if (result.status !== 0)
    fail(`${command} ${args.join(' ')} ended with ${result.status}\n${result.stdout}\n${result.stderr}`);
  return result.stdout;
}

function pack(folder) {
  mkdirSync(folder, { recursive: true });
  run('npm', ['pack', '--pack-destination', folder, '--loglevel=error']);
  return join(
    folder,
    readdirSync(folder).find((name) => name.endsWith('.tgz')),
  );
}

// A PATH with node, npm and a shell, but neither compiler nor make nor python.
function pathWithoutCompiler() {
  const folder = join(work, 'bin');
  mkdirSync(folder);
  const wanted = ['node', 'npm', 'sh', 'env', 'bash', 'uname', 'sed', 'cat', 'ls', 'mkdir', 'rm'];
  for (const name of wanted) {
    const found = run('sh', ['-c', `command -v ${name}`]).trim();
    if (found.startsWith('/')) symlinkSync(found, join(folder, name));
  }
  return folder;
}

function installAndTry(title, tarball, environment) {
  const folder = join(work, title);
  mkdirSync(folder);
  writeFileSync(
    join(folder, 'package.json'),
    '{"name":"consumer","version":"1.0.0","private":true,"type":"module","allowScripts":{"stasis":true}}',
  );
  const env = { ...process.env, ...environment, STASIS_HOME: join(work, 'home') };
  run('npm', ['install', tarball, '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    env,
  });
  const stasis = join(folder, 'node_modules/.bin/stasis');
  const result = spawnSync(stasis, ['run', '--', '/bin/sh', '-c', 'echo packed; exit 7'], {
    encoding: 'utf8',
    cwd: folder,
    env,
  });
  if (result.status !== 7 || result.stdout !== 'packed\n')
    fail(`${title}: run gave ${result.status}: ${result.stdout}${result.stderr}`);
  run('node', ['-e', "import('stasis').then((m) => m.Stasis.open())"], { cwd: folder, env });
  console.log(`packed package, ${title}: installs and runs`);
}

const hadPrebuilds = existsSync('prebuilds');
try {
  if (!hadPrebuilds) run('npm', ['run', '-s', 'prebuild:native']);
  installAndTry('prebuilt', pack(join(work, 'with')), { PATH: pathWithoutCompiler() });
  cpSync('prebuilds', join(work, 'prebuilds'), { recursive: true });
  rmSync('prebuilds', { recursive: true });
  installAndTry('compiled', pack(join(work, 'without')), {});
} finally {
  if (hadPrebuilds && !existsSync('prebuilds')) cpSync(join(work, 'prebuilds'), 'prebuilds', { recursive: true });
  if (!hadPrebuilds) rmSync('prebuilds', { recursive: true, force: true });
  rmSync(work, { recursive: true, force: true });
}
