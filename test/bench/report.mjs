// The tables of a run: for the terminal and for docs/benchmarks.md, from the same rows.

import pc from 'picocolors';

const ms = (value) =>
  value === undefined
    ? ''
    : value >= 1000
      ? value.toFixed(0)
      : value >= 100
        ? value.toFixed(0)
        : value >= 10
          ? value.toFixed(1)
          : value.toFixed(2);
const megabytes = (bytes) => (bytes === undefined ? '' : (bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0));
const ratio = (value) => (value === undefined || Number.isNaN(value) ? '' : `${value.toFixed(value < 10 ? 1 : 0)}x`);

function mainTable({ cases }) {
  const heading = [
    'program',
    'cold start',
    'restore: resumed',
    'restore: first reply',
    'times faster',
    'checkpoint',
    'pause',
    'PSS before',
    'PSS restored',
    'image',
    'mappings',
  ];
  const rows = cases.map((entry) => {
    const goal = entry.restore.replyMs ?? entry.restore.resumedMs;
    return [
      entry.title,
      ms(entry.coldMs?.median),
      ms(entry.restore.resumedMs.median),
      ms(entry.restore.replyMs?.median),
      ratio(entry.coldMs?.median / goal.median),
      ms(entry.checkpointMs?.median),
      ms(entry.pauseMs?.median),
      megabytes(entry.pssBytes),
      megabytes(entry.restore.pssBytes?.median),
      megabytes(entry.imageBytes),
      String(entry.mappings),
    ];
  });
  return [heading, ...rows];
}

function criuTable({ cases }) {
  const heading = [
    'program',
    'Stasis first reply',
    'CRIU first reply',
    'ratio',
    'Stasis pause',
    'CRIU frozen',
    'Stasis checkpoint',
    'CRIU dump',
  ];
  const rows = cases
    .filter(({ criu }) => criu?.restore.resumedMs)
    .map((entry) => {
      const goal = (restore) => (restore.replyMs ?? restore.resumedMs)?.median;
      return [
        entry.title,
        ms(goal(entry.restore)),
        ms(goal(entry.criu.restore)),
        ratio(goal(entry.criu.restore) / goal(entry.restore)),
        ms(entry.pauseMs?.median),
        ms(entry.criu.frozenMs),
        ms(entry.checkpointMs?.median),
        ms(entry.criu.dumpMs),
      ];
    });
  return rows.length > 0 ? [heading, ...rows] : undefined;
}

/** A sentence on restores that CRIU could not do, if any. */
function criuFailures({ cases }) {
  const failed = cases.reduce((sum, { criu }) => sum + (criu?.failed ?? 0), 0);
  return failed === 0
    ? ''
    : ` ${failed} of its restores failed, because it needs the process ids of the dump to be free.`;
}

function overheadTable({ overhead }) {
  if (!overhead) return undefined;
  const row = (title, { perSecond, cpuUs, startMs }) => [
    title,
    perSecond.median.toFixed(0),
    cpuUs.median.toFixed(1),
    ms(startMs.median),
  ];
  const heading = ['Node http', 'requests per second', 'CPU us per request', 'start to first reply'];
  return [heading, row('bare', overhead.bare), row('stasis run', overhead.launched)];
}

function barTable({ bars }) {
  return [
    ['bar', 'limit', 'measured', ''],
    ...bars.map(({ what, limit, value, met }) => [what, limit, value, met ? 'met' : 'missed']),
  ];
}

export function aligned(table) {
  const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
  const line = (row) =>
    row
      .map((cell, column) =>
        column === 0 || Number.isNaN(Number.parseFloat(cell))
          ? cell.padEnd(widths[column])
          : cell.padStart(widths[column]),
      )
      .join('  ')
      .trimEnd();
  const [heading, ...rows] = table.map(line);
  return [
    pc.bold(heading),
    ...rows.map((row) => row.replace(/\bmet$/, pc.green('met')).replace(/\bmissed$/, pc.red('missed'))),
  ].join('\n');
}

export function markdown(table) {
  const line = (row) => `| ${row.join(' | ')} |`;
  const rule = line(table[0].map((_, column) => (column === 0 ? '---' : '---:')));
  return [line(table[0]), rule, ...table.slice(1).map(line)].join('\n');
}

const hostLine = ({ host, rounds, date }) =>
  `Linux ${host.kernel}, ${host.cpu}, ${host.cpus} CPUs, Node ${host.node}, uid ${host.uid}, ${rounds} rounds, ${date.slice(0, 10)}, load ${host.load.toFixed(1)} at the start`;
const floorLine = ({ floorUs }) =>
  `${floorUs.min.toFixed(0)} us at least, ${floorUs.median.toFixed(0)} us in the median`;

export function terminalReport(report) {
  const tables = [mainTable(report), overheadTable(report), criuTable(report), barTable(report)].filter(Boolean);
  return `\n${hostLine(report)}\nMedians, milliseconds and megabytes. Floor (vfork, exec, exit, wait): ${floorLine(report)}. ${report.criu}\n\n${tables.map(aligned).join('\n\n')}\n`;
}

export function document(report) {
  const criu = criuTable(report);
  const overhead = overheadTable(report);
  const parts = [
    '# Benchmarks',
    'Written by `npm run bench -- --write --chart`; do not edit the figures by hand. It measures on the machine it runs on; trust the ratios more than the milliseconds.',
    `${hostLine(report)}.`,
    '![Cold start and restore to the first reply](images/bench.svg)',
    '## Start, checkpoint, restore',
    'Medians; milliseconds and megabytes (10^6). The rounds of all cases alternate. *Cold start* counts from spawning the bare program to its first reply (to its "listening" line for the C programs); for Redis it loads a dump file of the same data. *Restore* counts from the library call in a process that runs already, to the call’s return (*resumed*) and to the first reply. A small client in a process of its own asks every 0.1 ms from before the start on, in the same way for cold starts, Stasis and CRIU. *Pause* is how long the application stood still in a checkpoint that leaves it running; for hundreds of megabytes, in a virtual machine that gives free memory back to its host, it and CRIU’s depend most on what freed memory just before (docs/kernel-facts.md). *PSS* is the proportional set size after warming up and right after the first reply of a restored one. The page cache is warm.',
    markdown(mainTable(report)),
    `The floor under every start here, vfork + exec + exit + wait of a program of two instructions: ${floorLine(report)}.`,
    ...(overhead
      ? [
          '## What `stasis run` costs',
          'A plain Node server, 16 keep-alive connections with one request in flight each, a client in C on the other CPU; bare and launched alternate in short slices, and the bar takes the median of the ratios of neighbours. The start counts from the library call, or the spawn, to the first reply.',
          markdown(overhead),
        ]
      : []),
    '## Bars',
    markdown(barTable(report)),
    ...(criu
      ? [
          '## CRIU, in the same rounds',
          `${report.criu}. The times count from spawning \`criu\`, which is how it is used.${criuFailures(report)}`,
          markdown(criu),
        ]
      : []),
  ];
  return `${parts.join('\n\n')}\n`;
}
