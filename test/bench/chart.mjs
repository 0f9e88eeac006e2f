// The chart of the README: per program, milliseconds to the first reply on a logarithmic axis: cold start, CRIU when it was measured, restore.

const kinds = [
  { key: 'cold', title: 'cold start', fill: '#94a3b8' },
  { key: 'criu', title: 'CRIU restore', fill: '#f59e0b' },
  { key: 'restore', title: 'Stasis restore', fill: '#10b981' },
];
const left = 190;
const width = 860;
const bar = 15;
const gap = 16;

const label = (value) =>
  value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value >= 100 ? value.toFixed(0) : value.toFixed(1)} ms`;

function valuesOf(entry) {
  const goal = (restore) => (restore?.replyMs ?? restore?.resumedMs)?.median;
  return { cold: entry.coldMs?.median, criu: goal(entry.criu?.restore), restore: goal(entry.restore) };
}

export function chart({ cases, host, date }) {
  const groups = cases.map((entry) => ({ title: entry.title, values: valuesOf(entry) }));
  const all = groups.flatMap(({ values }) => Object.values(values).filter((value) => value !== undefined));
  const shown = kinds.filter(({ key }) => groups.some(({ values }) => values[key] !== undefined));
  const low = 10 ** Math.floor(Math.log10(Math.min(...all)));
  const high = 10 ** Math.ceil(Math.log10(Math.max(...all) * 1.5));
  const scale = (value) =>
    left + ((Math.log10(value) - Math.log10(low)) / (Math.log10(high) - Math.log10(low))) * (width - left - 70);
  const parts = [];
  let y = 66;
  for (const { title, values } of groups) {
    const present = shown.filter(({ key }) => values[key] !== undefined);
    parts.push(`<text x="${left - 12}" y="${y + (present.length * bar) / 2 + 4}" text-anchor="end">${title}</text>`);
    for (const { key, fill } of present) {
      const end = scale(values[key]);
      parts.push(
        `<rect x="${left}" y="${y}" width="${(end - left).toFixed(1)}" height="${bar - 3}" rx="2" fill="${fill}"/>`,
      );
      parts.push(
        `<text x="${(end + 6).toFixed(1)}" y="${y + 10}" font-size="11" fill="#64748b">${label(values[key])}</text>`,
      );
      y += bar;
    }
    y += gap;
  }
  const grid = [];
  for (let value = low; value <= high; value *= 10) {
    const x = scale(value).toFixed(1);
    grid.push(`<line x1="${x}" y1="56" x2="${x}" y2="${y - gap + 6}" stroke="#cbd5e1" stroke-dasharray="2 3"/>`);
    grid.push(
      `<text x="${x}" y="${y + 8}" text-anchor="middle" font-size="11" fill="#64748b">${label(value).replace(/\.0+ /, ' ')}</text>`,
    );
  }
  const legend = shown.map(
    ({ title, fill }, i) =>
      `<rect x="${left + i * 130}" y="32" width="11" height="11" rx="2" fill="${fill}"/><text x="${left + 17 + i * 130}" y="42" font-size="12">${title}</text>`,
  );
  const height = y + 36;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="Time to the first reply: cold start and restore">
<rect width="${width}" height="${height}" rx="8" fill="#ffffff"/>
<g font-family="ui-sans-serif, system-ui, sans-serif" font-size="13" fill="#1e293b">
<text x="${left}" y="22" font-weight="bold">Time to the first reply, logarithmic</text>
${[...legend, ...grid, ...parts].join('\n')}
<text x="${width - 14}" y="${height - 8}" text-anchor="end" font-size="10" fill="#94a3b8">Linux ${host.kernel}, ${host.cpus} CPUs, ${date.slice(0, 10)}; medians</text>
</g>
</svg>
`;
}
