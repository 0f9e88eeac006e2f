// Measures, in one run on one machine, what the project promises: start, checkpoint and restore of real programs, their memory, and what
// `stasis run` costs. It measures; it never fails for a slow result.
//
//     npm run bench -- [--quick] [--rounds N] [--only CASE,CASE] [--chart] [--write] [--json FILE]
//     npm run bench -- interpose [--quick] [--rounds N] [--only CASE,CASE] [--json FILE]     what translated ids cost (test/bench/interpose.mjs)
//     npm run bench -- pause [--quick] [--rounds N] [--only CASE,CASE] [--json FILE]         how long a checkpoint stops what goes on (test/bench/pause.mjs)
//     CRIU=/path/to/criu npm run bench      the same cases on CRIU, in the same rounds (as root)
//
// How: one snapshot per case is made first; then rounds, in each of which every case is started cold, restored, and restored by CRIU, so
// that a slow minute of the machine falls on all. The first round is dropped. Times count from the library call in this process to the
// instant named; a cold start counts from spawning the bare program. A first reply goes to a small client in a process of its own that asks
// from before the start on, in the same way for all. JSON goes to build/bench.json, --chart draws docs/images/bench.svg,
// --write puts the tables into docs/benchmarks.md, or docs/benchmarks-pause.md.

import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseArgs } from 'node:util';
import { Stasis } from '../dist/index.js';
import { bars } from '../test/bench/bars.mjs';
import { checkout, compiled, makeCases } from '../test/bench/cases.mjs';
import { chart } from '../test/bench/chart.mjs';
import { Criu } from '../test/bench/criu.mjs';
import { interpositionReport, measureInterposition } from '../test/bench/interpose.mjs';
import {
  end,
  firstReply,
  host,
  median,
  now,
  outputOf,
  probe,
  pss,
  sleep,
  startBare,
  summary,
} from '../test/bench/measure.mjs';
import { runOverhead } from '../test/bench/overhead.mjs';
import { measurePause, pauseDocument, pauseReport } from '../test/bench/pause.mjs';
import { document, terminalReport } from '../test/bench/report.mjs';

const {
  values: options,
  positionals: [subject],
} = parseArgs({
  allowPositionals: true,
  options: {
    quick: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    only: { type: 'string' },
    chart: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    json: { type: 'string' },
  },
});
const subjects = {
  interpose: { measure: measureInterposition, report: interpositionReport },
  pause: { measure: measurePause, report: pauseReport, document: pauseDocument, file: 'docs/benchmarks-pause.md' },
};
if (subject !== undefined && !(subject in subjects)) throw new Error(`there is no benchmark ${subject}`);
options.json ??= join(checkout, subject ? `build/bench-${subject}.json` : 'build/bench.json');
const rounds = Number(options.rounds ?? (options.quick ? 3 : 11));
const say = (text) => void process.stderr.write(`${text}\n`);

/** Asks from before the start on; nothing for a program without a port. */
const proberOf = (entry) =>
  entry.port ? probe(join(compiled, 'prober'), entry.port, entry.request, entry.part) : { stop: async () => {} };

/** Ready: the first reply, or for a program without a port the line it prints. */
async function ready(entry, output, prober) {
  if (prober?.reply) return prober.reply();
  if (entry.port) return firstReply(entry.port, entry.request, entry.part);
  for (;;) {
    if (readFileSync(output(), 'utf8').includes('listening')) return now();
    await sleep(1);
  }
}

/** One cold start of the bare program. */
async function coldStart(entry, directory) {
  const output = join(directory, 'output');
  writeFileSync(output, '');
  const fd = openSync(output, 'w');
  const prober = await proberOf(entry);
  const begun = now();
  const child = startBare(entry.coldWords ?? entry.words, { stdio: ['ignore', fd, 'ignore'] });
  closeSync(fd);
  try {
    return (await ready(entry, () => output, prober)) - begun;
  } finally {
    await prober.stop();
    await end(child);
  }
}

