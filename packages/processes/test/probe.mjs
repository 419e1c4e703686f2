// What a process of a server can do, told to whoever has started it. The arguments are a file that it may read, one that it may write, and one that is none of its business.
import { spawnSync } from 'node:child_process';
import { appendFileSync, readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { Worker } from 'node:worker_threads';

const [readable, writable, foreign] = process.argv.slice(2);
const can = (action) => {
  try {
    return action() !== undefined;
  } catch {
    return false;
  }
};
const result = {
  read: can(() => readFileSync(readable)),
  write: can(() => appendFileSync(writable, 'x') ?? true),
  readOther: can(() => readFileSync(foreign)),
  writeOther: can(() => appendFileSync(foreign, 'x') ?? true),
  spawn: can(() => spawnSync('true').pid),
  thread: can(() => new Worker('', { eval: true })),
  environment: Object.keys(process.env).sort(),
  options: process.execArgv.filter((option) => option.includes('heap')),
  uid: process.getuid(),
  groups: process.getgroups(),
};
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  process.send({ ...result, listen: true });
  server.close();
});
process.on('disconnect', () => process.exit());
