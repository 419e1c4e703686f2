// Draws what was on a terminal as an animated SVG without scripts or fonts of its own.

const [CELL_WIDTH, LINE_HEIGHT, FONT_SIZE, MARGIN] = [8.4, 18, 14, 14];
/** Seconds that the last screen stays. */
const REST = 8;
/** By number of the terminal's colour, for dark and light. */
const COLOURS = {
  1: ['#ff7b72', '#b31d28'],
  2: ['#56d364', '#1a7f37'],
  3: ['#e3b341', '#855f00'],
  6: ['#56d4dd', '#116a75'],
};
const PLAIN = { back: ['#0d1117', '#f6f8fa'], text: ['#e6edf3', '#1f2328'], dim: ['#8b949e', '#6e7781'] };

/**
 * `screens` are rows of cells, each with the second since which it is shown. Each row is drawn once for all the time that it stays the same; who wants no motion
 * sees the last screen.
 */
export function drawRecording(title, screens) {
  const end = screens.at(-1).time + REST;
  const height = screens[0].rows.length;
  const width = screens[0].rows[0].length;
  const texts = [];
  const spans = new Map();
  for (let row = 0; row < height; row++) {
    for (const { from, to, cells } of spansOf(screens, row, end)) {
      const drawn = drawCells(cells);
      if (drawn === '') continue;
      // Named by time, so that what changes in one place changes no names elsewhere.
      const name = `t${Math.round(from * 10)}-${Math.round(to * 10)}`;
      spans.set(name, { name, from, to });
      const y = MARGIN + (row + 0.75) * LINE_HEIGHT;
      texts.push(`<text class="${name}" x="${MARGIN}" y="${y}">${drawn}</text>`);
    }
  }
  const percent = (time) => `${Math.round((time / end) * 100_000) / 1000}%`;
  const rules = [...spans.values()].map(({ name, from, to }) => {
    const steps = [
      from > 0 ? '0%{visibility:hidden}' : '',
      `${percent(from)}{visibility:visible}`,
      to < end ? `${percent(to)}{visibility:hidden}` : '',
    ];
    const still = to < end ? 'visibility:hidden;' : '';
    return `.${name}{${still}animation-name:${name}}@keyframes ${name}{${steps.join('')}}`;
  });
  const [w, h] = [Math.ceil(width * CELL_WIDTH + 2 * MARGIN), height * LINE_HEIGHT + 2 * MARGIN];
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${w} ${h}" width="${w}" height="${h}" font-family="ui-monospace,SFMono-Regular,Menlo,Consolas,DejaVu Sans Mono,monospace" font-size="${FONT_SIZE}" xml:space="preserve" role="img" aria-label="${escaped(title)}">
<style>
${palette(0)}
@media (prefers-color-scheme:light){${palette(1)}}
text{white-space:pre}
.b{font-weight:bold}
${rules.join('\n')}
@media (prefers-reduced-motion:no-preference){text{animation:${end}s step-end infinite}}
</style>
<rect width="${w}" height="${h}" rx="8" class="back"/>
${texts.join('\n')}
</svg>
`;
}

/** For how long each content of a row is shown. */
function spansOf(screens, row, end) {
  const spans = [];
  for (const { time, rows } of screens) {
    const cells = rows[row];
    const last = spans.at(-1);
    if (last !== undefined && JSON.stringify(last.cells) === JSON.stringify(cells)) continue;
    if (last !== undefined) last.to = time;
    spans.push({ from: time, to: end, cells });
  }
  return spans.filter(({ from, to }) => from < to);
}

/** A row; what looks alike is one piece. */
function drawCells(cells) {
  const pieces = [];
  for (const { text, ...look } of cells) {
    const style = text === ' ' ? (pieces.at(-1)?.style ?? '') : classesOf(look);
    const last = pieces.at(-1);
    if (last !== undefined && last.style === style) last.text += text;
    else pieces.push({ style, text });
  }
  const drawn = pieces.map(({ style, text }) =>
    style === '' ? escaped(text) : `<tspan class="${style}">${escaped(text)}</tspan>`,
  );
  return drawn.join('').replace(/ +(<\/tspan>)?$/, '$1');
}

function classesOf({ colour, bold, dim }) {
  const paint = dim ? 'dim' : colour === undefined ? '' : `c${colour}`;
  return [paint, bold ? 'b' : ''].filter(Boolean).join(' ');
}

function palette(index) {
  const colours = Object.entries(COLOURS).map(([number, pair]) => `.c${number}{fill:${pair[index]}}`);
  return `.back{fill:${PLAIN.back[index]}}text{fill:${PLAIN.text[index]}}.dim{fill:${PLAIN.dim[index]}}${colours.join('')}`;
}

function escaped(text) {
  return text.replace(
    /[&<>"]/g,
    (character) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[character],
  );
}
