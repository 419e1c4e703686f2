import { once } from 'node:events';
import { Duplex } from 'node:stream';
import { setImmediate } from 'node:timers/promises';
import { encodePing, FrameDecoder } from '@keymux/frames';
import { ALGORITHM, Keyring, LocalKeeper, PreSharedKey } from '@keymux/keys';
import { DEFAULT_BUDGETS, Session } from '@keymux/session';
import { describe, expect, it } from 'vitest';
import { MuxSession } from '../src/index.ts';

const HEADERS = [[':method', 'GET']] as const;

/** A carrier that a test brings bytes to by `push`, and the types of the frames of each write to it. */
function record(): { carrier: Duplex; writes: string[][] } {
  const writes: string[][] = [];
  const decoder = new FrameDecoder({ place: 'outside', sealed: true });
  const take = (bytes: Uint8Array, done: () => void): void => {
    decoder.push(bytes);
    const types: string[] = [];
    for (let item = decoder.next(); item !== undefined; item = decoder.next())
      types.push(item.kind === 'control' ? item.frame.type : item.kind);
    writes.push(types);
    done();
  };
  const carrier = new Duplex({
    read: () => undefined,
    write: (chunk, _encoding, done) => take(chunk, done),
    writev: (chunks, done) => take(Buffer.concat(chunks.map(({ chunk }) => chunk)), done),
  });
  return { carrier, writes };
}

/** A session whose first words are out, and what it writes after them. */
async function begun(role: 'client' | 'server', config = {}) {
  const { carrier, writes } = record();
  const session = new MuxSession(carrier, { role, config });
  await setImmediate();
  writes.length = 0;
  return { carrier, writes, session };
}

/** A client with a key that needs no answer of the peer. */
async function keyed() {
  const keyring = new Keyring();
  const label = keyring.add(new PreSharedKey(Buffer.alloc(32, 7)), { authorities: [''] });
  const { carrier, writes } = record();
  const session = new MuxSession(carrier, { role: 'client', keeper: new LocalKeeper({ keyring }) });
  const key = await session.negotiate({ algorithm: ALGORITHM.PSK, label, early: true });
  return { writes, session, key };
}

/** The next error that nobody catches, in the place of those who would end the process for it. */
async function uncaught(): Promise<Error> {
  const listeners = process.rawListeners('uncaughtException') as (() => void)[];
  process.removeAllListeners('uncaughtException');
  try {
    return (await once(process, 'uncaughtException'))[0];
  } finally {
    for (const listener of listeners) process.on('uncaughtException', listener);
  }
}

/** What is read is followed by the calls that waited for it, and then perhaps by another read, before the turn is over. */
async function read(carrier: Duplex, bytes: Uint8Array): Promise<void> {
  carrier.push(bytes);
  await new Promise<void>((resolve) => process.nextTick(resolve));
}

describe('what a session says', () => {
  it('at its beginning goes out in one write with the first message of a key, and in another what that key seals', async () => {
    const { writes, session, key } = await keyed();
    const stream = session.openStream(HEADERS, { key });
    stream.write('one');
    stream.write('two'); // which the stream keeps until that is sealed
    await setImmediate();
    expect(writes).toEqual([
      ['settings', 'window-update', 'key-nego'],
      ['sealed', 'sealed'],
    ]);
    session.destroy();
  });

  it('goes out although somebody who is told of it throws, and the process goes on', async () => {
    const { writes, session, key } = await keyed();
    const stream = session.openStream(HEADERS, { key });
    const told = uncaught();
    stream.write('one', () => {
      throw new Error('of whoever was told');
    });
    expect((await told).message).toBe('of whoever was told');
    stream.write('two');
    await setImmediate();
    expect(writes.flat().filter((type) => type === 'sealed')).toHaveLength(2);
    session.destroy();
  });

  it('in answer to PINGs does not wait for the next read: who listens is not taken for one who does not', async () => {
    const { carrier, writes, session } = await begun('server');
    const ids = [1, 3, 5, 7, 9];
    for (let times = 0; times < 3; times++)
      await read(carrier, Buffer.concat(ids.map((id) => encodePing({ type: 'ping', id }))));
    expect(writes.flat()).toEqual(new Array(3 * ids.length).fill('ping'));
    session.destroy();
  });

  it('in answer to much does not wait for the next read either', async () => {
    const budgets = { ...DEFAULT_BUDGETS, queuedFrames: 100 };
    const { carrier, writes, session } = await begun('server', { budgets });
    const peer = new Session({ role: 'client', now: 0 });
    const streams = 90;
    for (let times = 0; times < 3; times++) {
      for (let opened = 0; opened < streams; opened++) peer.open(HEADERS);
      // Nobody takes streams here, so each is refused.
      await read(carrier, Buffer.concat(peer.output() ?? []));
    }
    expect(writes.flat()).toEqual(new Array(3 * streams).fill('rst-stream'));
    session.destroy();
  });

  it('ends with its failure at once: who hears of it from a stream finds the session over', async () => {
    const { carrier, session } = await begun('client');
    const failed = once(session.openStream(HEADERS), 'error');
    await setImmediate();
    carrier.push(Buffer.alloc(64, 0xff));
    await failed.catch(() => undefined);
    expect(session.takesStreams).toBe(false);
  });
});
