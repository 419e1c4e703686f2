// The parent of two servers of moving-server.js, between which it relays, and the place of an accident: kills `victim` with SIGKILL at the
// first message of type `step` that comes by, before it is passed on.
import { fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { Channel, Relay } from '@keymux/hand-over';

const [, , victim, step] = process.argv;
const SERVER = fileURLToPath(new URL('./moving-server.js', import.meta.url));
const start = () => fork(SERVER, ['echo'], { env: { ...process.env, STAYS: '1' } });
const children = { giver: start(), taker: start() };
const pids = { giver: children.giver.pid, taker: children.taker.pid, relay: process.pid };

const channels = [new Channel(children.giver), new Channel(children.taker)];
let done = false;
for (const channel of channels) {
  channel.on('message', ({ type }) => {
    if (done || type !== `hand-over.${step}`) return;
    done = true;
    process.kill(pids[victim], 'SIGKILL');
  });
}
const relay = new Relay((_, giver) => channels.find((channel) => channel !== giver));
for (const channel of channels) relay.connect(channel);

const ready = new Set();
for (const [name, child] of Object.entries(children)) {
  child.on('message', (message) => {
    if (message.address) process.send({ pids, port: message.address.port });
    if (message.results) process.send({ results: message.results });
    if (message.answer === 0) ready.add(name);
    if (message.answer === 0 && ready.size === 2) children.giver.send({ order: 'listen', id: 1 });
  });
  child.send({ order: 'sessions', id: 0 });
}
process.on('message', () => children.giver.send({ order: 'give', id: 2, timeout: 20_000 }));