/** Starts the program, warms it, checkpoints it several times and leaves the last snapshot. */
async function makeSnapshot(stasis, entry) {
  const application = await stasis.run(entry.words, { name: entry.name });
  await ready(entry, () => join(stasis.home, 'names', entry.name, 'stdout.log'));
  await entry.prepare?.();
  await sleep(300);
  const memory = pss(application.status().pid);
  const checkpoints = [];
  for (let i = 0; i < (options.quick ? 1 : 3); i++) {
    const begun = now();
    const snapshot = await application.checkpoint({ leaveRunning: true });
    checkpoints.push({ totalMs: now() - begun, pauseMs: snapshot.statistics.pauseMs });
    await snapshot.remove();
    await entry.prepare?.();
  }
  const snapshot = await application.checkpoint();
  await entry.saveFiles?.();
  return {
    snapshot,
    memory,
    checkpoints,
    bytes: snapshot.bytes,
    mappings: snapshot.statistics.mappings,
    threads: snapshot.statistics.threads,
  };
}

async function restoreOnce(stasis, entry, snapshot) {
  await entry.putBackFiles?.();
  const prober = await proberOf(entry);
  try {
    const begun = now();
    const application = await stasis.restore(snapshot, { name: `${entry.name}-restored` });
    const resumedMs = now() - begun;
    const replyMs = prober.reply && (await prober.reply()) - begun;
    const memory = pss(application.status().pid);
    await application.remove({ force: true });
    return { resumedMs, replyMs, memory, timings: application.restoreTimings };
  } finally {
    await prober.stop();
  }
}

async function dumpWithCriu(criu, entry) {
  const server = startBare(entry.words);
  try {
    if (entry.port) await firstReply(entry.port, entry.request, entry.part);
    else await sleep(1000);
    await entry.prepare?.();
    await sleep(300);
    return await criu.dump(entry.name, server.pid, false);
  } finally {
    await end(server);
  }
}

/** Undefined when it fails: CRIU needs the very process ids of the dump, which others may have taken. */
async function restoreWithCriu(criu, entry) {
  const prober = await proberOf(entry);
  try {
    const restored = await criu.restore(entry.name).catch((error) => say(`${entry.title}: ${error.message}`));
    if (restored === undefined) return undefined;
    const { begun, resumedMs, pid } = restored;
    const replyMs = prober.reply && (await prober.reply()) - begun;
    const memory = pss(pid);
    process.kill(pid, 'SIGKILL');
    while (existsSync(`/proc/${pid}/cmdline`) && readFileSync(`/proc/${pid}/cmdline`).length > 0) await sleep(5);
    return { resumedMs, replyMs, memory };
  } finally {
    await prober.stop();
  }
}

async function usableCriu(directory, sleeper) {
  if (!process.env.CRIU) return { note: 'CRIU was not given' };
  const criu = new Criu(process.env.CRIU, directory);
  const problem = await criu.problem(sleeper.words);
  return problem === undefined ? { criu, note: criu.version } : { note: `CRIU does not work here: ${problem}` };
}

function collect(list) {
  const numbers = (key) => summary(list.map((item) => item[key]).filter((value) => value !== undefined));
  return { resumedMs: numbers('resumedMs'), replyMs: numbers('replyMs'), pssBytes: numbers('memory') };
}

