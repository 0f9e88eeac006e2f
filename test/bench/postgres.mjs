// A Postgres cluster to measure with.

import { spawnSync } from 'node:child_process';
import { appendFileSync, chmodSync, chownSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';

function newestBinaries() {
  const root = '/usr/lib/postgresql';
  const newest = existsSync(root)
    ? readdirSync(root)
        .sort((a, b) => a - b)
        .at(-1)
    : undefined;
  return newest && join(root, newest, 'bin');
}

// Postgres refuses to run as root.
const root = process.getuid() === 0;
const nobody = { uid: 65534, name: 'nobody' };
const userName = root ? nobody.name : userInfo().username;

/** A command line that Postgres's programs run with. */
export const asServer = (words) =>
  root ? ['setpriv', `--reuid=${nobody.uid}`, `--regid=${nobody.uid}`, '--clear-groups', ...words] : words;

/** What servers have in /dev/shm. */
export const sharedFiles = () => readdirSync('/dev/shm').filter((name) => name.startsWith('PostgreSQL.'));

// A server that was killed leaves its shared memory: files, and a System V segment whose key is in its pid file.
function removeShared(directories, others) {
  for (const directory of directories) {
    const file = join(directory, 'postmaster.pid');
    const key = existsSync(file) && readFileSync(file, 'utf8').split('\n')[6]?.trim().split(/\s+/)[0];
    if (key) spawnSync('ipcrm', ['-M', key]);
  }
  for (const name of sharedFiles().filter((one) => !others.includes(one))) rmSync(join('/dev/shm', name));
}

/**
 * A cluster in `directory` with a database `bench` that pgbench has filled; its server is not running. Undefined where Postgres is not
 * installed. `cleanUp` removes what killed servers in it, and in copies of its data directory beside it, have left.
 */
export function makeCluster(directory) {
  const binaries = newestBinaries();
  if (binaries === undefined) return undefined;
  const data = join(directory, 'data');
  const others = sharedFiles();
  if (root) {
    chmodSync(dirname(directory), 0o711);
    chownSync(directory, nobody.uid, nobody.uid);
  }
  const run = (name, ...words) => {
    const [program, ...rest] = asServer([join(binaries, name), ...words]);
    const { status, stderr } = spawnSync(program, rest, { encoding: 'utf8', cwd: directory });
    if (status !== 0) throw new Error(`${name}: ${stderr}`);
  };
  run('initdb', '-k', '-D', data, '-A', 'trust', '--no-sync');
  // The prober comes from another loopback address than the one that it asks.
  appendFileSync(join(data, 'pg_hba.conf'), 'host all all 127.0.0.0/8 trust\n');
  run('pg_ctl', '-D', data, '-w', '-l', join(directory, 'setup.log'), '-o', `-k ${directory} -h ''`, 'start');
  run('createdb', '-h', directory, 'bench');
  run('pgbench', '-q', '-i', '-s', '2', '-h', directory, 'bench');
  run('psql', '-Xq', '-h', directory, '-c', 'CREATE TABLE ledger(v int)', 'bench');
  run('pg_ctl', '-D', data, '-w', 'stop');
  const cleanUp = () =>
    removeShared(
      readdirSync(directory).map((name) => join(directory, name)),
      others,
    );
  return { binaries, data, cleanUp };
}

const message = (type, body) => {
  const length = Buffer.alloc(4);
  length.writeUInt32BE(body.length + 4);
  return type + length.toString('latin1') + body;
};

/** The opening of a connection and a query at once (https://www.postgresql.org/docs/current/protocol-flow.html); the answer holds `part`. */
export const selectOne = {
  request: message('', `\0\x03\0\0user\0${userName}\0database\0bench\0\0`) + message('Q', 'SELECT 1\0'),
  part: 'SELECT 1',
};
