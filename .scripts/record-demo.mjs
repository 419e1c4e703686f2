// Plays `keymux demo wiretap` in a pseudo terminal and writes what was on the screen: wiretap.cast (asciicast v2) and wiretap.svg
// in packages/cli/recordings.
// Needs Linux, with `script` of util-linux.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import xterm from '@xterm/headless';
import { drawRecording } from './terminal-svg.mjs';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const RECORDINGS = `${ROOT}packages/cli/recordings/`;
const [COLUMNS, ROWS] = [100, 28];
/** Seconds from one line to the next, and from when on a pause is for reading. */
const [LINE, LONG] = [0.3, 0.8];
const TITLE = 'keymux demo wiretap';

const { status } = spawnSync(process.execPath, [`${ROOT}.scripts/ready.mjs`], { stdio: 'inherit' });
if (status !== 0) process.exit(status ?? 1);

const events = steady(await play());
const header = { version: 2, width: COLUMNS, height: ROWS, title: TITLE };
const lines = [header, ...events.map(({ time, output }) => [time, 'o', output])];
writeFileSync(`${RECORDINGS}wiretap.cast`, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
writeFileSync(`${RECORDINGS}wiretap.svg`, drawRecording(TITLE, await screens(events)));

/** Runs the demonstration; returns what it wrote, and when, in seconds. What was written at once is one event. */
async function play() {
  const command = `stty cols ${COLUMNS} rows ${ROWS}; exec node packages/cli/bin/keymux.js demo wiretap`;
  const { NO_COLOR: _, ...env } = { ...process.env, TERM: 'xterm-256color' };
  const child = spawn('script', ['-qec', command, '/dev/null'], {
    cwd: ROOT,
    env,
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const written = [];
  child.stdout.setEncoding('utf8').on('data', (output) => {
    const time = performance.now() / 1000;
    const last = written.at(-1);
    if (last !== undefined && time - last.time < 0.1) last.output += output;
    else written.push({ time, output });
  });
  const [code] = await once(child, 'close');
  if (code !== 0)
    throw new Error(
      `the demonstration ended with status ${code}:\n${written.map(({ output }) => output).join('')}`,
    );
  // The last thing is the summary on the ordinary screen, which is the last page once more.
  const end = written.findIndex(({ output }) => output.includes('\x1b[?1049l'));
  return written.slice(0, end);
}

/**
 * The same without what differs from one recording to the next for no good reason: how long processes took to start, and what is made at random, apart
 * from what is sealed.
 */
function steady(written) {
  const names = new Map();
  const stable = (text) =>
    text
      .replace(/(PASSWORD|SECRET)-[0-9a-f]{4}/g, (_, name) => `${name}-4711`)
      .replace(/k-[0-9a-f]{16}/g, 'k-293e69d9b8197740')
      .replace(/(process|server|admin|keeper|acceptor|worker) (\d+)/g, (_, role, pid) => {
        if (!names.has(pid)) names.set(pid, String(10 ** (pid.length - 1) + names.size + 1));
        return `${role} ${names.get(pid)}`;
      });
  let [time, before, reading] = [0, written[0].time, 0];
  return written.map(({ time: at, output }) => {
    // Line after line at an even pace; a longer time is for reading what was told before, and for what starts.
    const gap = at - before;
    if (gap > 0) time += gap < LONG ? LINE : reading;
    before = at;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what it is for
    const words = output.replace(/\x1b\[[\d;?]*[a-zA-Z]/g, ' ').split(/[^A-Za-z]+/).length;
    reading = Math.round((1.5 + 0.15 * words) * 2) / 2;
    return { time: Math.round(time * 10) / 10, output: stable(output) };
  });
}

/** The screen after each event: rows of cells. */
async function screens(events) {
  const terminal = new xterm.Terminal({ cols: COLUMNS, rows: ROWS, allowProposedApi: true });
  const shown = [];
  for (const { time, output } of events) {
    await new Promise((resolve) => terminal.write(output, resolve));
    shown.push({
      time,
      rows: Array.from({ length: ROWS }, (_, row) => cellsOf(terminal.buffer.active.getLine(row))),
    });
  }
  return shown;
}

function cellsOf(line) {
  return Array.from({ length: COLUMNS }, (_, column) => {
    const cell = line.getCell(column);
    return {
      text: cell.getChars() || ' ',
      colour: cell.isFgDefault() ? undefined : cell.getFgColor(),
      bold: cell.isBold() !== 0,
      dim: cell.isDim() !== 0,
    };
  });
}
