// Turns captured terminal output into a picture: terminal-svg.mjs [--title TEXT] <captured >picture.svg
//
// Understands the ANSI sequences that Stasis prints: bold, dim and the sixteen colours. Anything else is dropped. The text stays text, so that
// it can be selected and read aloud.

import { readFileSync } from 'node:fs';

const cell = { width: 8.4, height: 20 };
const padding = { left: 18, top: 46, bottom: 18 };
const colours = {
  30: '#45475a',
  31: '#f38ba8',
  32: '#a6e3a1',
  33: '#f9e2af',
  34: '#89b4fa',
  35: '#f5c2e7',
  36: '#94e2d5',
  37: '#cdd6f4',
  90: '#7f849c',
  91: '#f38ba8',
  92: '#a6e3a1',
  93: '#f9e2af',
  94: '#89b4fa',
  95: '#f5c2e7',
  96: '#94e2d5',
  97: '#ffffff',
};
const foreground = '#cdd6f4';
const background = '#1e1e2e';

const escapeText = (text) =>
  text.replace(/[&<>]/g, (character) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[character]);

/** Runs of equal style on one line, with the column where each begins. */
function* runs(line, style) {
  let column = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences are what this is about
  for (const part of line.split(/(\x1b\[[0-9;]*[A-Za-z])/)) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: as above
    const sequence = /^\x1b\[([0-9;]*)([A-Za-z])$/.exec(part);
    if (sequence === null) {
      const text = part.replace(/[^\P{Cc}]/gu, '');
      if (text.length > 0) yield { column, text, ...style };
      column += [...text].length;
    } else if (sequence[2] === 'm') {
      for (const code of sequence[1].split(';').map(Number)) apply(style, code);
    }
  }
}

function apply(style, code) {
  if (code === 0) Object.assign(style, { bold: false, dim: false, colour: undefined });
  else if (code === 1) style.bold = true;
  else if (code === 2) style.dim = true;
  else if (code === 22) Object.assign(style, { bold: false, dim: false });
  else if (code === 39) style.colour = undefined;
  else if (colours[code]) style.colour = colours[code];
}

const titleAt = process.argv.indexOf('--title');
const title = titleAt > 0 ? process.argv[titleAt + 1] : '';
const lines = readFileSync(0, 'utf8').replaceAll('\r', '').replace(/\n+$/, '').replace(/^\n+/, '').split('\n');
const style = { bold: false, dim: false, colour: undefined };
const texts = [];
let columns = title.length + 12;
for (const [row, line] of lines.entries()) {
  for (const run of runs(line, style)) {
    columns = Math.max(columns, run.column + [...run.text].length);
    if (run.text.trim() === '') continue;
    const attributes = [
      `x="${(padding.left + run.column * cell.width).toFixed(1)}"`,
      `y="${padding.top + row * cell.height + 14}"`,
      `textLength="${([...run.text].length * cell.width).toFixed(1)}"`,
      run.colour ? `fill="${run.colour}"` : '',
      run.bold ? 'font-weight="bold"' : '',
      run.dim ? 'opacity="0.6"' : '',
    ];
    texts.push(`<text ${attributes.filter(Boolean).join(' ')}>${escapeText(run.text)}</text>`);
  }
}
const width = Math.ceil(2 * padding.left + columns * cell.width);
const height = padding.top + lines.length * cell.height + padding.bottom;
const buttons = ['#f38ba8', '#f9e2af', '#a6e3a1']
  .map((fill, i) => `<circle cx="${20 + i * 20}" cy="20" r="6" fill="${fill}"/>`)
  .join('');
console.log(`<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img" aria-label="${escapeText(title)}">
<rect width="${width}" height="${height}" rx="10" fill="${background}"/>
${buttons}
<text x="${width / 2}" y="25" text-anchor="middle" fill="#7f849c" font-family="ui-sans-serif, system-ui, sans-serif" font-size="13">${escapeText(title)}</text>
<g font-family="ui-monospace, SFMono-Regular, 'DejaVu Sans Mono', Menlo, Consolas, monospace" font-size="14" fill="${foreground}" xml:space="preserve">
${texts.join('\n')}
</g>
</svg>`);
