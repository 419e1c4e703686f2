// Loaded into a server under test before its own code (node --import): says how the process fares, on the socket that SIEGE_PROBE names.
// Plain JavaScript, because the oldest supported Node cannot load TypeScript.
import { subscribe } from 'node:diagnostics_channel';
import { createServer } from 'node:net';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc');

const loop = monitorEventLoopDelay({ resolution: 5 });
loop.enable();

/** Sessions that are open, in the order of their opening. */
const sessions = new Set();
let peak = 0;

subscribe('keymux.session.open', ({ session }) => sessions.add(session));
subscribe('keymux.session.close', ({ session }) => sessions.delete(session));
setInterval(notePeak, 20).unref();

function notePeak() {
  peak = Math.max(peak, process.memoryUsage.rss());
}

/** How the process fares now, and has fared since the measurement began. */
function vitals() {
  notePeak();
  const highest = peak;
  const [p99, longest] = [loop.percentile(99) / 1e6, loop.max / 1e6];
  collectGarbage();
  const { rss, heapUsed, external } = process.memoryUsage();
  const streams = [...sessions].map((session) => session.streamCount);
  return { rss, peak: highest, held: heapUsed + external, loopDelay: { p99, longest }, streams };
}

/** The measurement begins anew. */
function begin() {
  loop.reset();
  peak = process.memoryUsage.rss();
}

/** `?` asks how it fares; `!` as well, and a new measurement begins. */
createServer((socket) => {
  socket.on('data', (question) => {
    socket.write(`${JSON.stringify(vitals())}\n`);
    if (question.includes('!')) begin();
  });
  socket.on('error', () => undefined);
  socket.unref();
})
  .listen(process.env.SIEGE_PROBE)
  .unref();
