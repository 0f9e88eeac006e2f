// The bars that the project set itself, each with what was measured. They are shown as met or missed; a miss fails nothing.

const round = (value) => (value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2));

export function bars({ cases, overhead }) {
  const of = (name) => cases.find((entry) => entry.name === name);
  const list = [];
  const add = (what, limit, value, unit, atLeast = false) => {
    if (value === undefined || Number.isNaN(value)) return;
    list.push({
      what,
      limit: `${atLeast ? 'at least' : 'at most'} ${limit} ${unit}`.trim(),
      value: `${round(value)} ${unit}`.trim(),
      met: atLeast ? value >= limit : value <= limit,
    });
  };
  const speedUp = (name) => of(name) && of(name).coldMs.median / of(name).restore.replyMs.median;
  const resumed = (name) => of(name)?.restore.resumedMs.median;
  add('Node http: restore to the first reply, times faster than a cold start', 15, speedUp('node'), '', true);
  add('Node http, 150 MB heap: the same', 50, speedUp('node-150'), '', true);
  if (of('redis-500') && of('sleeper')) {
    add(
      'Redis, 500 MB: restore to the first GET, more than the restore of the C sleeper',
      5,
      of('redis-500').restore.replyMs.median - resumed('sleeper'),
      'ms',
    );
  }
  if (of('c-1024') && of('c-10')) {
    add('C, 1 GiB: restore, times that of the same mappings with 10 MB', 2, resumed('c-1024') / resumed('c-10'), '');
  }
  add('Postgres, 6 processes: restore to the first answered query', 15, of('postgres')?.restore.replyMs.median, 'ms');
  if (overhead) {
    add('stasis run: throughput lost on keep-alive requests', 5, (1 - overhead.throughputRatio.median) * 100, '%');
    add(
      'stasis run: added to the start-up of a Node server',
      10,
      overhead.launched.startMs.median - overhead.bare.startMs.median,
      'ms',
    );
  }
  return list;
}