async function main(directory) {
  const stasis = await Stasis.open({ home: join(directory, 'state') });
  // What others keep running here: every program that is started has to wait its turn behind it.
  const load = loadavg()[0];
  let all = [];
  try {
    say('preparing');
    all = await makeCases(directory);
    const only = options.only?.split(',');
    const cases = only ? all.filter(({ name }) => only.includes(name)) : all;
    const { criu, note } = await usableCriu(directory, all[0]);
    say(note);
    const prepared = new Map();
    for (const entry of cases) {
      say(`checkpoint: ${entry.title}`);
      prepared.set(entry.name, {
        ...(await makeSnapshot(stasis, entry)),
        criuDump: criu && (await dumpWithCriu(criu, entry)),
      });
    }
    const samples = new Map(cases.map(({ name }) => [name, { cold: [], restored: [], criu: [], criuFailed: 0 }]));
    for (let round = 0; round <= rounds; round++) {
      say(round === 0 ? 'warm-up round' : `round ${round} of ${rounds}`);
      for (const entry of cases) {
        // Big cold starts are steady and slow: fewer of them do.
        const cold = round <= 5 ? await coldStart(entry, directory) : undefined;
        const restored = await restoreOnce(stasis, entry, prepared.get(entry.name).snapshot);
        const other = criu && (await restoreWithCriu(criu, entry));
        if (round === 0) continue;
        const into = samples.get(entry.name);
        if (cold !== undefined) into.cold.push(cold);
        into.restored.push(restored);
        if (other !== undefined) into.criu.push(other);
        else if (criu) into.criuFailed++;
      }
    }
    const results = cases.map((entry) => {
      const { memory, checkpoints, bytes, mappings, threads, criuDump } = prepared.get(entry.name);
      const { cold, restored, criu: others, criuFailed } = samples.get(entry.name);
      const stages = Object.keys(restored[0]?.timings ?? {});
      return {
        name: entry.name,
        title: entry.title,
        served: Boolean(entry.port),
        coldMs: summary(cold),
        checkpointMs: summary(checkpoints.map(({ totalMs }) => totalMs)),
        pauseMs: summary(checkpoints.map(({ pauseMs }) => pauseMs)),
        pssBytes: memory,
        imageBytes: bytes,
        mappings,
        threads,
        restore: collect(restored),
        stagesUs: Object.fromEntries(
          stages.map((stage) => [stage, median(restored.map(({ timings }) => timings[stage]))]),
        ),
        ...(criuDump
          ? {
              criu: {
                dumpMs: criuDump.totalMs,
                frozenMs: criuDump.pauseMs,
                restore: collect(others),
                failed: criuFailed,
              },
            }
          : {}),
      };
    });
    say('the floor');
    const floorUs = summary(
      (await outputOf([join(compiled, 'floor'), join(compiled, 'exit-now'), '300'])).trim().split('\n').map(Number),
    );
    const overhead = only
      ? undefined
      : await runOverhead(stasis, {
          rounds: options.quick ? 3 : 11,
          slices: options.quick ? 6 : 24,
          milliseconds: 700,
          say,
        });
    const report = {
      date: new Date().toISOString(),
      version: JSON.parse(readFileSync(join(checkout, 'package.json'), 'utf8')).version,
      host: { ...host(), load },
      rounds,
      criu: note,
      floorUs,
      cases: results,
      overhead,
    };
    return { ...report, bars: bars(report) };
  } finally {
    for (const application of await stasis.applications()) await application.remove({ force: true });
    for (const entry of all) entry.cleanUp?.();
  }
}

await outputOf(['bash', join(checkout, 'scripts/test-programs.sh')]);
const directory = mkdtempSync(join(tmpdir(), 'stasis-bench-'));
try {
  const report = subject
    ? await subjects[subject].measure(directory, { quick: options.quick, rounds, only: options.only?.split(','), say })
    : await main(directory);
  mkdirSync(dirname(options.json), { recursive: true });
  writeFileSync(options.json, `${JSON.stringify(report, null, 2)}\n`);
  process.stdout.write(subject ? subjects[subject].report(report) : terminalReport(report));
  if (options.chart) {
    mkdirSync(join(checkout, 'docs/images'), { recursive: true });
    writeFileSync(join(checkout, 'docs/images/bench.svg'), chart(report));
  }
  const { document: written, file } = subject ? subjects[subject] : { document, file: 'docs/benchmarks.md' };
  if (options.write && written) writeFileSync(join(checkout, file), written(report));
} finally {
  rmSync(directory, { recursive: true, force: true });
}
