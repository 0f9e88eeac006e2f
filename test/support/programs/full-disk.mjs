// Runs inside a mount namespace where STASIS_HOME lies on a small file system: full-disk.mjs NODE COMMAND PROGRAM... PORT MEGABYTES, where NODE
// COMMAND is the `stasis` command line. Starts the server, has a checkpoint fail for want of space, and one succeed after room was
// made. Prints what it saw as JSON; ends the application in every case.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const [node, command, ...program] = process.argv.slice(2);
const port = program.at(-2);
const home = process.env.STASIS_HOME;

function stasis(...words) {
  const { status, stdout, stderr } = spawnSync(node, [command, ...words], { encoding: 'utf8', timeout: 60_000 });
  return { code: status, stdout, stderr };
}

async function ask() {
  const deadline = Date.now() + 30_000;
  for (;;) {
    try {
      const answer = await fetch(`http://127.0.0.1:${port}/check`, { headers: { connection: 'close' } });
      return await answer.json();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

function list(name) {
  const path = join(home, name);
  return existsSync(path) ? readdirSync(path) : [];
}

const started = stasis('run', '--detach', '--name', 'web', '--', ...program);
if (started.code !== 0) {
  process.stderr.write(started.stderr);
  process.exit(1);
}
try {
  const before = await ask();
  await new Promise((resolve) => setTimeout(resolve, 200));
  const full = stasis('checkpoint', 'web');
  const after = await ask();
  stasis('ps');
  const entries = list('snapshots');
  const partial = list('partial');
  await new Promise((resolve) => setTimeout(resolve, 200));
  const elsewhere = stasis('checkpoint', 'web', '--output', join(process.env.TMPDIR, 'elsewhere'));
  const told = {
    full,
    countBefore: before.count,
    countAfter: after.count,
    checkBefore: before.check,
    checkAfter: after.check,
  };
  console.log(JSON.stringify({ ...told, entries, partial, freed: elsewhere.code, freedError: elsewhere.stderr }));
} finally {
  stasis('rm', '--force', 'web');
}
