// Whole applications, and the cycle that each goes through: under load it is checkpointed and ends, is restored, and a client that no restore
// may fool checks what it holds. Used by test/integration/applications.test.ts, for a few cycles, and by `npm run test:soak`, for many.

import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { TestHome } from '../home.js';
import type { TestUser } from '../users.js';

/** An application that runs, and what is known of it. */
export interface Running {
  /** Options of the checkpoint and of the restore. */
  readonly checkpoint?: readonly string[];
  readonly restore?: readonly string[];
  /** Brings it into the midst of its work. */
  load(cycle: number): Promise<void>;
  /** Ends what works on it from outside, so that only its own processes are left. */
  unload?(): Promise<void>;
  /** After a restore: everything is there and it goes on. */
  check(cycle: number): Promise<void>;
  /** After the last cycle: what can only be looked at when it has stopped working. */
  finish?(): Promise<void>;
}

export interface Application {
  readonly name: string;
  /** False for users as whom the program does not run at all. */
  runsAs?(user: TestUser): boolean;
  /** Starts it in the home under the name `app`. */
  start(home: TestHome): Promise<Running>;
  /** Milliseconds for a cycle, twice what it takes on a slow machine. */
  readonly cycleMs: number;
}

/** What must not grow from cycle to cycle. */
export interface Size {
  readonly processes: number;
  readonly fds: number;
  /** Memory that is not shared with others and not of files, kB. */
  readonly anonymousKb: number;
}

export function sizeOf(home: TestHome): Size {
  let processes = 0;
  let fds = 0;
  let anonymousKb = 0;
  for (const { pid } of home.processes()) {
    try {
      const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'latin1');
      anonymousKb += Number(/^Pss_Anon:\s+(\d+)/m.exec(rollup)?.[1] ?? 0);
      fds += readdirSync(`/proc/${pid}/fd`).length;
      processes++;
    } catch {
      // It has just ended.
    }
  }
  return { processes, fds, anonymousKb };
}

export interface Report {
  readonly sizes: readonly Size[];
}

/** Starts the application, sends it through the cycles and looks at it a last time. */
export async function applicationCourse(
  user: TestUser,
  application: Application,
  cycles: number,
  progress: (cycle: number, size: Size) => void = () => {},
): Promise<Report> {
  await using home = TestHome.create(user);
  const running = await application.start(home);
  const sizes: Size[] = [];
  for (let cycle = 1; cycle <= cycles; cycle++) {
    await running.load(cycle);
    // Now and then it goes on from the checkpoint itself. What it then writes is newer than the image, which is not restored.
    const goesOn = cycle % 3 === 0;
    await home.ok(['checkpoint', ...(goesOn ? ['--leave-running'] : []), ...(running.checkpoint ?? []), 'app'], {
      timeout: 60_000,
    });
    if (!goesOn) {
      expect(await home.ended('app'), `cycle ${cycle}`).toMatch(/^checkpointed /);
      const snapshot = home.snapshotEntries().at(-1) as string;
      await home.ok(['restore', snapshot, '--detach', '--name', 'app', ...(running.restore ?? [])], {
        timeout: 60_000,
      });
    }
    await running.check(cycle);
    const size = sizeOf(home);
    sizes.push(size);
    progress(cycle, size);
    for (const entry of home.snapshotEntries()) await home.ok(['rm', '--force', entry]);
  }
  await running.finish?.();
  expect(home.output('app', 'stderr'), 'what it wrote to its standard error').toBe('');
  return { sizes };
}

/** No growth over the second half of the cycles beyond what varies from one to the next. */
export function expectNoGrowth(sizes: readonly Size[]): void {
  if (sizes.length < 10) return;
  const half = sizes.slice(sizes.length >> 1);
  const third = Math.max(1, Math.floor(half.length / 3));
  for (const key of ['processes', 'fds', 'anonymousKb'] as const) {
    const values = half.map((size) => size[key]);
    const mean = (list: number[]): number => list.reduce((sum, value) => sum + value, 0) / list.length;
    const before = mean(values.slice(0, third));
    const after = mean(values.slice(-third));
    const slack = key === 'anonymousKb' ? Math.max(4096, before * 0.1) : 1;
    expect(after, `${key} from cycle to cycle: ${values.join(' ')}`).toBeLessThanOrEqual(before + slack);
  }
}
