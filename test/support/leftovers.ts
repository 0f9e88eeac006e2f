// Runs once around the integration tests. Before: a directory for everything they make, and a note of what the machine looked like. After:
// fails the run if the tests left anything behind: processes, mounts, namespaces, shared memory segments, files.

import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { checkout, command } from './paths.js';
import { processesWith } from './processes.js';
import { checkReachable } from './users.js';
import { sleep } from './waiting.js';

const namespaceKinds = ['mnt', 'net', 'pid', 'user', 'ipc', 'uts', 'time', 'cgroup'];

interface Observation {
  readonly mounts: Set<string>;
  readonly segments: Set<string>;
  readonly files: Set<string>;
  readonly namespaces: Set<string>;
}

function lines(path: string): string[] {
  return existsSync(path) ? readFileSync(path, 'utf8').split('\n').filter(Boolean) : [];
}

/**
 * Entries that the tests could have made: those with our name in them or owned by the second test user. If that user runs the tests, the
 * owner tells nothing: the test runner has a directory there as well.
 */
function ownFiles(directory: string): string[] {
  const found: string[] = [];
  for (const entry of readdirSync(directory)) {
    const path = join(directory, entry);
    try {
      const isOwned = process.getuid?.() !== 1000 && statSync(path).uid === 1000;
      if (entry.includes('stasis') || isOwned) found.push(path);
    } catch {
      // Gone meanwhile.
    }
  }
  return found;
}

function observe(marker: string, root: string): Observation {
  const namespaces = new Set<string>();
  for (const { pid } of processesWith(marker, root)) {
    for (const kind of namespaceKinds) {
      try {
        const link = readlinkSync(`/proc/${pid}/ns/${kind}`);
        if (link !== readlinkSync(`/proc/self/ns/${kind}`)) namespaces.add(link);
      } catch {
        // The kernel has no such namespace, or the process is gone.
      }
    }
  }
  return {
    mounts: new Set(lines('/proc/self/mountinfo').map((line) => line.split(' ').slice(3, 5).join(' '))),
    segments: new Set(
      ['shm', 'sem', 'msg'].flatMap((kind) =>
        lines(`/proc/sysvipc/${kind}`)
          .slice(1)
          .map((line) => `${kind} ${line.trim().split(/\s+/)[1]}`),
      ),
    ),
    files: new Set([tmpdir(), '/dev/shm'].filter(existsSync).flatMap(ownFiles)),
    namespaces,
  };
}

function fresh(before: Set<string>, after: Set<string>): string[] {
  return [...after].filter((entry) => !before.has(entry));
}

export default async function setup(): Promise<() => Promise<void>> {
  if (!existsSync(command)) throw new Error(`${command} is missing: build first (npm run build)`);
  checkReachable([checkout, command, process.execPath]);
  const root = mkdtempSync(join(tmpdir(), 'stasis-test-'));
  chmodSync(root, 0o755);
  const run = root.slice(root.lastIndexOf('-') + 1);
  const marker = `STASIS_TEST_RUN=${run}`;
  const before = observe(marker, root);
  process.env.STASIS_TEST_ROOT = root;
  process.env.STASIS_TEST_RUN_ID = run;

  return async () => {
    let processes = processesWith(marker, root);
    for (let i = 0; i < 50 && processes.length > 0; i++, processes = processesWith(marker, root)) await sleep(100);
    const kept = readdirSync(root);
    const after = observe(marker, root);
    const left = [
      ...processes.map(({ pid, command: words }) => `process ${pid}: ${words}`),
      ...fresh(before.namespaces, after.namespaces).map((entry) => `namespace ${entry}`),
      ...fresh(before.mounts, after.mounts).map((entry) => `mount ${entry}`),
      ...fresh(before.segments, after.segments).map((entry) => `System V ${entry}`),
      ...fresh(before.files, after.files)
        .filter((entry) => !basename(entry).startsWith('stasis-test-'))
        .map((entry) => `file ${entry}`),
      ...kept.map((entry) => `directory of a test ${join(root, entry)}`),
    ];
    // Only processes of this very run: their environment has its marker.
    for (const { pid } of processes) process.kill(pid, 'SIGKILL');
    rmSync(root, { recursive: true, force: true });
    if (left.length > 0) {
      // Vitest reports an error of a teardown but ends with success.
      process.exitCode = 1;
      throw new Error(`the tests left behind:\n  ${left.join('\n  ')}`);
    }
  };
}
